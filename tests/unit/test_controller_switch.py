"""One switch's states: one command at a time, and owners confirmed only when the switch has their flows."""

from controller.owners import node_owner, port_owner
from controller.switch import LEFT_OUT_AT_MOST, Phase, Read, Send, Staleness, Switch
from openflow.codec import Change, encode
from openflow.fields import OfPort
from openflow.flow import flow
from openflow.match import in_port
from openflow.tables import Table

A, B = port_owner("a"), port_owner("b")


def rule(number):
    return encode(flow(Table.SPOOF_GUARD, 100, (in_port(OfPort(number)),), cookie=1))


def adds(*numbers):
    return Send(Change(add=tuple(sorted(rule(number) for number in numbers))))


def deletes(*numbers):
    return Send(Change(delete=tuple(sorted(key(number) for number in numbers))))


def key(number):
    return rule(number).key


def switch(**flows):
    """A switch that is to have one flow for each owner."""
    made = Switch()
    made.update({port_owner(name): [rule(number)] for name, number in flows.items()})
    return made


def idle(**flows):
    made = switch(**flows)
    made.connected()
    made.dumped(dict(made.plan.desired))
    assert made.phase is Phase.IDLE
    return made


def test_a_switch_that_connects_is_read_first():
    made = switch(a=1)
    assert made.advance() == (None, set())
    assert made.connected() == Read()
    assert made.phase is Phase.READING
    assert made.advance() == (None, set())


def test_a_switch_that_holds_the_right_flows_is_sent_nothing_and_confirms_at_once():
    made = switch(a=1, b=2)
    made.connected()
    assert made.dumped(dict(made.plan.desired)) == (None, {A, B})
    assert made.phase is Phase.IDLE


def test_what_differs_is_sent_and_confirmed_by_the_barrier():
    made = switch(a=1, b=2)
    made.connected()
    assert made.dumped(dict([rule(1), rule(3)])) == (
        Send(Change(adds(2).change.add, deletes(3).change.delete)), set(),
    )  # fmt: skip
    assert made.phase is Phase.SENDING
    assert made.applied() == {A, B}
    assert made.phase is Phase.IDLE


def test_a_change_of_an_idle_switch_is_sent_at_once():
    made = idle(a=1)
    made.update({A: [rule(1), rule(2)]})
    assert made.advance() == (adds(2), set())
    assert made.applied() == {A}


def test_an_update_that_changes_no_flow_confirms_at_once():
    made = idle(a=1)
    made.update({A: [rule(1)]})
    assert made.unconfirmed
    assert made.advance() == (None, {A})
    assert not made.unconfirmed


def test_what_changes_while_a_change_is_on_its_way_goes_together_afterwards():
    made = idle(a=1)
    made.update({A: [rule(2)]})
    made.advance()
    made.update({A: [rule(3)]})
    made.update({B: [rule(4)]})
    assert made.advance() == (None, set())
    assert made.applied() == set(), "a's flows of now were not in the change"
    send, confirmed = made.advance()
    assert send == Send(Change(adds(3, 4).change.add, deletes(2).change.delete))
    assert confirmed == set()
    assert made.applied() == {A, B}


def test_what_changes_while_the_switch_is_read_goes_with_the_difference():
    made = switch(a=1)
    made.connected()
    made.update({B: [rule(2)]})
    assert made.dumped({}) == (adds(1, 2), set())
    assert made.applied() == {A, B}


def test_a_change_that_was_on_its_way_when_the_switch_went_is_not_confirmed():
    made = idle(a=1)
    made.update({B: [rule(2)]})
    made.advance()
    made.gone()
    assert made.phase is Phase.ABSENT
    assert made.unconfirmed
    made.connected()
    assert made.dumped(dict(made.plan.desired)) == (None, {B})


def test_an_audit_reads_an_idle_switch_and_no_other():
    made = idle(a=1)
    assert made.audit() == Read()
    assert made.audit() is None
    assert made.dumped({}) == (adds(1), set())
    assert made.audit() is None
    made.applied()
    assert made.audit() == Read()
    assert Switch().audit() is None


def test_every_answered_change_and_every_connection_may_leave_something_behind():
    made = switch(a=1)
    assert made.take_staleness() is Staleness.NONE
    made.connected()
    made.dumped({})
    made.applied()
    assert made.take_staleness() is Staleness.NOW
    assert made.take_staleness() is Staleness.NONE
    made.audit()
    made.dumped(dict(made.plan.desired))
    assert made.take_staleness() is Staleness.NONE
    made.update({A: [rule(2)]})
    made.advance()
    assert made.take_staleness() is Staleness.NONE
    refused(made, 2)
    assert made.take_staleness() is Staleness.NOW
    made.gone()
    made.connected()
    assert made.take_staleness() is Staleness.NOW


def left_behind(made, flows):
    made.update(flows)
    made.advance()
    made.applied()
    return made.take_staleness()


def test_what_ports_that_come_and_go_leave_behind_can_wait_and_nothing_else_can():
    made, other = idle(a=1), node_owner("n")
    made.take_staleness()
    assert left_behind(made, {B: [rule(5)], A: [rule(1)]}) is Staleness.LATER
    assert left_behind(made, {B: [rule(6)]}) is Staleness.NOW
    assert left_behind(made, {B: []}) is Staleness.LATER
    assert left_behind(made, {other: [rule(7)]}) is Staleness.NOW
    assert left_behind(made, {B: [rule(5)], other: [rule(7)]}) is Staleness.LATER
    assert left_behind(made, {B: [], other: []}) is Staleness.NOW


def test_what_a_repair_leaves_behind_cannot_wait():
    made = idle(a=1)
    made.take_staleness()
    made.audit()
    made.dumped({})
    made.applied()
    assert made.take_staleness() is Staleness.NOW


# Refusals.


def refused(made, *numbers):
    return made.refused({key(number) for number in numbers})


def test_a_refused_flow_is_left_out_and_the_others_are_sent_again():
    made = switch(a=1, b=2)
    made.connected()
    made.dumped({})
    assert refused(made, 1) == Read()
    # The refusal came at the commit: nothing is there.
    assert made.dumped({}) == (adds(2), set())
    assert made.applied() == {B}
    assert made.unconfirmed


def test_a_flow_that_was_refused_alone_needs_nothing_but_a_reading():
    made = switch(a=1, b=2)
    made.connected()
    made.dumped({})
    refused(made, 1)
    # The refusal came before the commit, which took the rest.
    assert made.dumped(dict([rule(2)])) == (None, {B})
    assert made.phase is Phase.IDLE


def test_other_changes_go_on_while_a_flow_is_left_out():
    made = switch(a=1)
    made.connected()
    made.dumped({})
    refused(made, 1)
    made.dumped({})
    made.update({B: [rule(2)]})
    assert made.advance() == (adds(2), set())
    assert made.applied() == {B}


def test_an_audit_tries_again_what_was_refused():
    made = switch(a=1)
    made.connected()
    made.dumped({})
    refused(made, 1)
    made.dumped({})
    assert made.audit() == Read()
    assert made.dumped({}) == (adds(1), set())
    assert made.applied() == {A}


def test_a_switch_that_connects_again_is_tried_again():
    made = switch(a=1)
    made.connected()
    made.dumped({})
    refused(made, 1)
    made.gone()
    made.connected()
    assert made.dumped({}) == (adds(1), set())


def test_a_refusal_of_a_flow_that_has_changed_meanwhile_leaves_nothing_out():
    made = switch(a=1)
    made.connected()
    made.dumped({})
    made.update({A: [rule(2)]})
    refused(made, 1)
    assert made.dumped({}) == (adds(2), set())


def test_a_refusal_that_names_no_flow_waits_for_the_audit():
    made = switch(a=1)
    made.connected()
    made.dumped({})
    assert made.refused({b""}) is None
    assert made.phase is Phase.FAILED
    assert made.advance() == (None, set())
    assert made.audit() == Read()
    assert made.dumped({}) == (adds(1), set())


def test_a_switch_that_refuses_without_end_is_left_alone():
    made = Switch()
    made.update({A: [rule(number) for number in range(1, LEFT_OUT_AT_MOST + 3)]})
    made.connected()
    made.dumped({})
    for number in range(1, LEFT_OUT_AT_MOST + 1):
        assert refused(made, number) == Read()
        made.dumped({})
    assert refused(made, LEFT_OUT_AT_MOST + 1) is None

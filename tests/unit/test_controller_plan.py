"""What a switch should hold, what it still needs, and flows that two owners want."""

import pytest

from controller.owners import PIPELINE, node_owner, port_owner
from controller.plan import NodePlan, PlanError, settle
from openflow.actions import Goto
from openflow.codec import Change, encode
from openflow.fields import OfPort
from openflow.flow import flow
from openflow.match import in_port
from openflow.tables import Table

A, B, C = port_owner("a"), port_owner("b"), port_owner("c")
ONWARD = (Goto(Table.NEIGHBOR),)


def rule(number, actions=(), cookie=1):
    return encode(flow(Table.SPOOF_GUARD, 100, (in_port(OfPort(number)),), actions, cookie=cookie))


def plan(**flows):
    made = NodePlan()
    made.update({port_owner(name): each for name, each in flows.items()})
    made.take_change()
    return made


def keys(*numbers):
    return tuple(sorted(rule(number).key for number in numbers))


def added(*flows):
    return tuple(sorted(flows))


def test_an_empty_switch_needs_everything():
    assert plan(a=[rule(1)], b=[rule(2)]).difference({}) == Change(add=added(rule(1), rule(2)))


def test_a_switch_that_matches_needs_nothing():
    made = plan(a=[rule(1)], b=[rule(2)])
    assert len(made.difference(dict(made.desired))) == 0


def test_a_switch_gets_what_it_lacks_and_loses_what_is_not_desired():
    made = plan(a=[rule(1), rule(2)])
    installed = dict([rule(1, ONWARD), rule(2), rule(3)])
    assert made.difference(installed) == Change(add=added(rule(1)), delete=keys(3))


def test_a_change_is_what_came_since_the_last_was_taken_and_is_taken_once():
    made = plan(a=[rule(1)])
    made.update({A: [rule(1), rule(2)], B: [rule(3)]})
    assert made.take_change() == Change(add=added(rule(2), rule(3)))
    assert made.take_change() == Change()


def test_flows_that_go_are_deleted():
    made = plan(a=[rule(1), rule(2)])
    made.update({A: [rule(2)]})
    assert made.take_change() == Change(delete=keys(1))
    assert made.owners == {A}
    made.update({A: []})
    assert made.take_change() == Change(delete=keys(2))
    assert made.owners == set()


def test_a_flow_that_does_something_else_now_is_added_over_the_old_one():
    made = plan(a=[rule(1)])
    made.update({A: [rule(1, ONWARD)]})
    assert made.take_change() == Change(add=added(rule(1, ONWARD)))


def test_what_comes_and_goes_before_it_is_taken_is_no_change():
    made = plan(a=[rule(1)])
    made.update({A: [rule(1, ONWARD)], B: [rule(2)]})
    made.update({A: [rule(1)], B: []})
    assert made.take_change() == Change()


def test_a_key_moves_between_owners_in_one_update_without_a_deletion():
    made = plan(a=[rule(1)])
    made.update({A: [rule(2)], B: [rule(1, cookie=2)]})
    assert made.take_change() == Change(add=added(rule(1, cookie=2), rule(2)))
    assert made.owners == {A, B}


def test_a_key_moves_between_owners_whatever_their_order():
    made = plan(a=[rule(1)], b=[rule(2)])
    made.update({B: [rule(1)], A: [rule(2)]})
    assert made.take_change() == Change()
    made.update({A: []})
    assert made.take_change() == Change(delete=keys(2))


def test_flows_are_counted_by_table():
    made = plan(a=[rule(1), rule(2)])
    assert made.by_table == {Table.SPOOF_GUARD: 2}
    made.update({A: [rule(1)], B: []})
    assert made.by_table == {Table.SPOOF_GUARD: 1}


@pytest.mark.parametrize("fresh", [{B: [rule(1)]}, {B: [rule(2)], C: [rule(2)]}, {B: [rule(3), rule(3, ONWARD)]}])
def test_a_key_that_two_want_is_an_error_and_changes_nothing(fresh):
    made = plan(a=[rule(1)])
    with pytest.raises(PlanError, match="there is a flow for SpoofGuard 100"):
        made.update({A: [rule(1), rule(9)], **fresh})
    assert made.desired == dict([rule(1)])
    assert made.owners == {A}
    assert made.take_change() == Change()


def test_a_difference_leaves_nothing_to_take():
    made = plan(a=[rule(1)])
    made.update({A: [rule(2)]})
    made.difference({})
    assert made.take_change() == Change()


# What the switch has refused.


def test_a_refused_flow_is_left_out_until_it_is_forgiven():
    made = plan(a=[rule(1)], b=[rule(2)])
    made.refuse([rule(1)])
    assert made.left_out == 1
    assert made.holds_back(A)
    assert not made.holds_back(B)
    assert made.difference({}) == Change(add=added(rule(2)))
    assert made.take_change() == Change()
    made.forgive()
    assert made.take_change() == Change(add=added(rule(1)))


def test_a_refused_flow_that_does_something_else_now_is_tried():
    made = plan(a=[rule(1)])
    made.refuse([rule(1)])
    made.difference({})
    made.update({A: [rule(1, ONWARD)]})
    assert not made.holds_back(A)
    assert made.take_change() == Change(add=added(rule(1, ONWARD)))


def test_a_refused_flow_that_goes_needs_no_deletion():
    made = plan(a=[rule(1)])
    made.refuse([rule(1)])
    made.difference({})
    made.update({A: []})
    assert made.take_change() == Change()
    assert made.left_out == 0


def test_the_flow_that_a_refused_one_would_have_replaced_is_deleted_with_it():
    made = plan(a=[rule(1)])
    made.refuse([rule(1)])
    assert made.difference(dict([rule(1, ONWARD)])) == Change()
    made.update({A: []})
    assert made.take_change() == Change(delete=keys(1))


# Who wins.


def test_those_that_want_nothing_of_each_other_all_get_it():
    wanted = {A: (rule(1),), B: (rule(2),)}
    assert settle(wanted) == (wanted, ())


def test_the_pipeline_and_nodes_come_before_ports_and_ports_by_name():
    node = node_owner("n1")
    settled, losers = settle({C: [rule(1)], B: [rule(2)], A: [rule(2)], PIPELINE: [rule(3)], node: [rule(1)]})
    assert settled == {node: (rule(1),), PIPELINE: (rule(3),), A: (rule(2),), B: (), C: ()}
    assert losers == (
        "port b gets no flows: port a has one for SpoofGuard 100 [in_port=2]",
        "port c gets no flows: node n1 has one for SpoofGuard 100 [in_port=1]",
    )


def test_who_loses_gets_nothing_and_stands_in_nobodys_way():
    settled, _ = settle({A: [rule(1)], B: [rule(1), rule(2)], C: [rule(2)]})
    assert settled == {A: (rule(1),), B: (), C: (rule(2),)}


def test_an_owner_that_contradicts_itself_gets_nothing():
    settled, losers = settle({A: [rule(1), rule(1, ONWARD)], B: [rule(2)]})
    assert settled == {A: (), B: (rule(2),)}
    assert "port a gets no flows: port a has one for" in losers[0]


def test_what_is_settled_fits_in_a_plan():
    settled, _ = settle({A: [rule(1), rule(1)], B: [rule(2)], C: [rule(2), rule(3)]})
    made = NodePlan()
    made.update(settled)
    assert made.owners == {B}

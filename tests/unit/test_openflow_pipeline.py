"""The table list, and what a flow may do in it: every mistake is an exception when the value is made."""

import dataclasses

import pytest

from openflow import oxm
from openflow.actions import DEC_TTL, DELIVER, Conjunction, Ct, Goto, load
from openflow.errors import SpecError
from openflow.fields import Direction, Dst, Src, Zone
from openflow.flow import flow
from openflow.match import IPV4, IPV6, ct_state, eth_src, exact, in_port, where
from openflow.tables import PIPELINE, Miss, Table, check_pipeline, spec_of

ANY = ()


def change(place, **values):
    """The pipeline with one table's specification changed."""
    return [dataclasses.replace(spec, **values) if at == place else spec for at, spec in enumerate(PIPELINE)]


def test_the_pipeline_of_weft_is_sound():
    check_pipeline(PIPELINE)


@pytest.mark.parametrize(
    "wrong",
    [PIPELINE[1:], PIPELINE[:-1], (*PIPELINE, PIPELINE[0]), PIPELINE[::-1], (PIPELINE[0], *PIPELINE)],
    ids=["first missing", "last missing", "one twice at the end", "reversed", "one twice"],
)
def test_tables_missing_doubled_or_out_of_order_are_refused(wrong):
    with pytest.raises(SpecError, match="every Table once"):
        check_pipeline(wrong)


def test_the_last_table_has_no_next():
    with pytest.raises(SpecError, match="Output is the last table"):
        check_pipeline(change(Table.OUTPUT, miss=Miss.NEXT))


def test_every_table_says_what_it_is_for():
    assert all(spec.job and spec.matches for spec in PIPELINE)
    assert spec_of(Table.ROUTE).table is Table.ROUTE


def test_titles_are_the_names_in_the_design():
    assert [Table.CLASSIFY.title, Table.SPOOF_GUARD.title, Table.CONNTRACK_STATE.title] == [
        "Classify",
        "SpoofGuard",
        "ConntrackState",
    ]


def test_tables_that_name_an_address_do_so_for_both_families():
    for spec in PIPELINE:
        for four, six in (
            (oxm.IPV4_SRC, oxm.IPV6_SRC),
            (oxm.IPV4_DST, oxm.IPV6_DST),
            (oxm.TUN_SRC, oxm.TUN_IPV6_SRC),
        ):
            assert (four in spec.matches) == (six in spec.matches), spec.table.title


@pytest.mark.parametrize(
    ("table", "term", "field"),
    [
        (Table.CLASSIFY, eth_src("0e:00:00:00:00:01"), "dl_src"),
        (Table.CONNTRACK, in_port(1), "in_port"),
        (Table.OUTPUT, IPV4, "dl_type"),
        (Table.ROUTE, exact(oxm.TUN_SRC, 1), "tun_src"),
        (Table.CLASSIFY, where(Src.POD), "xreg0"),
    ],
)
def test_a_match_that_the_table_does_not_allow_is_refused(table, term, field):
    with pytest.raises(SpecError, match=f"{table.title} may not match {field}"):
        flow(table, 1, (term,), cookie=0)


@pytest.mark.parametrize("target", [Table.ROUTE, Table.CLASSIFY, Table.EGRESS_BASELINE])
def test_a_goto_never_leads_backward_or_stays(target):
    with pytest.raises(SpecError, match=f"Route: {target.title} lies behind"):
        flow(Table.ROUTE, 1, ANY, (Goto(target),), cookie=0)


def test_a_conntrack_table_never_leads_backward_or_stays():
    for target in (Table.CONNTRACK, Table.CLASSIFY):
        with pytest.raises(SpecError, match="lies behind"):
            flow(Table.CONNTRACK, 1, (IPV6,), (Ct(Zone.IPV6, target),), cookie=0)


def test_nothing_comes_after_a_goto():
    with pytest.raises(SpecError, match="Route: goto must be the last action"):
        flow(Table.ROUTE, 1, ANY, (Goto(Table.OUTPUT), DEC_TTL), cookie=0)
    with pytest.raises(SpecError, match="goto must be the last"):
        flow(Table.ROUTE, 1, ANY, (Goto(Table.COMMIT), Goto(Table.OUTPUT)), cookie=0)


def test_a_part_of_a_conjunction_does_nothing_else():
    parts = (Conjunction(7, 1, 2), Conjunction(8, 1, 3))
    assert flow(Table.EGRESS_POLICY, 1, ANY, parts, cookie=0).actions == parts
    with pytest.raises(SpecError, match="EgressPolicy: a flow that is part of a conjunction can do nothing else"):
        flow(Table.EGRESS_POLICY, 1, ANY, (*parts, Goto(Table.OUTPUT)), cookie=0)


@pytest.mark.parametrize("priority", [-1, 65536])
def test_a_priority_has_16_bits(priority):
    with pytest.raises(SpecError, match="priority"):
        flow(Table.ROUTE, priority, ANY, cookie=0)


def test_a_flow_that_obeys_is_kept_as_it_is():
    made = flow(
        Table.CONNTRACK_STATE,
        7,
        (ct_state(rpl=True, trk=True),),
        (load(Direction.REPLY), Goto(Table.ROUTE)),
        cookie=9,
    )
    assert (made.table, made.priority, made.cookie, len(made.match), len(made.actions)) == (4, 7, 9, 1, 2)
    assert flow(Table.OUTPUT, 1, (where(Dst.POD),), (DELIVER,), cookie=0).actions == (DELIVER,)


def test_values_are_frozen_and_comparable():
    one, two = (flow(Table.ROUTE, 1, (IPV4,), (DEC_TTL,), cookie=5) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.priority = 2

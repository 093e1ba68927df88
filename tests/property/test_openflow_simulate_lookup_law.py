"""The fast lookup against slow ones: a scan of all flows, and conjunctions written out as plain flows."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from openflow_simulated import combinations, fields_of, matches, meets, packets, tables, terms

from openflow.actions import Conjunction
from openflow.flow import Flow
from openflow.match import Match, Term, match
from openflow.oxm import BY_NAME, CONJ_ID
from openflow.simulate.lookup import FlowTable


def best(flows, packet):
    """The cookies of the flows of the highest priority that match: any of them may be taken."""
    met = [flow for flow in flows if meets(packet, flow.match)]
    top = max((flow.priority for flow in met), default=None)
    return {flow.cookie for flow in met if flow.priority == top} or {None}


def found(table, packet):
    fields = fields_of(packet)
    entry = table.lookup(fields)
    assert fields == fields_of(packet)
    return None if entry is None else entry.flow.cookie


@settings(max_examples=400)
@given(tables(), st.lists(packets(), min_size=1, max_size=8))
def test_a_lookup_finds_what_a_scan_finds(flows, asked):
    table = FlowTable(flows)
    for packet in asked:
        assert found(table, packet) in best(flows, packet)


@given(tables(most=12), packets(), st.randoms())
def test_the_order_in_which_flows_were_added_does_not_matter(flows, packet, random):
    flows = [replace(flow, priority=place) for place, flow in enumerate(flows)]
    shuffled = random.sample(flows, len(flows))
    assert found(FlowTable(flows), packet) == found(FlowTable(shuffled), packet)


CLAUSES = (("xreg0", "in_port"), ("xreg1", "dl_src"), ("reg4", "pkt_mark"))
"""Fields for each clause, as in policy: the clauses of one conjunction ask different things."""


@st.composite
def clause(draw, number: int) -> list[Match]:
    """Ways to fulfil one clause, overlapping ones among them."""
    one = terms(CLAUSES[number]).map(lambda term: match(term))
    return draw(st.lists(one, min_size=1, max_size=4, unique=True))


@st.composite
def conjunctions(draw) -> list[list[list[Match]]]:
    """Conjunctions as lists of clauses."""
    sizes = draw(st.lists(st.integers(2, 3), min_size=1, max_size=4))
    return [[draw(clause(number)) for number in range(size)] for size in sizes]


def parts(priority, chosen):
    """The conjunctions as Open vSwitch has them, flows that are part of several merged, and their results."""
    by_match: dict[Match, list[Conjunction]] = {}
    for number, clauses in enumerate(chosen, start=1):
        for place, ways in enumerate(clauses, start=1):
            for way in ways:
                by_match.setdefault(way, []).append(Conjunction(number, place, len(clauses)))
    made = [Flow(0, priority, terms, tuple(of), 5000) for terms, of in by_match.items() if terms]
    results = [Term(CONJ_ID, number, CONJ_ID.full) for number in range(1, len(chosen) + 1)]
    return [*made, *(Flow(0, priority, (term,), (), 1000 + term.value) for term in results)]


def written_out(priority, chosen):
    """The same as plain flows: one for each combination of the clauses."""
    return [
        Flow(0, priority, terms, (), 1000 + number)
        for number, clauses in enumerate(chosen, start=1)
        for terms in combinations(clauses)
    ]


@settings(max_examples=400)
@given(conjunctions(), tables(most=8), st.integers(0, 7), st.lists(packets(), min_size=1, max_size=8))
def test_conjunctions_are_all_combinations_of_their_clauses(chosen, plain, priority, asked):
    # A clause that anything fulfils is not one: Open vSwitch wants a flow for each.
    chosen = [clauses for clauses in chosen if all(all(ways) for ways in clauses)]
    table = FlowTable(
        [*parts(2 * priority + 1, chosen), *(replace(flow, priority=2 * flow.priority) for flow in plain)]
    )
    flows = [*written_out(2 * priority + 1, chosen), *(replace(flow, priority=2 * flow.priority) for flow in plain)]
    for packet in asked:
        assert found(table, packet) in best(flows, packet)


@given(conjunctions(), conjunctions(), st.lists(packets(), min_size=1, max_size=6))
def test_conjunctions_of_several_priorities_one_behind_the_other(high, low, asked):
    high, low = ([clauses for clauses in each if all(all(ways) for ways in clauses)] for each in (high, low))
    renumbered = [
        replace(
            flow,
            cookie=flow.cookie + 1000,
            actions=tuple(replace(part, conjunction=part.conjunction + 100) for part in flow.actions),
            match=tuple(replace_id(term) for term in flow.match),
        )
        for flow in parts(3, low)
    ]
    table = FlowTable([*parts(5, high), *renumbered])
    expected = [*written_out(5, high), *(replace(flow, cookie=flow.cookie + 1000) for flow in written_out(3, low))]
    for packet in asked:
        assert found(table, packet) in best(expected, packet)


def replace_id(term: Term) -> Term:
    return Term(CONJ_ID, term.value + 100, term.mask) if term.field is CONJ_ID else term


@given(matches(), packets())
def test_a_flow_is_found_exactly_if_its_terms_hold(terms, packet):
    assert (found(FlowTable([Flow(0, 1, terms, (), 9)]), packet) == 9) == meets(packet, terms)


@given(packets(), st.sampled_from(("reg4", "reg5", "xreg2")), st.integers(0, 40))
def test_a_register_is_half_of_a_larger_one(packet, name, bit):
    field = BY_NAME[name]
    whole = packet["reg4"] << 32 | packet["reg5"]
    value = {"reg4": packet["reg4"], "reg5": packet["reg5"], "xreg2": whole}[name]
    mask = 1 << bit % field.bits
    assert found(FlowTable([Flow(0, 1, (Term(field, value & mask, mask),), (), 9)]), packet) == 9

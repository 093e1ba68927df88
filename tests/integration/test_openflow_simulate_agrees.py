"""The simulator and a real Open vSwitch agree on every packet: the same flows, ports and headers."""

from contextlib import closing
from random import Random

import pytest
from openflow_bridge import BRIDGE, example_switch
from openflow_packets import TUNNEL, random_question
from openflow_rulesets import random_rules
from openflow_traced import Question, Tracer, simulated

from openflow import codec, example, groups, oxm
from openflow.actions import Conjunction, Output
from openflow.decode import decode
from openflow.fields import OfPort
from openflow.flow import Flow
from openflow.match import IPV4, exact, in_port, match
from openflow.simulate import Tables
from openflow.simulate import packet as packets

TCP = (IPV4, exact(oxm.IP_PROTO, 6))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    with example_switch(tmp_path_factory.mktemp("of")) as made:
        yield made


@pytest.fixture
def switch(bridge):
    bridge.clear()
    return bridge


@pytest.fixture(scope="module")
def tracer(bridge):
    with closing(Tracer(bridge)) as made:
        yield made


def compare(tracer, tables, questions, passed_over=()):
    """Ask both; the first disagreement fails with the trace. Returns how many were asked: those that leave by a
    port that is `passed_over` are not."""
    asked = 0
    for question in questions:
        ours = simulated(tables, question)
        if not ours.ports.keys() & passed_over:
            asked += 1
            assert ours == tracer.way(question), f"{question}\n{tracer.ask(question)}"
    return asked


@pytest.mark.parametrize("seed", range(4))
def test_the_flows_of_the_features(switch, tracer, seed):
    assert switch.connection.add(example.flows()) == []
    random = Random(seed)
    questions = (random_question(random, marks=(0, 0, 1, 2, 3)) for _ in range(1500))
    # As read back from the switch: what a proof about a running cluster will stand on.
    installed = [decode(codec.Encoded(*pair)) for pair in switch.connection.dump().items()]
    assert compare(tracer, Tables(installed), questions) == 1500


def install(switch, rules):
    """Flows and groups of a random set; all of them are accepted."""
    switch.ovs.ofctl("-O", "OpenFlow15", "del-groups", BRIDGE)
    mods = (groups.group_mod(groups.GROUP_ADD, groups.encode_group(group), 50) for group in rules.groups)
    assert switch.connection.exchange(b"".join(mods)) == []
    assert switch.connection.add(rules.flows) == []


@pytest.mark.parametrize("seed", range(12))
def test_random_flows(switch, tracer, seed):
    random = Random(seed)
    rules = random_rules(random, 25)
    install(switch, rules)
    # In a trace, a packet that was sent to a tunnel has lost its own outer header for the actions behind.
    questions = (random_question(random) for _ in range(400))
    assert compare(tracer, Tables(rules.flows, rules.groups), questions, passed_over={TUNNEL}) > 200


def part(priority, *terms, of, cookie):
    return Flow(0, priority, match(*terms), tuple(Conjunction(*each) for each in of), cookie)


CONJUNCTIONS = {
    "one flow, two clauses": [part(50, IPV4, of=[(1, 1, 2), (1, 2, 2)], cookie=5)],
    "two flows, three clauses": [
        part(50, IPV4, of=[(1, 1, 3), (1, 2, 3)], cookie=5),
        part(50, TCP, of=[(1, 3, 3)], cookie=6),
    ],
    "enough flows, whatever of": [
        part(50, IPV4, of=[(1, 1, 2), (1, 2, 2)], cookie=5),
        part(50, TCP, of=[(7, 1, 2)], cookie=6),
    ],
    "clauses counted differently": [
        part(50, IPV4, of=[(1, 1, 2)], cookie=5),
        part(50, TCP, of=[(1, 2, 2)], cookie=6),
        part(50, in_port(OfPort(3)), of=[(1, 3, 3)], cookie=7),
    ],
    "the same bits below": [
        part(50, TCP, of=[(3, 1, 2)], cookie=5),
        part(40, TCP, of=[(1, 1, 2)], cookie=6),
        part(40, in_port(OfPort(3)), of=[(1, 2, 2)], cookie=7),
    ],
    "no result": [part(50, TCP, of=[(3, 1, 2)], cookie=5), part(50, in_port(OfPort(3)), of=[(3, 2, 2)], cookie=6)],
}


@pytest.mark.parametrize("name", CONJUNCTIONS)
@pytest.mark.parametrize("result", [60, 50, 20])
def test_conjunctions_at_their_edges(switch, tracer, name, result):
    flows = [
        *CONJUNCTIONS[name],
        Flow(0, result, match(exact(oxm.CONJ_ID, 1)), (Output(4),), 100),
        Flow(0, 30, match(IPV4), (Output(2),), 200),
    ]
    assert switch.connection.add(flows) == []
    packet = packets.tcp("10.10.0.5", "10.10.0.6", 80)
    assert compare(tracer, Tables(flows), [Question(packet, port) for port in (3, 4)]) == 2

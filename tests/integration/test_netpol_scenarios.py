"""NetworkPolicy on real switches, a scenario at a time: every pair of nine pods, three of them on each of three
nodes, and the nodes themselves, by TCP and UDP at two ports each and by echo, over both families. What gets through
is exactly what the NetworkPolicy reference says."""

import ast
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from netpol_lab_fixture import WAYS, PolicyLab, policy_lab, told
from netpol_prober import Way
from netpol_scenarios import Scenario
from netpol_scenarios_blocks import BLOCKS
from netpol_scenarios_isolation import ISOLATION
from netpol_scenarios_lifecycle import LIFECYCLE
from netpol_scenarios_nodes import NODES
from netpol_scenarios_peers import PEERS
from netpol_scenarios_ports import PORT_RULES

NAME = f"t-policies-{os.getpid()}"
TABLE = (*ISOLATION, *PEERS, *PORT_RULES, *BLOCKS, *NODES, *LIFECYCLE)
LEAST = 60
REQUIREMENTS = {f"N{number}" for number in range(1, 30)}
"""Numbers of the list of what NetworkPolicy requires, which the reference in `netpol_oracle` has too."""
ELSEWHERE = {
    "N23": "test_netpol_host.py::test_n23_what_comes_by_a_service_is_judged_by_who_sent_it_and_at_the_pods_port",
    "N25": "test_netpol_changes.py::test_n25_a_new_pod_is_isolated_from_its_first_moment",
    "N27": "test_netpol_changes.py::test_n27_who_gets_the_address_of_a_pod_that_ended_inherits_nothing",
    "N29": "test_netpol_changes.py::test_n29_policies_stay_in_force_while_controller_and_agents_are_away",
}
"""Where is shown what takes more than policies and labels. Of N23, ingress: a Service's address that the host
translates is judged in egress as it is."""


@pytest.fixture(scope="module")
def took() -> Counter[str]:
    """Seconds of probing by scenario."""
    return Counter()


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, took: Counter[str]) -> Iterator[PolicyLab]:
    with policy_lab(NAME) as made:
        yield made
    if took:
        ((title, most),) = took.most_common(1)
        tell(request.config, f"{len(took)} scenarios, {len(WAYS)} ways each; probed in {most:.2f} s at most: {title}")


def tell(config: pytest.Config, line: str) -> None:
    """Shown also when the tests succeed."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.pluginmanager.getplugin("terminalreporter").write_line(f"\n{line}")


def test_every_requirement_is_shown() -> None:
    titles = [each.title for each in TABLE]
    assert len(titles) == len(set(titles)) >= LEAST
    assert {number for each in TABLE for number in each.ids} | ELSEWHERE.keys() == REQUIREMENTS
    assert [where for where in ELSEWHERE.values() if not is_test(*where.split("::"))] == []


def is_test(file: str, name: str) -> bool:
    """Whether the file next to this one has this test."""
    tree = ast.parse(Path(__file__).with_name(file).read_text())
    return any(isinstance(each, ast.FunctionDef) and each.name == name for each in tree.body)


@pytest.mark.parametrize("scenario", TABLE, ids=lambda each: "-".join(each.title.split()))
def test_exactly_what_the_policies_say(world: PolicyLab, took: Counter[str], scenario: Scenario) -> None:
    with world.in_force(*scenario.policies) as policies:
        before = world.expected(policies)
        if not scenario.relabels:
            spot_checked(scenario, before)
            world.probing = 0.0
            world.agrees(before)
            took[scenario.title] = world.probing
            return
        with world.relabelled(scenario.pod_labels, scenario.namespace_labels):
            wanted = world.expected(policies)
            assert wanted != before, "the labels change nothing"
            spot_checked(scenario, wanted)
            world.probing = 0.0
            world.converges(before, wanted)
            took[scenario.title] = world.probing
        world.converges(wanted, before)


def spot_checked(scenario: Scenario, wanted: set[Way]) -> None:
    """The reference says what the scenario does, which was written by hand."""
    yes, no = ways(scenario.yes), ways(scenario.no)
    assert told(yes - wanted) == [], "the reference denies them"
    assert told(no & wanted) == [], "the reference allows them"


def ways(written: Iterable[str]) -> set[Way]:
    """The ways that spot checks are about: see `Scenario`."""
    found = {text: {way for way in WAYS if matches(way, *text.split())} for text in written}
    assert [text for text, mine in found.items() if not mine] == [], "about no way"
    return set().union(*found.values())


def matches(way: Way, pair: str, *rest: str) -> bool:
    at = {word for word in rest if word[0] != "v"}
    families = {word for word in rest if word[0] == "v"}
    return (
        pair == f"{way.source}>{way.target}"
        and (not at or f"{way.protocol}{way.port or ''}" in at)
        and (not families or f"v{way.family}" in families)
    )

"""2,000 pods come and go, 50 at a time, while the agent is killed 20 times and ovs-vswitchd three times: nothing is
left, no address was two live pods', and the agent needs no more than before.

`make storm` runs this alone and shows its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from agent_fixture import Node, agent_lab
from lab_fixture import until
from steps_fixture import picture
from storm_fixture import AT_ONCE, Needs, Storm, needs

from cni.errors import ErrorCode
from lab import netns
from lab.names import namespace_pattern
from ovsdb import appctl

PODS = 2000
AGENT_KILLS, SWITCH_KILLS = 20, 3
CALM = 400
"""Pods after which an agent has made what it makes once."""
CALM_AFTERWARDS = 600
MORE_MEMORY = 1.10
FEW = 20
"""Open files and threads that an agent has at one moment more than at another."""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-storm") as lab, Node(lab) as node:
        yield node


def kills(storm: Storm) -> list[Callable[[], None]]:
    """In their order: the agent again and again, and between that the switch."""
    order = [storm.kill_agent] * AGENT_KILLS
    for n in range(SWITCH_KILLS, 0, -1):
        order.insert(n * AGENT_KILLS // (SWITCH_KILLS + 1), storm.kill_switch)
    return order


def namespaces(node: Node) -> list[str]:
    return [name for name in netns.names() if namespace_pattern(node.lab.config.name).fullmatch(name)]


def connections(node: Node, but: str) -> list[str]:
    """What the switch tracks of pods, but for one address."""
    told = appctl.ask(node.config.paths.ovs, "dpctl/dump-conntrack").splitlines()
    return [line for line in told if "10.244.1." in line and f"={but}," not in line]


def calm(node: Node, pods: int) -> Needs:
    """What the agent that runs now needs after so many pods, none of which fails or is without traffic."""
    storm = Storm(node)
    storm.blow(pods)
    assert storm.told.reasons == {}
    assert storm.told.counts["pings without an answer"] == 0
    return needs(node)


@pytest.mark.timeout(600)
def test_a_storm_leaves_nothing_behind(node: Node) -> None:
    live = node.box("live")
    address = live.add()["ips"][0]["address"].partition("/")[0]
    first = calm(node, CALM)
    before, spaces = picture(node), namespaces(node)
    storm = Storm(node)
    seconds = storm.blow(PODS, kills(storm))
    print(f"\n{PODS} pods, {AT_ONCE} at a time, in {seconds:.1f} s")
    print(*(f"{number:6} {what}" for what, number in storm.told.counts.items()), sep="\n")
    print(*(f"{number:6} {why}" for why, number in storm.told.reasons.most_common()), sep="\n")
    assert storm.told.codes <= {ErrorCode.TRY_AGAIN_LATER}
    node.wait_ready()
    node.back_at(before.state)
    assert picture(node) == before
    assert namespaces(node) == spaces
    until(
        lambda: not connections(node, but=address), "the switch has forgotten the connections of pods that are gone"
    )
    live.check()
    # An agent that starts where the storm has passed, and the same one later.
    node.kill_agent()
    node.start_agent()
    after = calm(node, CALM)
    later = calm(node, CALM_AFTERWARDS)
    print(f"agent after {CALM} pods: {first}; so after the storm: {after}; {CALM_AFTERWARDS} pods later: {later}")
    assert after.mib < MORE_MEMORY * first.mib
    assert later.mib < MORE_MEMORY * after.mib
    assert later.files < after.files + FEW
    assert later.threads < after.threads + FEW

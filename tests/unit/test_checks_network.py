"""Checks of what lies between nodes, and what nodes are made to try for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from checks_fixture import NODES, facts, found, gateway, node, only, underlay, with_answers, world
from msgspec.structs import replace as changed

from cli.checks import plan
from cli.checks.model import Controller, NodeState, Result
from cli.checks.plan import NOBODY, SMALL, Endpoint, endpoint
from cli.facts import Files, Link, Probe, Probed

FILES = Files("/t/ca.crt", "/t/tls.crt", "/t/tls.key")


def of_alpha(**changes: Any) -> tuple[NodeState, ...]:
    """The three nodes, alpha's facts changed."""
    return node("alpha", facts=facts("alpha", **changes)), node("beta"), node("gamma")


def links(**mtu: int) -> tuple[Link, ...]:
    """Alpha's links, some of them with another MTU."""
    return tuple(changed(each, mtu=mtu.get(each.name.split("-")[0], each.mtu)) for each in facts().links)


def with_mtu(state: NodeState, mtu: int) -> NodeState:
    assert state.view is not None
    assert state.facts is not None
    all_links = tuple(changed(each, mtu=mtu) if each.name != "eth0" else each for each in state.facts.links)
    return replace(state, view=replace(state.view, mtu=mtu), facts=changed(state.facts, links=all_links))


def test_an_uplink_that_is_too_small() -> None:
    finding = only("mtu", world(*of_alpha(links=links(eth0=1450))))
    assert finding.what == "a packet of 1450 bytes is 1500 in its tunnel, and eth0 takes 1450: it is dropped"
    assert finding.remedy == "raise the MTU of eth0 to 1500, or lower pods' to 1400 (mtu)"


def test_a_large_uplink_is_fine() -> None:
    assert found("mtu", world(*of_alpha(links=links(eth0=9000)))) == []


def test_nodes_that_disagree() -> None:
    finding = only("mtu", world(with_mtu(node("alpha"), 1400), node("beta"), node("gamma")))
    assert finding.what.startswith("pods here have an MTU of 1400, those of most nodes 1450")


def test_an_uplink_that_is_gone() -> None:
    problem = "no interface of this node has the tunnel address 192.0.2.1"
    finding = only("mtu", world(*of_alpha(uplink="", uplink_problem=problem)))
    assert finding.what == problem


def test_an_uplink_that_is_down() -> None:
    down = tuple(changed(each, up=False) if each.name == "eth0" else each for each in facts().links)
    assert only("mtu", world(*of_alpha(links=down))).what == "eth0, by which tunnels leave, is down"


def test_a_pod_that_is_older_than_its_mtu_is_a_warning() -> None:
    (finding,) = found("mtu", world(*of_alpha(links=links(web=9000))))
    assert (finding.result, finding.what) == (
        Result.WARNING,
        "shop/web has an MTU of 9000, from before it was lowered to 1450",
    )


def lost(*probes: Probe, why: str = "no answer") -> NodeState:
    """Alpha, to which these probes were not answered."""
    made = world()
    return with_answers(made, made.nodes[0], *(Probed(probe, why) for probe in probes))


def to(peer: str, size: int) -> Probe:
    return Probe("udp", gateway(peer), NOBODY, size)


def test_no_packet_comes_through_a_tunnel() -> None:
    state = lost(to("beta", SMALL), to("beta", 1450))
    finding = only("tunnel", world(state, node("beta"), node("gamma")))
    assert finding.what == "beta (10.10.2.1) does not answer through the tunnel: no answer"
    assert "let UDP port 6081 (geneve) pass between 192.0.2.1 and 192.0.2.2 both ways" in finding.remedy
    assert "a firewall on beta that drops what comes in by weft-gw0 looks the same" in finding.remedy


def test_only_large_packets_are_lost() -> None:
    finding = only("tunnel", world(lost(to("gamma", 1450)), node("beta"), node("gamma")))
    assert finding.what == "packets of 1450 bytes do not get to gamma (10.10.3.1), small ones do: no answer"
    assert "carry 1500 bytes" in finding.remedy


def test_another_port_of_the_tunnel_is_named() -> None:
    state = lost(to("beta", SMALL), to("beta", 1450))
    tunnel = {"1": {"name": "weft-tun0", "type": "vxlan", "options": {"dst_port": "8472"}}}
    state = replace(state, database={**state.database, "Interface": tunnel})
    assert "UDP port 8472 (vxlan)" in only("tunnel", world(state, node("beta"), node("gamma"))).remedy


def test_a_single_node_has_nobody_to_send_to() -> None:
    (finding,) = found("tunnel", world(node()))
    assert (finding.result, finding.what) == (Result.UNKNOWN, "there is no other node to send to")


def test_a_node_that_cannot_try_anything() -> None:
    made = world()
    state = replace(made.nodes[0], probed=(), silent={"probes": "not reached"})
    dumb = replace(made, nodes=(state, *made.nodes[1:]))
    for check in ("tunnel", "ports"):
        (finding,) = found(check, dumb)
        assert (finding.node, finding.result) == ("alpha", Result.UNKNOWN)


def test_a_controller_that_is_not_reached() -> None:
    probe = Probe("tls", "192.0.2.9", 6653, files=FILES)
    finding = only("ports", world(lost(probe), node("beta"), node("gamma")))
    assert finding.what == "OpenFlow by TLS at 192.0.2.9:6653 cannot be used from this node: no answer"
    assert "firewalls" in finding.remedy


def test_a_controller_of_another_authority() -> None:
    probe = Probe("tls", "192.0.2.9", 6653, files=FILES)
    state = lost(probe, why="TLS: unable to get local issuer certificate")
    assert "tls-ca" in only("ports", world(state, node("beta"), node("gamma"))).remedy


def test_what_a_node_tries() -> None:
    made = world()
    assert plan.probes_of(made, made.nodes[1]) == (
        to("gamma", SMALL), to("gamma", 1450), to("alpha", SMALL), to("alpha", 1450),
        Probe("tls", "192.0.2.9", 6653, files=FILES),
    )  # fmt: skip


def test_databases_are_tried_from_where_controllers_are() -> None:
    made = world()
    tcp = [each for each in plan.probes_of(made, made.nodes[0]) if each.kind == "tcp"]
    assert tcp == [Probe("tcp", underlay(name), 6640) for name in NODES]


@pytest.mark.parametrize("controllers", [None, (Controller("weft-controller", "", ()),)])
def test_databases_are_tried_from_everywhere_if_nobody_knows_where_controllers_are(controllers: Any) -> None:
    made = world(controllers=controllers)
    assert all(len([p for p in plan.probes_of(made, each) if p.kind == "tcp"]) == 3 for each in made.nodes)


def test_every_node_is_tried_by_as_many() -> None:
    made = world()
    tried = [peer.node for name in NODES for peer in plan.peers_of(made, name, 1)]
    assert sorted(tried) == sorted(NODES)
    assert plan.peers_of(made, "alpha", 0) == ()


def test_families_that_only_one_end_has_are_not_tried() -> None:
    six = Link("weft-gw0", 1450, True, ("fd00:2::1/128", "fe80::1/64"))
    peer = node("beta", facts=facts("beta", links=(six,)))
    made = world(node("alpha"), peer)
    assert [each for each in plan.probes_of(made, made.nodes[0]) if each.kind == "udp"] == []


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("ssl:192.0.2.1:6653", Endpoint("ssl", "192.0.2.1", 6653)),
        ("tcp:[fd00::1]:6640", Endpoint("tcp", "fd00::1", 6640)),
        ("pssl:6640:192.0.2.1", Endpoint("ssl", "192.0.2.1", 6640)),
        ("pssl:6640:[fd00::1]", Endpoint("ssl", "fd00::1", 6640)),
        ("ptcp:6640:127.0.0.1", None),
        ("unix:/run/weft/openflow.sock", None),
        ("ptcp:6640", None),
        ("ssl:controller:6653", None),
    ],
)
def test_where_a_target_is_reached(target: str, expected: Endpoint | None) -> None:
    assert endpoint(target) == expected

"""weftctl trace through real switches: what is delivered, what is dropped, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from weftctl_fixture import Places, Ran, demo_lab, ip_of, places, rundir_of, weftctl

from cli.journey import find_flow, index
from cli.switch import records
from cli.trace_text import parse
from lab.lab import Lab
from openflow.codec import Encoded
from openflow.decode import decode
from openflow.tables import Table
from ovsdb.appctl import ask

NAME = "t-weftctl-trace"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with demo_lab(NAME) as lab:
        yield lab


@pytest.fixture(scope="module")
def pods(lab: Lab) -> Places:
    return places(lab)


def trace(*arguments: str) -> Ran:
    return weftctl("trace", *arguments, "--lab", NAME)


class TestTrace:
    def test_on_the_same_node(self, lab: Lab, pods: Places) -> None:
        ran = trace(pods.here, pods.beside, "--tcp", "8080")
        assert ran.status == 0
        assert ran.lines[0].startswith(f"{pods.here} → {pods.beside}: TCP port 8080 over IPv4")
        assert re.match(rf"delivered to {pods.beside} on {pods.node} by port \S+$", ran.lines[-1])
        assert [line for line in ran.lines if ", in by " in line] == [ran.lines[2]]

    @pytest.mark.parametrize("family", ["ipv4", "ipv6"])
    @pytest.mark.parametrize("service", [("--tcp", "8080"), ("--udp", "8081"), ("--icmp",), ()])
    def test_across_nodes(self, lab: Lab, pods: Places, service: tuple[str, ...], family: str) -> None:
        ran = trace(pods.here, pods.away, *service, "--family", family)
        assert ran.status == 0
        assert [line.partition(",")[0] for line in ran.lines if ", in by " in line] == [pods.node, pods.other]
        assert any("out by weft-tun0, through the tunnel to 198.18.1." in line for line in ran.lines)
        assert ran.lines[-1].startswith(f"delivered to {pods.away} on {pods.other} by port ")
        assert f"over IPv{family[-1]}" in ran.lines[0]

    def test_every_step_is_named(self, lab: Lab, pods: Places) -> None:
        text = trace(pods.here, pods.away, "--tcp", "80").out
        assert [table.title for table in Table if table.title not in text] == []
        assert not re.search(r"reg\d|cookie|goto_table|in_port=\d", text)
        assert f"pod/{pods.here}" in text
        assert f"node/{pods.other}" in text

    @pytest.mark.parametrize("family", ["ipv4", "ipv6"])
    def test_the_reply(self, lab: Lab, pods: Places, family: str) -> None:
        ran = trace(pods.here, pods.away, "--tcp", "8080", "--reply", "--family", family)
        assert ran.status == 0
        assert ran.lines[-1].startswith(f"delivered to {pods.here} on {pods.node} by port ")
        assert "conntrack says: est, rpl" in ran.out
        assert "EgressPolicy" not in ran.out

    @pytest.mark.parametrize("address", ["1.1.1.1", "2001:db8::1"])
    def test_outside_and_back(self, lab: Lab, pods: Places, address: str) -> None:
        out = trace(pods.here, address, "--udp", "53")
        handed = f"handed to the host of {pods.node} by port weft-gw0, on the way to {address}"
        assert (out.status, out.lines[-1]) == (0, handed)
        back = trace(pods.here, address, "--udp", "53", "--reply")
        assert back.status == 0
        assert back.lines[-1].startswith(f"delivered to {pods.here} on {pods.node} by port ")
        assert back.lines[2] == f"{pods.node}, in by weft-gw0"

    def test_an_address_of_a_pod_is_that_pod(self, lab: Lab, pods: Places) -> None:
        ran = trace(pods.here, ip_of(lab, pods.away, 6))
        assert ran.lines[0].startswith(f"{pods.here} → {pods.away}: ICMP echo over IPv6")
        assert ran.lines[-1].startswith(f"delivered to {pods.away}")

    @pytest.mark.parametrize("forged", [("--source-ip", "10.244.9.9"), ("--source-mac", "02:00:00:00:00:01")])
    def test_a_forged_sender_is_dropped(self, lab: Lab, pods: Places, forged: tuple[str, ...]) -> None:
        ran = trace(pods.here, pods.beside, *forged)
        assert ran.status == 1
        assert ran.lines[-1].startswith(f"dropped in SpoofGuard on {pods.node} because no flow matched")

    def test_somebody_elses_address_from_outside_is_dropped(self, lab: Lab, pods: Places) -> None:
        ran = trace("1.1.1.1", pods.here, "--source-ip", ip_of(lab, pods.away, 4))
        assert ran.status == 1
        assert ran.lines[-1].startswith(f"dropped in SpoofGuard on {pods.node} by a flow of node/{pods.other}")

    def test_an_address_that_no_pod_has(self, lab: Lab, pods: Places) -> None:
        free = ip_of(lab, pods.here, 4).rpartition(".")[0] + ".254"
        ran = trace(pods.here, free)
        assert ran.status == 1
        assert ran.lines[-1].startswith(
            f"dropped in Route on {pods.node} by a flow of node/{pods.node}: ip_dst=10.244."
        )

    def test_what_a_router_never_forwards(self, lab: Lab, pods: Places) -> None:
        ran = trace(pods.here, "224.0.0.1")
        assert (ran.status, ran.lines[-1]) == (
            1, f"dropped in Route on {pods.node} by a flow of pipeline: ip_dst=224.0.0.0/4",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("shop/nope", "1.1.1.1"), "has no pod shop/nope on any bridge: see `weftctl pods`"),
            (("{here}", "nope"), "write <namespace>/<name>"),
            (("{here}", "1.1.1.1", "--family", "ipv6"), "1.1.1.1 has no IPv6 address"),
            (("1.1.1.1", "2.2.2.2"), "on no node that this command can look into"),
            (("{here}", "{away}", "--tcp", "0"), "--tcp"),
            (("{here}", "{away}", "--tcp", "65536"), "--tcp"),
            (("{here}", "{away}", "--source-mac", "xx"), "--source-mac 'xx': write six bytes"),
        ],
    )
    def test_errors(self, lab: Lab, pods: Places, arguments: tuple[str, ...], complaint: str) -> None:
        ran = trace(*(text.format(here=pods.here, away=pods.away) for text in arguments))
        assert (ran.status, ran.out) == (2, "")
        assert complaint in ran.err

    def test_every_flow_that_a_trace_names_is_in_the_dump(self, lab: Lab, pods: Places) -> None:
        dump = records(rundir_of(lab, pods.node) / "br-int.mgmt")
        flows = index(decode(Encoded(*each.flow)) for each in dump)
        port = weftctl("pods", "--node", pods.node, "--lab", NAME).table[0]
        packet = f"icmp,in_port={port['OFPORT']},nw_src=10.0.0.1,nw_dst=10.0.0.2,icmp_type=8"
        text = ask(rundir_of(lab, pods.node), "ofproto/trace", "br-int", packet)
        hits = [hit for each in parse(text) for hit in each.hits]
        assert hits
        assert [hit for hit in hits if hit.match is not None and find_flow(flows, hit) is None] == []

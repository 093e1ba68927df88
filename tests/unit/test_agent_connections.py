"""Which connections the switch is asked to forget, and a switch that cannot be asked."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from node_agent.connections import Connections, flushes
from ovsdb.rows import AttachmentKey, PodPort
from ovsdb.view import BridgeEvent, BridgeGone, PortChanged, PortGone, Snapshot

TOLD = """\
tcp,orig=(src=10.1.0.5,dst=10.1.0.50,sport=40000,dport=80),reply=(src=10.1.0.50,dst=10.1.0.5,sport=80,dport=40000),\
zone=65284,mark=2,labels=0x5,protoinfo=(state=ESTABLISHED)
udp,orig=(src=10.1.0.50,dst=10.1.0.5,sport=53,dport=53),reply=(src=10.1.0.5,dst=10.1.0.50,sport=53,dport=53),zone=65284
udp,orig=(src=10.1.0.50,dst=10.1.0.6,sport=53,dport=53),reply=(src=10.1.0.6,dst=10.1.0.50,sport=53,dport=53),zone=65284
icmp,orig=(src=10.1.0.5,dst=10.1.0.6,id=7,type=8,code=0),reply=(src=10.1.0.6,dst=10.1.0.5,id=7,type=0,code=0),zone=65284
sctp,orig=(src=fd00::5,dst=fd00::50,sport=9,dport=10),reply=(src=fd00::50,dst=fd00::5,sport=10,dport=9),zone=65286
icmpv6,orig=(src=fd00::5,dst=fd00::6,id=7,type=128,code=0),reply=(src=fd00::6,dst=fd00::5,id=7,type=129,code=0),\
zone=65286
tcp,orig=(src=10.1.0.5,dst=10.1.0.50,sport=40000,dport=80),reply=(src=10.1.0.50,dst=10.1.0.5,sport=80,dport=40000),\
protoinfo=(state=ESTABLISHED)
"""


def test_connections_from_and_to_an_address_are_named_whole() -> None:
    told = [*flushes(TOLD, {"10.1.0.5", "fd00::5"}.__contains__)]
    assert {command[0] for command in told} == {"dpctl/flush-conntrack"}
    assert [command[1:] for command in told] == [
        ("zone=65284", "ct_nw_src=10.1.0.5,ct_nw_dst=10.1.0.50,ct_nw_proto=6,ct_tp_src=40000,ct_tp_dst=80"),
        ("zone=65284", "ct_nw_src=10.1.0.50,ct_nw_dst=10.1.0.5,ct_nw_proto=17,ct_tp_src=53,ct_tp_dst=53"),
        ("zone=65284", "ct_nw_src=10.1.0.5,ct_nw_dst=10.1.0.6,ct_nw_proto=1,icmp_id=7,icmp_type=8,icmp_code=0"),
        ("zone=65286", "ct_ipv6_src=fd00::5,ct_ipv6_dst=fd00::50,ct_nw_proto=132,ct_tp_src=9,ct_tp_dst=10"),
    ]


def test_an_address_that_begins_like_another_is_another() -> None:
    assert [*flushes(TOLD, {"10.1.0.7", "10.1.0.1"}.__contains__)] == []


def test_a_translated_connection_is_found_by_the_address_behind_the_translation() -> None:
    told = (
        "tcp,orig=(src=10.1.0.9,dst=10.96.0.1,sport=5,dport=443),reply=(src=10.1.0.5,dst=10.1.0.9,sport=6443,dport=5),"
        "zone=65284,protoinfo=(state=ESTABLISHED)"
    )
    assert [*flushes(told, {"10.1.0.5"}.__contains__)] == [
        (
            "dpctl/flush-conntrack",
            "zone=65284",
            "ct_nw_src=10.1.0.9,ct_nw_dst=10.96.0.1,ct_nw_proto=6,ct_tp_src=5,ct_tp_dst=443",
        )
    ]


def port(name: str, *ips: str) -> PodPort:
    key = AttachmentKey("weft", f"c-{name}", "eth0")
    return PodPort(name, key, "default", name, "", "0a:00:00:00:00:01", tuple(map(ip_address, ips)), "/run/netns/x")


class Asked:
    """Whether the switch was asked since: there is none, and that is told."""

    def __init__(self, rundir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.connections = Connections(rundir)
        self._capsys = capsys

    def claims(self, ip: str) -> bool:
        self.connections.claim([ip_address(ip)])
        told = self._capsys.readouterr()
        return "not forgotten" in told.out + told.err


def test_an_address_is_asked_for_once_after_its_pod_is_gone(tmp_path: Path, capsys) -> None:
    asked = Asked(tmp_path, capsys)
    asked.connections.take(PortChanged(port("a", "10.1.0.5", "fd00::5")))
    asked.connections.take(PortChanged(port("b", "10.1.0.6")))
    asked.connections.take(PortGone("a"))
    assert not asked.claims("10.1.0.7")
    assert asked.claims("10.1.0.5")
    assert not asked.claims("10.1.0.5")


@pytest.mark.parametrize("gone", [BridgeGone("br-int"), Snapshot(None, None)])
def test_with_the_bridge_go_all_pods(tmp_path: Path, capsys, gone: BridgeEvent) -> None:
    asked = Asked(tmp_path, capsys)
    asked.connections.take(PortChanged(port("a", "10.1.0.5")))
    asked.connections.take(gone)
    assert asked.claims("10.1.0.5")


def test_a_pod_whose_end_was_not_told_yet_counts_as_gone(tmp_path: Path, capsys) -> None:
    asked = Asked(tmp_path, capsys)
    asked.connections.take(PortChanged(port("a", "10.1.0.5")))
    assert asked.claims("10.1.0.5")

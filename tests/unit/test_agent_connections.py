"""Which connections the switch is asked to forget, and a switch that cannot be asked."""

from ipaddress import ip_address
from pathlib import Path

from node_agent.connections import Connections, flushes

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
    told = [*flushes(TOLD, [ip_address("10.1.0.5"), ip_address("fd00::5")])]
    assert {command[0] for command in told} == {"dpctl/flush-conntrack"}
    assert [command[1:] for command in told] == [
        ("zone=65284", "ct_nw_src=10.1.0.5,ct_nw_dst=10.1.0.50,ct_nw_proto=6,ct_tp_src=40000,ct_tp_dst=80"),
        ("zone=65284", "ct_nw_src=10.1.0.50,ct_nw_dst=10.1.0.5,ct_nw_proto=17,ct_tp_src=53,ct_tp_dst=53"),
        ("zone=65284", "ct_nw_src=10.1.0.5,ct_nw_dst=10.1.0.6,ct_nw_proto=1,icmp_id=7,icmp_type=8,icmp_code=0"),
        ("zone=65286", "ct_ipv6_src=fd00::5,ct_ipv6_dst=fd00::50,ct_nw_proto=132,ct_tp_src=9,ct_tp_dst=10"),
    ]


def test_an_address_that_begins_like_another_is_another() -> None:
    assert [*flushes(TOLD, [ip_address("10.1.0.7"), ip_address("10.1.0.1")])] == []


def test_a_switch_that_is_down_is_told_of_and_no_reason_to_fail(tmp_path: Path, capsys) -> None:
    Connections(tmp_path).forget([ip_address("10.1.0.5"), ip_address("fd00::5")])
    told = capsys.readouterr()
    assert "10.1.0.5" in told.out + told.err

"""Who is at the ends of a trace, over which family, and how the first packet looks."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from cli_fixture import pod_port, view

from cli.directory import Directory, PodInfo
from cli.errors import CliError
from cli.packet import Service
from cli.survey import Survey
from cli.target import Fabric
from cli.tracer import End, Question, choose_family, find_end, first_packet
from cli.view import Place
from openflow import example
from openflow.constants import GATEWAY_MAC, ROUTER_MAC

FAR = PodInfo("bank/far", "beta", (ip_address("10.10.1.9"), ip_address("fd10:0:0:1::9")))
LATE = PodInfo("shop/late", "alpha", ())
FABRIC = Fabric("lab x", (Place("unix:/x/db.sock", Path("/x/br-int.mgmt")),))
SURVEY = Survey(FABRIC, (view(),), (), Directory(pods={FAR.key: FAR, LATE.key: LATE}))


def _question(**changes: object) -> Question:
    return Question(**({"source": "", "target": "", "service": Service()} | changes))  # type: ignore[arg-type]


def test_a_pod_by_its_name() -> None:
    end = find_end(SURVEY, "shop/web")
    assert (end.pod, end.ips) == ("shop/web", {4: ip_address("10.10.0.5"), 6: ip_address("fd10::5")})
    assert end.port is not None
    assert end.view is not None


def test_an_address_of_a_pod_is_that_pod_over_that_family() -> None:
    end = find_end(SURVEY, "fd10::6")
    assert (end.pod, end.ips) == ("shop/db", {6: ip_address("fd10::6")})


def test_an_address_outside() -> None:
    end = find_end(SURVEY, "192.0.2.99")
    assert (end.pod, end.ips, end.port) == ("", {4: ip_address("192.0.2.99")}, None)


def test_a_pod_on_a_node_out_of_reach_still_has_addresses() -> None:
    end = find_end(SURVEY, "bank/far")
    assert (end.pod, end.view) == ("bank/far", None)
    assert end.ips[4] == ip_address("10.10.1.9")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("shop/nope", "lab x has no pod shop/nope on any bridge: see `weftctl pods`"),
        ("shop/late", "Kubernetes has it on alpha, where it has no port"),
        ("web", "write <namespace>/<name>"),
        ("a/b/c", "write <namespace>/<name>"),
        ("10.10.0.300", "write <namespace>/<name>"),
    ],
)
def test_an_end_that_is_not_there(text: str, complaint: str) -> None:
    with pytest.raises(CliError, match=complaint):
        find_end(SURVEY, text)


def test_a_pod_whose_port_is_not_open_yet() -> None:
    early = Survey(FABRIC, (view(pod_port(example.WEB, ofport=None)),), (), Directory())
    with pytest.raises(CliError, match="has not opened its port yet"):
        find_end(early, "shop/web")


WEB, DB = find_end(SURVEY, "shop/web"), find_end(SURVEY, "shop/db")
OUTSIDE = find_end(SURVEY, "192.0.2.99")


def test_ipv4_comes_first_unless_another_is_asked_for() -> None:
    assert choose_family(WEB, DB, 0) == 4
    assert choose_family(WEB, DB, 6) == 6
    assert choose_family(WEB, find_end(SURVEY, "2001:db8::1"), 0) == 6


@pytest.mark.parametrize(
    ("target", "wanted", "complaint"),
    [("192.0.2.99", 6, "192.0.2.99 has no IPv6 address"), ("2001:db8::1", 4, "2001:db8::1 has no IPv4 address")],
)
def test_a_family_that_an_end_lacks(target: str, wanted: int, complaint: str) -> None:
    with pytest.raises(CliError, match=complaint):
        choose_family(WEB, find_end(SURVEY, target), wanted)


def test_no_family_in_common() -> None:
    with pytest.raises(CliError, match="no address family in common"):
        choose_family(End("a/b", {4: ip_address("10.0.0.1")}), End("c/d", {6: ip_address("fd00::1")}), 0)


def test_a_pod_sends_from_its_port_to_the_router() -> None:
    where, sent = first_packet(WEB, DB, 4, _question())
    assert where is WEB.view
    assert (sent.in_port, sent.eth_src, sent.eth_dst) == (3, example.WEB.mac, ROUTER_MAC)
    assert (str(sent.source), str(sent.target)) == ("10.10.0.5", "10.10.0.6")


def test_what_comes_from_outside_enters_by_the_gateway_of_the_receivers_node() -> None:
    where, sent = first_packet(OUTSIDE, WEB, 4, _question(reply=True))
    assert where is WEB.view
    assert (sent.in_port, sent.eth_src, sent.eth_dst, sent.reply) == (2, GATEWAY_MAC, ROUTER_MAC, True)


def test_a_forged_sender() -> None:
    _, sent = first_packet(WEB, DB, 4, _question(forged_ip="10.10.0.7", forged_mac="02:00:00:00:00:01"))
    assert (str(sent.source), sent.eth_src, sent.in_port) == ("10.10.0.7", "02:00:00:00:00:01", 3)


@pytest.mark.parametrize(("text", "complaint"), [("x", "not an IP address"), ("fd10::7", "the packet is IPv4")])
def test_a_forged_address_that_cannot_be(text: str, complaint: str) -> None:
    with pytest.raises(CliError, match=complaint):
        first_packet(WEB, DB, 4, _question(forged_ip=text))


@pytest.mark.parametrize("text", ["xx", "02:00:00:00:00", "0200.0000.0001"])
def test_a_forged_mac_that_cannot_be(text: str) -> None:
    with pytest.raises(CliError, match=r"--source-mac .*: write six bytes"):
        first_packet(WEB, DB, 4, _question(forged_mac=text))


def test_a_sender_out_of_reach() -> None:
    with pytest.raises(CliError, match="bank/far is on no node that this command can look into"):
        first_packet(find_end(SURVEY, "bank/far"), WEB, 4, _question())


def test_nobody_of_ours_at_either_end() -> None:
    with pytest.raises(CliError, match="on no node that this command can look into"):
        first_packet(OUTSIDE, OUTSIDE, 4, _question())

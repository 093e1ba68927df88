"""Results, in the exact shape of every specification version (C5), for one and for two families."""

import json
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from cni.errors import CniError, ErrorCode
from cni.result import NO_DNS, SUPPORTED_VERSIONS, Dns, Interface, IpConfig, Result, Route, parse_prev_result, render

HOST = Interface("web-1a2b3c", "0a:58:0a:00:00:05", mtu=1450)
POD = Interface("eth0", "0a:58:0a:00:00:05", "/var/run/netns/x", mtu=1450, socket_path="/s", pci_id="0000:00:1f.6")
IP4 = IpConfig(ip_interface("10.10.0.5/32"), ip_address("10.10.0.1"), 1)
IP6 = IpConfig(ip_interface("fd00:10::5/128"), ip_address("fd00:10::1"), 1)
ROUTE4 = Route(ip_network("10.10.0.1/32"), scope=253, mtu=1450, advmss=1410, priority=0, table=254)
DEFAULT4 = Route(ip_network("0.0.0.0/0"), ip_address("10.10.0.1"))
DEFAULT6 = Route(ip_network("::/0"), ip_address("fd00:10::1"))
SINGLE = Result((HOST, POD), (IP4,), (ROUTE4, DEFAULT4))
DUAL = Result((HOST, POD), (IP4, IP6), (ROUTE4, DEFAULT4, DEFAULT6), Dns(("10.96.0.10",), "x", ("a", "b"), ("c",)))

OLD_INTERFACES = [
    {"name": "web-1a2b3c", "mac": "0a:58:0a:00:00:05"},
    {"name": "eth0", "mac": "0a:58:0a:00:00:05", "sandbox": "/var/run/netns/x"},
]
NEW_INTERFACES = [
    {"name": "web-1a2b3c", "mac": "0a:58:0a:00:00:05", "mtu": 1450},
    {
        "name": "eth0",
        "mac": "0a:58:0a:00:00:05",
        "sandbox": "/var/run/netns/x",
        "mtu": 1450,
        "socketPath": "/s",
        "pciID": "0000:00:1f.6",
    },
]
ADDRESS4 = {"interface": 1, "address": "10.10.0.5/32", "gateway": "10.10.0.1"}
ADDRESS6 = {"interface": 1, "address": "fd00:10::5/128", "gateway": "fd00:10::1"}
ROUTES4: list[dict[str, object]] = [{"dst": "10.10.0.1/32"}, {"dst": "0.0.0.0/0", "gw": "10.10.0.1"}]
ROUTES6 = [{"dst": "::/0", "gw": "fd00:10::1"}]
NEW_ROUTES4 = [ROUTES4[0] | {"mtu": 1450, "advmss": 1410, "priority": 0, "table": 254, "scope": 253}, ROUTES4[1]]
DNS = {"nameservers": ["10.96.0.10"], "domain": "x", "search": ["a", "b"], "options": ["c"]}


def rendered(result: Result, version: str) -> dict[str, Any]:
    body = json.loads(render(result, version))
    assert body.pop("cniVersion") == version
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_c5_up_to_0_2_0_a_result_is_one_address_per_family(version: str) -> None:
    ip4 = {"ip": "10.10.0.5/32", "gateway": "10.10.0.1", "routes": ROUTES4}
    ip6 = {"ip": "fd00:10::5/128", "gateway": "fd00:10::1", "routes": ROUTES6}
    assert rendered(SINGLE, version) == {"ip4": ip4, "dns": {}}
    assert rendered(DUAL, version) == {"ip4": ip4, "ip6": ip6, "dns": DNS}


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_c5_up_to_0_2_0_takes_the_first_address_and_needs_one(version: str) -> None:
    second = IpConfig(ip_interface("10.10.0.6/32"))
    assert rendered(Result(ips=(second, IP4)), version) == {"ip4": {"ip": "10.10.0.6/32"}, "dns": {}}
    with pytest.raises(CniError) as caught:
        render(Result((POD,)), version)
    assert caught.value.code is ErrorCode.INCOMPATIBLE_VERSION


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
def test_c5_0_3_and_0_4_name_the_address_family(version: str) -> None:
    ip4, ip6 = {"version": "4"} | ADDRESS4, {"version": "6"} | ADDRESS6
    single = {"interfaces": OLD_INTERFACES, "ips": [ip4], "routes": ROUTES4, "dns": {}}
    assert rendered(SINGLE, version) == single
    assert rendered(DUAL, version) == single | {"ips": [ip4, ip6], "routes": ROUTES4 + ROUTES6, "dns": DNS}


def test_c5_1_0_0_does_not() -> None:
    single = {"interfaces": OLD_INTERFACES, "ips": [ADDRESS4], "routes": ROUTES4, "dns": {}}
    assert rendered(SINGLE, "1.0.0") == single
    dual = {"ips": [ADDRESS4, ADDRESS6], "routes": ROUTES4 + ROUTES6, "dns": DNS}
    assert rendered(DUAL, "1.0.0") == single | dual


def test_c5_1_1_0_adds_interface_and_route_attributes() -> None:
    single = {"interfaces": NEW_INTERFACES, "ips": [ADDRESS4], "routes": NEW_ROUTES4, "dns": {}}
    assert rendered(SINGLE, "1.1.0") == single
    dual = {"ips": [ADDRESS4, ADDRESS6], "routes": NEW_ROUTES4 + ROUTES6, "dns": DNS}
    assert rendered(DUAL, "1.1.0") == single | dual


def test_c43_an_ipam_result_lists_no_interfaces() -> None:
    result = Result(ips=(IpConfig(ip_interface("10.10.0.5/24")),))
    assert rendered(result, "1.0.0") == {"ips": [{"address": "10.10.0.5/24"}], "dns": {}}


@pytest.mark.parametrize("version", ["0.3.2", "1.2.0", "", "1.0"])
def test_c2_other_versions_are_refused(version: str) -> None:
    for call in (lambda: render(SINGLE, version), lambda: parse_prev_result({}, version)):
        with pytest.raises(CniError, match=r"0\.1\.0.*1\.1\.0") as caught:
            call()
        assert caught.value.code is ErrorCode.INCOMPATIBLE_VERSION


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
@pytest.mark.parametrize("result", [SINGLE, DUAL])
def test_what_was_rendered_is_parsed_back_and_rendered_the_same(result: Result, version: str) -> None:
    once = render(result, version)
    assert render(parse_prev_result(json.loads(once), version), version) == once


def test_1_1_0_loses_nothing() -> None:
    assert parse_prev_result(json.loads(render(DUAL, "1.1.0")), "1.1.0") == DUAL


def test_another_plugins_route_with_host_bits_is_taken() -> None:
    prev = parse_prev_result({"routes": [{"dst": "10.0.0.7/8"}]}, "1.0.0")
    assert prev.routes == (Route(ip_network("10.0.0.0/8")),)


@pytest.mark.parametrize(
    ("prev", "named"),
    [
        ([], "prevResult=[]"),
        ({"ips": [{"address": "10.0.0.1"}]}, 'prevResult.ips.address="10.0.0.1"'),
        ({"ips": [{"address": "10.0.0.1/33"}]}, 'prevResult.ips.address="10.0.0.1/33"'),
        ({"ips": [{}]}, "prevResult.ips.address=null"),
        ({"ips": [{"address": 5}]}, "prevResult.ips.address=5"),
        ({"ips": [{"address": "10.0.0.1/32", "gateway": "x"}]}, 'prevResult.ips.gateway="x"'),
        ({"ips": [{"address": "10.0.0.1/32", "interface": 0}]}, "prevResult.ips.interface=0"),
        ({"ips": "no"}, 'prevResult.ips="no"'),
        ({"routes": [{"gw": "10.0.0.1"}]}, "prevResult.routes.dst=null"),
        ({"routes": [{"dst": "10.0.0.1"}]}, 'prevResult.routes.dst="10.0.0.1"'),
        ({"routes": [{"dst": "::/0", "mtu": -1}]}, "prevResult.routes.mtu=-1"),
        ({"interfaces": [{"name": 7}]}, "prevResult.interfaces.name=7"),
        ({"dns": {"search": "x"}}, 'prevResult.dns.search="x"'),
    ],
)
def test_a_malformed_prev_result_is_refused_by_key_and_value(prev: object, named: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_prev_result(prev, "1.1.0")
    assert caught.value.code is ErrorCode.INVALID_NETWORK_CONFIG
    assert named in caught.value.msg


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_up_to_0_2_0_there_are_no_interfaces_to_point_at(version: str) -> None:
    """Found by `make fuzz`: an address of these versions could name an interface, of none that are listed."""
    prev = parse_prev_result({"ip4": {"ip": "10.10.0.5/32", "interface": 1}}, version)
    assert prev.ips == (IpConfig(ip_interface("10.10.0.5/32")),)


def test_a_route_of_a_family_is_refused_by_its_whole_key() -> None:
    prev = {"ip4": {"ip": "10.10.0.5/32", "routes": 5}}
    with pytest.raises(CniError, match=r"prevResult\.ip4\.routes=5"):
        parse_prev_result(prev, "0.2.0")


def test_a_malformed_legacy_prev_result_is_refused_by_key_and_value() -> None:
    with pytest.raises(CniError, match=r'prevResult\.ip4\.ip="10\.0\.0\.1"'):
        parse_prev_result({"ip4": {"ip": "10.0.0.1"}}, "0.2.0")


def test_c21_a_chained_result_has_the_earlier_one_first_and_points_to_the_right_interfaces():
    lo = Interface("lo", sandbox="/x")
    earlier = Result((lo,), (IpConfig(ip_interface("127.0.0.1/8"), interface=0),), (), Dns(("10.0.0.1",)))
    ours = Result(
        (Interface("veth1"), Interface("eth0", sandbox="/x")),
        (IpConfig(ip_interface("10.1.0.5/32"), ip_address("10.1.0.1"), 1), IpConfig(ip_interface("fd00::5/128"))),
        (Route(ip_network("0.0.0.0/0"), ip_address("10.1.0.1")),),
    )
    made = ours.behind(earlier, NO_DNS)
    assert made.interfaces == (lo, *ours.interfaces)
    assert [ip.interface for ip in made.ips] == [0, 2, None]
    assert (made.routes, made.dns) == (ours.routes, earlier.dns)
    own = Dns(("10.96.0.10",))
    assert ours.behind(earlier, own).dns == own
    assert ours.behind(None, NO_DNS) == ours

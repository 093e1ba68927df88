"""The weft.dev/* annotations: what an agent writes, every reader understands or refuses by name."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kube.annotations import NodeAnnotations, openflow_of
from kube.errors import ParseError
from kube.objects import Meta


def test_nothing_known_says_nothing() -> None:
    assert NodeAnnotations().format() == {}
    assert NodeAnnotations.parse("w1", {"other.io/x": "y"}) == NodeAnnotations()


def test_all_known() -> None:
    known = NodeAnnotations(ip_address("192.0.2.1"), "ssl:[2001:db8::1]:6640", 0xAB, 1450)
    texts = {
        "weft.dev/tunnel-ip": "192.0.2.1",
        "weft.dev/ovsdb": "ssl:[2001:db8::1]:6640",
        "weft.dev/datapath-id": "00000000000000ab",
        "weft.dev/mtu": "1450",
    }
    assert known.format() == texts
    assert NodeAnnotations.parse("w1", texts) == known


@pytest.mark.parametrize(
    "remote", ["unix:/run/openvswitch/db.sock", "tcp:192.0.2.1:6640", "ssl:192.0.2.1:1", "tcp:[::1]:65535"]
)
def test_connections_to_the_database(remote: str) -> None:
    assert NodeAnnotations.parse("w1", {"weft.dev/ovsdb": remote}).ovsdb == remote


BAD = {
    "weft.dev/tunnel-ip": [
        *("", "banana", "192.0.2.1/24", "0.0.0.0", "127.0.0.1", "224.0.0.1", "::", "::1", "ff02::1", "fe80::1"),
        *("2001:db8::1%eth0", " 192.0.2.1", "192.0.2.01"),
    ],
    "weft.dev/ovsdb": [
        *("", "unix:", "unix:relative", "unix:/a\n", f"unix:/{'a' * 200}", "tcp:192.0.2.1", "tcp:host:6640"),
        *("tcp:192.0.2.1:0", "tcp:192.0.2.1:65536", "tcp:192.0.2.1:x", "tcp:::1:6640", "tcp:[192.0.2.1]:1"),
        *("http:192.0.2.1:1", "ptcp:6640", "192.0.2.1:6640"),
    ],
    "weft.dev/datapath-id": ["", "ab", "0" * 16, "g" * 16, "AB" * 8, "0x00000000000000", "\u0661" * 16],
    "weft.dev/mtu": ["", "575", "65536", "-1500", "1500.0", "1_500", " 1500", "\u0661\u0665\u0660\u0660", "9" * 5000],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_bad_values_name_node_key_and_value(name: str, text: str) -> None:
    with pytest.raises(ParseError) as caught:
        NodeAnnotations.parse("w1", {name: text})
    error = caught.value
    assert (error.kind, error.key, error.field, error.value) == ("Node", "w1", f"annotation {name}", text)
    assert error.why


def lease(**annotations: str) -> Meta:
    named = {f"weft.dev/{name}": text for name, text in annotations.items()}
    return Meta("weft-controller", "weft-system", "", "1", {}, named, None, deleting=False)


@pytest.mark.parametrize(
    "target",
    ["ssl:192.0.2.1:6653", "ssl:[2001:db8::1]:6653", "ssl:127.0.0.1:1", "unix:/run/of.sock", "tcp:127.0.0.1:6653",
     "tcp:[::1]:65535"],
)  # fmt: skip
def test_where_the_controller_listens_for_switches(target: str) -> None:
    assert openflow_of(lease(openflow=target)) == target


def test_a_lease_need_not_say_where() -> None:
    assert openflow_of(lease()) is None


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("", "give ssl:IP:PORT"), ("banana", "give ssl:IP:PORT"), ("pssl:6653", "give ssl:IP:PORT"),
        ("192.0.2.1:6653", "give ssl:IP:PORT"), ("SSL:192.0.2.1:6653", "give ssl:IP:PORT"),
        ("ssl:controller:6653", "IP:PORT"), ("ssl:192.0.2.1", "IP:PORT"), ("ssl:2001:db8::1:6653", "brackets"),
        ("ssl:192.0.2.1:0", "a port is 1 to 65535"), ("ssl:192.0.2.1:65536", "a port is 1 to 65535"),
        ("ssl:0.0.0.0:6653", "nobody can connect to it"), ("ssl:[::]:6653", "nobody can connect to it"),
        ("ssl:224.0.0.1:6653", "nobody can connect to it"), ("tcp:192.0.2.1:6653", "only loopback addresses"),
        ("tcp:[2001:db8::1]:6653", "only loopback addresses"), ("unix:of.sock", "absolute path"),
        ("unix:/a\nb", "absolute path"), (f"unix:/{'a' * 200}", "at most 107 bytes"),
    ],
)  # fmt: skip
def test_a_target_that_no_switch_may_have_is_refused_by_name(target: str, why: str) -> None:
    with pytest.raises(ParseError, match=why) as caught:
        openflow_of(lease(openflow=target))
    error = caught.value
    assert (error.kind, error.key) == ("Lease", "weft-system/weft-controller")
    assert (error.field, error.value) == ("annotation weft.dev/openflow", target)

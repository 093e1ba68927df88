"""What is a leftover of a crash or a reboot, and what is alive."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from node_agent.recovery import Leftovers, leftovers
from ovsdb.rows import AttachmentKey, Bridge, PodPort

NOTHING = Leftovers((), ())


def port(name: str) -> PodPort:
    key = AttachmentKey("weft", f"of-{name}", "eth0")
    return PodPort(name, key, "default", name, "", "02:00:00:00:00:01", (ip_address("10.1.0.5"),), "/x")


def bridge(*ports: str, refused: Iterable[str] = ()) -> Bridge:
    made = {name: port(name) for name in ports}
    return Bridge("br-int", "n1", "1", 1, "netdev", ports=made, refused=dict.fromkeys(refused, "why"))


def test_a_pod_with_row_and_device_is_alive() -> None:
    assert leftovers(bridge("a-1", "b-2"), ["b-2", "a-1"]) == NOTHING


def test_a_device_without_a_row_is_an_add_that_died() -> None:
    assert leftovers(bridge("a-1"), ["c-3", "b-2", "a-1"]) == Leftovers(("b-2", "c-3"), ())


def test_a_row_without_a_device_is_a_pod_that_a_reboot_took() -> None:
    assert leftovers(bridge("c-3", "a-1", "b-2"), ["b-2"]) == Leftovers((), ("a-1", "c-3"))


def test_a_pod_whose_row_cannot_be_read_keeps_its_device() -> None:
    assert leftovers(bridge("a-1", refused=["b-2"]), ["a-1", "b-2"]) == NOTHING


def test_an_empty_node_has_no_leftovers() -> None:
    assert leftovers(bridge(), []) == NOTHING

"""What is a leftover of a crash or a reboot, and what is alive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from kube.objects import Meta, Pod
from node_agent.recovery import Leftovers, Overdue, abandoned, leftovers
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


# Left over for a while.


def pod(name: str, uid: str = "u", **annotations: str) -> Pod:
    meta = Meta(name, "default", uid, "1", {}, annotations, None, False)
    return Pod(meta, "n1", False, "Running", (), ())


def test_what_is_left_over_at_every_look_of_the_grace_period_is_overdue() -> None:
    overdue, found = Overdue(10), Leftovers(("a-1",), ("b-2",))
    assert overdue.look(found, 100) == NOTHING
    assert overdue.look(found, 109) == NOTHING
    assert overdue.look(found, 110) == found


def test_what_was_in_order_in_between_begins_anew() -> None:
    overdue = Overdue(10)
    overdue.look(Leftovers(("a-1",), ("b-2",)), 100)
    overdue.look(Leftovers(("a-1",), ()), 105)
    assert overdue.look(Leftovers(("a-1",), ("b-2",)), 110) == Leftovers(("a-1",), ())
    assert overdue.look(Leftovers((), ("b-2",)), 120) == Leftovers((), ("b-2",))


def test_a_port_whose_pod_the_api_does_not_know_is_abandoned() -> None:
    ports = [port("a"), port("b")]
    assert abandoned(ports, {"default/a": pod("a")}) == ("b",)
    assert abandoned(ports, {}) == ("a", "b")


def test_a_pod_that_cannot_be_read_is_there() -> None:
    assert abandoned([port("a")], {"default/a": None}) == ()


def test_a_later_pod_of_the_same_name_is_another() -> None:
    mine = replace(port("a"), uid="first")
    assert abandoned([mine], {"default/a": pod("a", "second")}) == ("a",)
    assert abandoned([mine], {"default/a": pod("a", "first")}) == ()


def test_a_static_pod_has_another_uid_in_the_api() -> None:
    mine = replace(port("a"), uid="of-the-file")
    mirror = pod("a", "of-the-mirror", **{"kubernetes.io/config.mirror": "of-the-file"})
    assert abandoned([mine], {"default/a": mirror}) == ()

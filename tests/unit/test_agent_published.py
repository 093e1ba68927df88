"""Where a node's database listens, and what the Node says of it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kube.annotations import ovsdb_remote
from node_agent.published import Listening, NoAddress, listening, manager, remote

V4, V6 = ip_address("192.0.2.1"), ip_address("fd00::1")


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("", None),
        ("unix:/run/openvswitch/db.sock", None),
        ("ssl:6640", Listening(6640)),
        ("ssl:192.0.2.1:6640", Listening(6640, V4)),
        ("ssl:[fd00::1]:6640", Listening(6640, V6)),
    ],
)
def test_what_is_asked_for(published: str, expected: Listening | None) -> None:
    assert listening(published) == expected


@pytest.mark.parametrize(
    "published", ["ssl:", "ssl::6640", "ssl:fd00::1:6640", "ssl:65536", "ssl:-1", "ssl:[192.0.2.1]:1"]
)
def test_a_mistake_names_the_value(published: str) -> None:
    with pytest.raises(ValueError, match=r"give ssl:PORT or ssl:IP:PORT") as caught:
        listening(published)
    assert repr(published) in str(caught.value)


def test_the_first_internal_address_is_the_nodes() -> None:
    assert Listening(6640).at((V6, V4)) == V6
    assert Listening(6640, V4).at((V6,)) == V4
    with pytest.raises(NoAddress, match="no InternalIP"):
        Listening(6640).at(())


@pytest.mark.parametrize(("address", "said"), [(V4, "192.0.2.1"), (V6, "[fd00::1]")])
def test_open_vswitch_and_the_controller_are_told_the_same(address: object, said: str) -> None:
    assert manager(address, 6640) == f"pssl:6640:{said}"
    assert ovsdb_remote(remote(address, 6640)) == f"ssl:{said}:6640"

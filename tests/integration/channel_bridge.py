"""A bridge for tests of the OpenFlow channel, and flows to send it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ovs_fixture import PrivateOvs

from openflow.actions import Output
from openflow.codec import encode
from openflow.example import flows
from openflow.flow import Flow
from openflow.match import IPV4, ip_dst, match
from openflow.net import network

BRIDGE = "br0"
DPID = 0xABCDEF
GOOD = {key.hex(): body.hex() for key, body in map(encode, flows())}


@contextmanager
def bare_bridge(ovs: PrivateOvs) -> Iterator[None]:
    """A bridge that connects nowhere yet."""
    settings = ("datapath_type=netdev", "protocols=OpenFlow15", "fail_mode=secure",
                f"other_config:datapath-id={DPID:016x}", "other_config:disable-in-band=true")  # fmt: skip
    ovs.vsctl("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, *settings)
    yield
    ovs.vsctl("--if-exists", "del-br", BRIDGE)


def connect(ovs: PrivateOvs, target: str) -> None:
    """Have the bridge connect there, and reconnect without long pauses."""
    ovs.vsctl("set-controller", BRIDGE, target, "--", "set", "Controller", BRIDGE, "max_backoff=1000")


def many(count: int) -> dict[str, str]:
    made = (
        Flow(5, 1 + number % 7, match(IPV4, ip_dst(network(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))),
             (Output(1),), number)
        for number in range(count)
    )  # fmt: skip
    return {key.hex(): body.hex() for key, body in map(encode, made)}

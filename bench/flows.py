"""Many flows of the kind a node has: those of its pods, as the pipeline's own feature makes them."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import count, islice

from openflow.features import pod
from openflow.fields import IdentityId, OfPort
from openflow.flow import Flow

_V4, _V6 = int(IPv4Address("10.0.0.0")), int(IPv6Address("fd57::"))
_NAMESPACES = 20
_IDENTITIES = 500


def pod_flows(number: int) -> list[Flow]:
    """The first `number` flows of as many dual-stack pods as it takes."""
    return list(islice(_endless(), number))


def _endless() -> Iterator[Flow]:
    for port in count(1):
        yield from pod.flows(local_pod(port))


def local_pod(port: int) -> pod.LocalPod:
    """The pod behind OpenFlow port `port`."""
    mac = (0x0A << 40 | port).to_bytes(6, "big").hex(":")
    ips = (IPv4Address(_V4 + port), IPv6Address(_V6 + port))
    identity = IdentityId(port % _IDENTITIES + 1)
    return pod.LocalPod(f"ns-{port % _NAMESPACES}", f"web-{port}", OfPort(port), mac, ips, identity)

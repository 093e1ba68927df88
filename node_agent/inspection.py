"""What of an attachment is not as ADD made it, in words that name what to look at: for CHECK.

What other plugins of the chain may have changed is left to them: the MTU, routes beside Weft's, and the tables that
Weft's routes are in.
"""

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from cni.requested import Bandwidth
from cni.result import Result
from node_agent.wiring import Attachment, PodEnd
from openflow import management
from openflow.codec import Encoded
from openflow.features import pod
from openflow.fields import IdentityId, OfPort
from openflow.flow import Feature, cookie
from openflow.render import what
from ovsdb.rows import PodPort

FLOWS_SECONDS, GLANCE_SECONDS = 5.0, 1.0

_UNKNOWN = IdentityId(0)  # identities are in what flows do, not in what they match


def pod_end_problems(wanted: Attachment, found: PodEnd, told: Result) -> Iterator[str]:
    """What is wrong inside the pod's namespace; `told` is what ADD has answered."""
    name, link = wanted.ifname, found.link
    if link is None:
        yield f"the pod has no interface {name}"
        return
    if not link.up:
        yield f"the pod's interface {name} is down"
    if link.mac != wanted.mac:
        yield f"the pod's interface {name} has MAC {link.mac}, and only packets from {wanted.mac} pass the switch"
    for address in wanted.addresses:
        if address not in found.addresses:
            yield f"the pod's interface {name} has no address {address}"
    there = {each.ip for each in (*found.addresses, *wanted.addresses)}
    for address in told.addresses_of(name):
        if address.ip not in there:
            yield f"the pod's interface {name} has no address {address.ip}, which prevResult gives it"
    hops = {route.destination for route in found.routes if route.gateway is None}
    defaults = {route.gateway for route in found.routes if route.destination.prefixlen == 0}
    # A second interface has none while the first has one, and is told none.
    promised = {route.gw for route in told.routes if route.dst.prefixlen == 0}
    macs = {each.ip: each.mac for each in found.neighbours}
    for gateway in wanted.gateways:
        if not any(gateway in network for network in hops):
            yield f"the pod has no route to its gateway {gateway} on {name}"
        if gateway in promised and gateway.version not in found.defaults and gateway not in defaults:
            yield f"the pod has no default route by {gateway} on {name}"
        if macs.get(gateway) != wanted.router_mac:
            now = macs.get(gateway, "missing")
            yield f"the pod's permanent neighbour {gateway} on {name} is {now}; it should be {wanted.router_mac}"


def limit_problems(wanted: Bandwidth, received: int, sent: int) -> Iterator[str]:
    """What is wrong with the limits, of which `received` and `sent` are in force, in bits per second."""
    for limit, rate, what_it_does in ((wanted.ingress, received, "receives"), (wanted.egress, sent, "sends")):
        if limit is not None and rate // 8 != limit.rate // 8:
            now = f"is limited to {rate} bit/s" if rate else "is not limited"
            yield f"what the pod {what_it_does} {now}; it should be limited to {limit.rate} bit/s"


def port_problems(port: PodPort) -> Iterator[str]:
    """What is wrong with the attachment's rows in the switch's database."""
    if port.error is not None:
        yield f"Open vSwitch cannot open port {port.name}: {port.error}"
    elif port.ofport is None:
        yield f"Open vSwitch has not opened port {port.name}"
    elif not port.ready:
        yield f"port {port.name} is not programmed: the controller has not confirmed its flows"


def missing_flows(port: PodPort, socket: Path) -> Sequence[str]:
    """The flows that let the pod send and receive and that the switch does not have, in words. `socket` is the
    bridge's management socket. Raises ManagementError."""
    installed = _installed(port, socket, FLOWS_SECONDS)
    return [what(flow.key) for flow in _flows(port) if flow.key not in installed]


def has_flows(port: PodPort, socket: Path) -> bool:
    """Whether the switch still has any of those flows. Raises ManagementError; soon, for a DEL waits."""
    return not _installed(port, socket, GLANCE_SECONDS).isdisjoint(flow.key for flow in _flows(port))


def _installed(port: PodPort, socket: Path, seconds: float) -> Set[bytes]:
    """The keys of all flows of its pod, which may have other ports."""
    mark = cookie(Feature.POD, pod.owner(port.namespace, port.pod))
    return {record.flow.key for record in management.records(socket, seconds, mark)}


def _flows(port: PodPort) -> tuple[Encoded, ...]:
    if port.number is None:
        return ()
    return pod.encoded(pod.LocalPod(port.namespace, port.pod, OfPort(port.number), port.mac, port.ips, _UNKNOWN))

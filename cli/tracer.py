"""Traces a packet from node to node: asks each switch on its way, until the packet has arrived or is gone."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from cli.errors import CliError
from cli.flows import seen
from cli.journey import Goal, Leg, Verdict, follow, index
from cli.packet import Packet, Service
from cli.survey import Survey, check_pod
from cli.switch import records
from cli.trace_text import parse
from cli.view import NodeView, pod_key
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from openflow.net import IPAddress
from ovsdb import appctl
from ovsdb.rows import GATEWAY_PORT, PodPort

_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_TRIES, _TRY_SECONDS = 10, 0.1
_CT_PASSES = 4
"""How often a packet may go through conntrack in one bridge; more states than needed do no harm."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection: a pod (on a node, when that is within reach), or an address outside."""

    label: str
    ips: Mapping[int, IPAddress]
    view: NodeView | None = None
    port: PodPort | None = None

    @property
    def pod(self) -> str:
        """`<namespace>/<name>`; "" for an address outside."""
        return self.label if "/" in self.label else ""


@dataclass(frozen=True, slots=True)
class Question:
    """What to trace. `family` is 4, 6 or 0 for whichever both have; `forged_ip` and `forged_mac` replace the
    sender's own, "" to leave them."""

    source: str
    target: str
    service: Service
    family: int = 0
    reply: bool = False
    forged_ip: str = ""
    forged_mac: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The packet's way and its end."""

    title: str
    legs: tuple[Leg, ...]
    verdict: Verdict


def trace(found: Survey, question: Question) -> Answer:
    """Follow the packet. Raises CliError for an end that is not there, or a switch that does not answer."""
    client, server = find_end(found, question.source), find_end(found, question.target)
    version = choose_family(client, server, question.family)
    sender, receiver = (server, client) if question.reply else (client, server)
    view, packet = first_packet(sender, receiver, version, question)
    goal = Goal(receiver.ips[version], receiver.pod)
    legs: list[Leg] = []
    state = "trk,est,rpl" if question.reply else "trk,new"
    title = f"{sender.label} → {receiver.label}: {packet}"
    for _ in range(len(found.views) + 1):
        legs.append(_leg(found, view, packet, state))
        after = follow(legs[-1], found.views, goal)
        if isinstance(after, Verdict):
            return Answer(title, tuple(legs), after)
        view, packet = after.view, after.packet
    nodes = " → ".join(leg.view.node for leg in legs)
    return Answer(title, tuple(legs), Verdict(False, f"it goes round in a circle: {nodes}"))


def find_end(found: Survey, text: str) -> End:
    """The pod or the address that is called `text`; an address of a pod is that pod. Raises CliError."""
    try:
        address = ip_address(text)
    except ValueError:
        return _pod_end(found, check_pod(text))
    owners = [pod_key(port) for view in found.views for port in view.bridge.ports.values() if address in port.ips]
    if not owners:
        return End(text, {address.version: address})
    return replace(_pod_end(found, owners[0]), ips={address.version: address})


def _pod_end(found: Survey, pod: str) -> End:
    elsewhere = found.directory.pods.get(pod)
    if elsewhere and elsewhere.node not in [view.node for view in found.views] and elsewhere.ips:
        return End(pod, _by_version(elsewhere.ips))
    view = found.node_of(pod)
    port = view.pod_port(pod)
    if port is None or port.ofport is None:
        raise CliError(f"pod {pod}: Open vSwitch on {view.node} has not opened its port yet; see `weftctl pods`")
    return End(pod, _by_version(port.ips), view, port)


def _by_version(ips: Iterable[IPAddress]) -> Mapping[int, IPAddress]:
    return {ip.version: ip for ip in ips}


def choose_family(client: End, server: End, wanted: int) -> int:
    """The IP version that both ends have: the wanted one, else IPv4 before IPv6. Raises CliError."""
    for end in (client, server):
        if wanted and wanted not in end.ips:
            raise CliError(f"{end.label} has no IPv{wanted} address")
    common = sorted(client.ips.keys() & server.ips.keys())
    if not common:
        raise CliError(f"{client.label} and {server.label} have no address family in common")
    return wanted or common[0]


def first_packet(sender: End, receiver: End, version: int, question: Question) -> tuple[NodeView, Packet]:
    """Where the packet enters, and how. What comes from outside enters by the gateway of the receiver's node."""
    source = _forged(question.forged_ip, version) or sender.ips[version]
    view = sender.view or receiver.view
    if view is None or (sender.pod and sender.view is None):
        raise CliError(f"{sender.label} is on no node that this command can look into")
    if sender.port is None:
        number, own_mac = view.number_of(GATEWAY_PORT), GATEWAY_MAC
    else:
        number, own_mac = sender.port.ofport or 0, sender.port.mac
    return view, Packet(
        in_port=number,
        eth_src=_forged_mac(question.forged_mac) or own_mac,
        eth_dst=ROUTER_MAC,
        source=source,
        target=receiver.ips[version],
        service=question.service,
        reply=question.reply,
    )


def _forged(text: str, version: int) -> IPAddress | None:
    if not text:
        return None
    try:
        address = ip_address(text)
    except ValueError as e:
        raise CliError(f"--source-ip {text!r}: not an IP address") from e
    if address.version != version:
        raise CliError(f"--source-ip {text}: the packet is IPv{version}; give an address of that family, or --family")
    return address


def _forged_mac(text: str) -> str:
    if text and not _MAC.fullmatch(text):
        raise CliError(f"--source-mac {text!r}: write six bytes with colons, such as 02:00:00:00:00:01")
    return text


def _leg(found: Survey, view: NodeView, packet: Packet, state: str) -> Leg:
    """One bridge's part. A tunnel that was idle has to find the MAC of its other end first: that is waited for."""
    flows = index(each.flow for each in seen(view.node, records(view.place.management)))
    names = found.names(view)
    for _ in range(_TRIES):
        leg = Leg(view, packet, parse(_ask(view, packet, state)), flows, names)
        if not leg.passes:
            raise CliError(f"{view.node}: ovs-vswitchd answers ofproto/trace with nothing that weftctl can read")
        if not leg.outcome.waits:
            break
        time.sleep(_TRY_SECONDS)
    return leg


def _ask(view: NodeView, packet: Packet, state: str) -> str:
    states = ["--ct-next", state] * _CT_PASSES
    try:
        return appctl.ask(view.place.rundir, "ofproto/trace", view.bridge.name, packet.flow, *states)
    except (appctl.NoAnswer, appctl.CommandRefused) as e:
        raise CliError(f"{view.node}: {e}") from e

"""Attaching pods: what ADD, DEL, CHECK, GC and STATUS do, each one linear story.

The switch's database is the only ledger: an address is taken by committing the pod's port row and free when the
row is gone. Between the choice of an address and the commit of its row it is held in memory; an agent that dies in
between has committed nothing, so nothing leaks.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_network

from cni import netconf
from cni.errors import CniError, ErrorCode
from cni.netconf import Add, Check, Del, Gc
from cni.requested import Bandwidth, PodArgs, Requested
from cni.result import Interface, IpConfig, Result, Route
from node_agent import inspection, wiring
from node_agent.addresses import Addresses, check_gateways, granting, wish_of, with_annotation
from node_agent.bridge import NodeBridge, NotInTime
from node_agent.ipam import Exhausted, IPAddress, Pools, gateway_address
from node_agent.netlink import SharedNetlink
from node_agent.netns import NetNs, NotANamespace
from node_agent.turns import Gone, Turns, stays
from node_agent.wiring import InterfaceExists
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from openflow.errors import ManagementError
from ovsdb.errors import OvsdbError, OvsdbUnavailable
from ovsdb.rows import AttachmentKey, PodPort, port_name

COMMIT_SECONDS = 5.0
PROGRAM_SECONDS = 8.0
"""How long ADD waits for the controller; the runtime hears of it well before its own patience ends."""
FORGET_SECONDS, FIRST_LOOK_SECONDS = 1.0, 0.001
"""How long DEL waits in all until the switch has forgotten a pod, and for how long after its first look."""

_ETHERNET_HEADER = 14


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """What pods on this node get. `mtu` in bytes."""

    pools: Pools
    mtu: int
    userspace_datapath: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the agent knows and does. `network` is what pods get; `claim` is told which addresses a pod is
    given, before it has them; `missing_flows` says which of a port's flows are not in the switch, `has_flows` whether
    any of them is; `annotations` are a Pod's, and raise CniError when they are not known; `doubt` says why the
    controller will not know such a Pod, "" if nothing speaks against it."""

    network: Callable[[], NodeNetwork]
    claim: Callable[[Sequence[IPAddress]], None]
    missing_flows: Callable[[PodPort], Sequence[str]]
    has_flows: Callable[[PodPort], bool]
    annotations: Callable[[PodArgs], Mapping[str, str]]
    doubt: Callable[[PodArgs], str]


Measure = Callable[[str], None]
"""Called with the name of each step of an ADD or DEL as it ends."""


def _unmeasured(step: str) -> None:
    return


class Attacher:
    """Carries out attachment requests; methods may be called from many threads at once."""

    def __init__(self, switch: NodeBridge, around: Surroundings, seed: int) -> None:
        """`seed` chooses the first address."""
        self._switch = switch
        self._around = around
        self._addresses = Addresses(switch.addresses, seed)
        self._netlink = SharedNetlink()
        self._turns: Turns[AttachmentKey] = Turns()

    def add(self, command: Add, measure: Measure = _unmeasured, gone: Gone = stays) -> Result:
        """CNI ADD: returns when the pod's first packet will meet its flows. Raises CniError, and CallerGone when the
        caller has left before its turn; nothing is left then."""
        key = _key(command)
        pod = command.attachment.args
        if not pod.namespace or not pod.pod:
            raise CniError(
                ErrorCode.INVALID_ENVIRONMENT,
                "CNI_ARGS has no K8S_POD_NAMESPACE and K8S_POD_NAME: Weft attaches Kubernetes pods; for a runtime"
                " that gives none, put them into the plugin's configuration, under args.cni",
            )
        with self._turns.take(key, gone), _explained(), ExitStack() as undo:
            netns = undo.enter_context(_open(command))
            name = port_name(pod.namespace, pod.pod, key)
            self._drop_stale(name, key)
            network = self._around.network()
            ips = undo.enter_context(self._hold(key, command, network.pools))
            self._around.claim(ips)
            mac = _granted_mac(command.requested) or pod_mac(key)
            port = PodPort(name, key, pod.namespace, pod.pod, pod.uid, mac, ips, command.attachment.netns)
            attachment = _attachment(port, network, _granted_limits(command.requested.bandwidth, network.mtu))
            measure("allocate")
            with ExitStack() as failed:
                defaults = self._wire(port, attachment, netns, failed, measure)
                failed.pop_all()
        return _result(port, network, defaults).behind(command.conf.prev_result, command.requested.dns)

    def _wire(
        self, port: PodPort, attachment: wiring.Attachment, netns: NetNs, failed: ExitStack, measure: Measure
    ) -> frozenset[IPAddress]:
        """Returns the gateways by which the pod has a default route."""
        failed.callback(wiring.create(attachment, netns, self._netlink))
        measure("veth")
        # The switch opens its end while the pod's end is being configured.
        committed = self._switch.add_port(port)
        failed.callback(lambda: self._switch.del_port(port.name).result(COMMIT_SECONDS))
        defaults = wiring.configure(attachment, netns)
        measure("configure")
        committed.result(COMMIT_SECONDS)
        measure("commit")
        self._wait_programmed(port)
        measure("program")
        return defaults

    def _wait_programmed(self, port: PodPort) -> None:
        try:
            self._switch.wait_programmed(port.name, port.key.container, PROGRAM_SECONDS)
        except NotInTime as e:
            doubt = self._around.doubt(PodArgs(port.namespace, port.pod, port.uid))
            raise NotInTime(f"{e}; {doubt}" if doubt else str(e)) from e

    def delete(self, command: Del, measure: Measure = _unmeasured, gone: Gone = stays) -> None:
        """CNI DEL: succeeds when nothing of the attachment is left, also if nothing was. Raises CniError; for the
        node's own namespace as the Go skeleton does, after all was removed. CallerGone, as `add`."""
        key = _key(command)
        pod = command.attachment.args
        named = (port_name(pod.namespace, pod.pod, key),) if pod.namespace and pod.pod else ()
        with self._turns.take(key, gone), _explained():
            self._remove_all(key, named, measure)
        # What there was is gone all the same.
        with suppress(NotANamespace), NetNs.open(command.attachment.netns) as netns:
            _refuse_own(netns, command.attachment)

    def check(self, command: Check) -> None:
        """CNI CHECK: raises CniError when the attachment is not what ADD made of it."""
        key = _key(command)
        with _explained():
            port = next((port for port in self._ledger().values() if port.key == key), None)
            problems = ["the switch's database has no port for it"] if port is None else self._problems(command, port)
        if problems:
            raise CniError(
                ErrorCode.CHECK_FAILED,
                f"container {key.container}, interface {key.ifname}: {'; '.join(problems)}; recreate the pod",
            )

    def _problems(self, command: Check, port: PodPort) -> list[str]:
        problems = [*inspection.port_problems(port)]
        host_end = wiring.host_end(port.name)
        if host_end is None:
            # The pod's end went with it: nothing in there is worth a word.
            return [*problems, f"interface {port.name} is missing on the node"]
        if not host_end.up:
            problems.append(f"interface {port.name} is down on the node")
        with _open(command) as netns:
            found = wiring.pod_end(port.key.ifname, netns)
        wanted = _attachment(port, self._around.network(), command.bandwidth)
        problems += inspection.pod_end_problems(wanted, found, command.conf.prev_result or Result())
        problems += inspection.limit_problems(command.bandwidth, wiring.received_rate(port.name), found.rate)
        if not problems:
            problems += (f"the switch has no flow {flow}" for flow in self._around.missing_flows(port))
        return problems

    def collect(self, command: Gc, gone: Gone = stays) -> None:
        """CNI GC: remove this network's attachments that the runtime does not know. Goes on after errors, then
        raises CniError with all of them. CallerGone: the caller left, and what it knows has aged."""
        if command.valid is None:
            return
        errors = []
        for key in self._attachments():
            if key.network != command.conf.name or (key.container, key.ifname) in command.valid:
                continue
            try:
                with self._turns.take(key, gone), _explained():
                    self._remove_all(key)
            except CniError as e:
                errors.append(f"container {key.container}, interface {key.ifname}: {e.msg}")
        if errors:
            raise CniError(ErrorCode.TRY_AGAIN_LATER, "; ".join(errors))

    def _attachments(self) -> Iterable[AttachmentKey]:
        """All there are or will be: a runtime calls nothing else during a GC (SPEC, Lifecycle & Ordering), so what
        is under way still is an ADD whose caller was killed, perhaps before its row was committed."""
        under_way = dict.fromkeys(self._turns.under_way())
        with _explained():
            return under_way | dict.fromkeys(port.key for port in self._ledger().values())

    def _remove_all(self, key: AttachmentKey, named: Iterable[str] = (), measure: Measure = _unmeasured) -> None:
        """Whatever there is of an attachment; `named` are names that its port may have without a row."""
        ledger = self._ledger()
        names = {port.name for port in ledger.values() if port.key == key}
        # Of an ADD that died before it committed; another's, when two attachments have one name.
        names |= set(named) - ledger.keys()
        for name in sorted(names):
            self._remove(name, ledger.get(name), measure)

    def try_address(self) -> None:
        """Raises Exhausted when there is no address for another pod."""
        self._addresses.try_one(self._around.network().pools)

    def _ledger(self) -> Mapping[str, PodPort]:
        """All attachments. OvsdbUnavailable: not known at the moment, which is not the same as none."""
        lost = self._switch.lost
        if lost is not None:
            raise OvsdbUnavailable(lost)
        return self._switch.ports()

    def _remove(self, name: str, port: PodPort | None, measure: Measure) -> None:
        deadline = time.monotonic() + FORGET_SECONDS
        forgotten = False
        if port is not None:
            forgotten = self._leave(port, deadline)
            measure("flows")
        gone = self._switch.del_port(name)
        wiring.delete(name)
        measure("veth")
        gone.result(COMMIT_SECONDS)
        measure("commit")
        if port is not None and not forgotten:
            self._wait_forgotten(port, deadline)
            measure("flows")

    def _leave(self, port: PodPort, deadline: float) -> bool:
        """Have the port's flows taken away while it is still there; whether the controller has confirmed it.

        Before the row goes, because ovs-vswitchd then closes the port's packet socket, for which the kernel keeps it
        waiting (synchronize_net, 11 ms where this was written), and takes no flows away meanwhile.
        """
        if not port.ready or self._switch.abandoned():
            return False
        self._switch.leave(port)
        return self._switch.wait_unprogrammed(port, deadline - time.monotonic())

    def _wait_forgotten(self, port: PodPort, deadline: float) -> None:
        """Until the switch has no flow of the port. A switch or a controller that is away keeps no DEL waiting:
        without the port its flows do nothing, and they are removed when the two are back."""
        pause = FIRST_LOOK_SECONDS
        with suppress(ManagementError):
            while not self._switch.abandoned() and self._around.has_flows(port) and time.monotonic() < deadline:
                time.sleep(pause)
                pause *= 1.5

    def _drop_stale(self, name: str, key: AttachmentKey) -> None:
        """A row whose device is gone is what a reboot or a crash left; one with its device is a live attachment."""
        for port in self._ledger().values():
            if port.key != key and port.name != name:
                continue
            if not wiring.exists(port.name):
                self._switch.del_port(port.name).result(COMMIT_SECONDS)
            elif port.key == key:
                raise InterfaceExists(key.ifname, "the pod: this container is attached already")
            else:
                raise InterfaceExists(name, f"the node: it is container {port.key.container}'s; try a new container")

    @contextmanager
    def _hold(self, key: AttachmentKey, command: Add, pools: Pools) -> Iterator[tuple[IPAddress, ...]]:
        """Addresses as the ADD asks for them."""
        asking = command if self._is_further(key) else with_annotation(command, self._annotations(command))
        check_gateways(asking, pools)
        with granting(asking, self._owner), self._addresses.hold(key, pools, wish_of(asking)) as given:
            yield given

    def _is_further(self, key: AttachmentKey) -> bool:
        """Whether the container is attached already, under another key. The annotation's addresses are the first
        attachment's."""
        return any(port.key.container == key.container and port.key != key for port in self._ledger().values())

    def _annotations(self, command: Add) -> Mapping[str, str]:
        told = command.requested.annotations
        return self._around.annotations(command.attachment.args) if told is None else told

    def _owner(self, ip: IPAddress) -> str:
        """Who has an address, for an error."""
        port = next((port for port in self._ledger().values() if ip in port.ips), None)
        if port is None:
            return "which is being attached"
        return f"{port.namespace}/{port.pod} (container {port.key.container})"


def pod_mac(key: AttachmentKey) -> str:
    """A locally administered unicast MAC, the same for the same attachment. It need not be unique: every pod is
    alone with the router on its wire."""
    digest = blake2b("\0".join((key.network, key.container, key.ifname)).encode(), digest_size=5).digest()
    return "0a:" + digest.hex(":")


def _granted_mac(requested: Requested) -> str:
    if requested.mac in (ROUTER_MAC, GATEWAY_MAC):
        raise CniError(
            ErrorCode.UNSUPPORTED_FIELD, f"{requested.mac_key}={requested.mac}: this address is the node's own"
        )
    return requested.mac


def _granted_limits(bandwidth: Bandwidth, mtu: int) -> Bandwidth:
    """A burst has room for a packet, or none would ever pass."""
    for limit, key in ((bandwidth.ingress, "ingressBurst"), (bandwidth.egress, "egressBurst")):
        if limit is not None and limit.burst < 8 * (mtu + _ETHERNET_HEADER):
            raise CniError(
                ErrorCode.UNSUPPORTED_FIELD,
                f"runtimeConfig.bandwidth.{key}={limit.burst}: a packet of the pod's MTU {mtu} would never pass; give"
                f" {8 * (mtu + _ETHERNET_HEADER)} bits or more",
            )
    return bandwidth


def _key(command: Add | Del | Check) -> AttachmentKey:
    attachment = command.attachment
    return AttachmentKey(command.conf.name, attachment.container, attachment.ifname)


@contextmanager
def _open(command: Add | Check) -> Iterator[NetNs]:
    with NetNs.open(command.attachment.netns) as netns:
        _refuse_own(netns, command.attachment)
        yield netns


def _refuse_own(netns: NetNs, attachment: netconf.Attachment) -> None:
    with NetNs.current() as own:
        if netns.same_as(own) and not attachment.netns_override:
            raise CniError(
                ErrorCode.INVALID_NETNS, f"CNI_NETNS {netns.path} is the node's own namespace, not a container's"
            )


def interface_addresses(port: PodPort) -> tuple[IPv4Interface | IPv6Interface, ...]:
    """The pod's addresses as its interface has them: /32 and /128."""
    return tuple(IPv4Interface(ip) if isinstance(ip, IPv4Address) else IPv6Interface(ip) for ip in port.ips)


def _gateways(port: PodPort, network: NodeNetwork) -> tuple[IPAddress, ...]:
    by_version = {cidr.version: gateway_address(cidr) for cidr in network.pools.cidrs}
    return tuple(by_version[ip.version] for ip in port.ips)


def _attachment(port: PodPort, network: NodeNetwork, bandwidth: Bandwidth) -> wiring.Attachment:
    return wiring.Attachment(
        host_ifname=port.name,
        ifname=port.key.ifname,
        mac=port.mac,
        addresses=interface_addresses(port),
        gateways=_gateways(port, network),
        router_mac=ROUTER_MAC,
        mtu=network.mtu,
        bandwidth=bandwidth,
        userspace_datapath=network.userspace_datapath,
    )


def _result(port: PodPort, network: NodeNetwork, defaults: frozenset[IPAddress]) -> Result:
    gateways = _gateways(port, network)
    return Result(
        interfaces=(
            Interface(port.name, mtu=network.mtu),
            Interface(port.key.ifname, mac=port.mac, sandbox=port.netns, mtu=network.mtu),
        ),
        ips=tuple(
            IpConfig(address, gateway=gateway, interface=1)
            for address, gateway in zip(interface_addresses(port), gateways, strict=True)
        ),
        routes=tuple(
            Route(ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0"), gw=gateway)
            for gateway in gateways
            if gateway in defaults
        ),
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Failures of the layers below in the runtime's terms: what was wrong and what to do."""
    try:
        yield
    except NotANamespace as e:
        raise CniError(ErrorCode.INVALID_ENVIRONMENT, f"CNI_NETNS: {e}") from e
    except Exhausted as e:
        raise CniError(ErrorCode.ADDRESSES_EXHAUSTED, str(e)) from e
    except InterfaceExists as e:
        raise CniError(ErrorCode.INTERFACE_EXISTS, str(e)) from e
    except NotInTime as e:
        raise CniError(ErrorCode.TRY_AGAIN_LATER, str(e)) from e
    except TimeoutError as e:
        raise CniError(ErrorCode.TRY_AGAIN_LATER, "the switch's database did not answer in time") from e
    except OSError as e:  # netlink, sysctl, ethtool, setns
        raise CniError(ErrorCode.WIRING_FAILED, str(e)) from e
    except ManagementError as e:
        raise CniError(ErrorCode.TRY_AGAIN_LATER, str(e)) from e
    except OvsdbUnavailable as e:
        raise CniError(ErrorCode.TRY_AGAIN_LATER, f"Open vSwitch's database is not reachable: {e}") from e
    except OvsdbError as e:
        raise CniError(ErrorCode.SWITCH_FAILED, str(e)) from e

"""Keeps the node's own side true: bridge, transport, gateway, routes, rules and what the Node object says.

`keep` looks at what should be and changes only differences, so it may be called at any time and as often as
anything changes. Open vSwitch that starts anew may bring its devices back empty; the next call fills them again.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from importlib.metadata import version

from daemon import logs
from kube.annotations import NodeAnnotations
from kube.errors import KubeError
from node_agent import host, nft, recovery, wiring
from node_agent.access import OVSDB_SECONDS, AccessKeeper
from node_agent.attach import NodeNetwork
from node_agent.bridge import NodeBridge
from node_agent.host import HostConfig
from node_agent.ipam import IPAddress, IPNetwork, PoolError, Pools
from node_agent.mtu import MtuError
from node_agent.peers import TunnelPeers
from node_agent.published import NoAddress
from node_agent.settings import AgentSettings
from node_agent.transport import AddressingError
from node_agent.underlay import TRANSPORT_BRIDGE, Underlay, UnderlayError
from node_agent.view import NodeView, stranded
from openflow.constants import GATEWAY_MAC, ROUTER_MAC
from ovsdb import appctl
from ovsdb.errors import OvsdbError
from ovsdb.rows import GATEWAY_PORT, Bridge, datapath_id
from ovsdb.setup import BridgeConfig

log = logs.get("weft.keeper")

RECOVERABLE = (
    OvsdbError, OSError, nft.NftError, host.RouteConflict, MtuError, PoolError, KubeError, UnderlayError,
    AddressingError, NoAddress,
)  # fmt: skip
"""What may go wrong on a node for a while: it is told, and tried again. OSError: netlink, sysctl and ethtool."""

Annotate = Callable[[Mapping[str, str]], None]
"""Writes annotations to this node's Node object. Raises KubeError."""

Sweep = Callable[[Collection[IPNetwork], Collection[IPAddress]], None]
"""Forgets connections of addresses in these networks but for these addresses'. Raises OvsdbError."""


class Keeper:
    """State of the keeping. `problem` is what was in the way in the last round, "" when nothing was. `network` is
    what pods get while there is no problem, None until that is so for the first time."""

    def __init__(self, settings: AgentSettings, bridge: NodeBridge, annotate: Annotate, sweep: Sweep) -> None:
        self.network: NodeNetwork | None = None
        self.problem = "the agent has just started"
        self._settings = settings
        self._bridge = bridge
        self._annotate = annotate
        self._sweep = sweep
        self._underlay = Underlay(settings)
        self._netdev = settings.datapath_type == "netdev"
        self._peers = TunnelPeers(TRANSPORT_BRIDGE, appctl.rundir_of(settings.ovsdb))
        self._rules = nft.Rules()
        self._access = AccessKeeper(settings, bridge)
        self._gateway_missing = False
        self._recovered = False
        self._swept = False

    def keep(self, view: NodeView, now: float) -> int:
        """Make everything as it should be; returns the number of changes. `now`: monotonic seconds."""
        try:
            remembered = self._remembered()
            usable = self._usable(view)
            changed = self._converge(usable, remembered, now)
            self.problem = usable.problem or self._uncontrolled(view)
        except TimeoutError:
            lost = self._bridge.lost or "it is busy or hangs"
            self.problem = f"no answer from Open vSwitch's database within {OVSDB_SECONDS:g} s: {lost}"
            return 0
        except RECOVERABLE as e:
            self.problem = str(e)
            return 0
        return changed

    def switch_restarted(self) -> None:
        """Open vSwitch opened its ports anew: what its datapath had learned may be gone."""
        self._peers.restart()

    def _usable(self, view: NodeView) -> NodeView:
        """The view with a range to work with. One that is missing, or that running pods contradict, leaves in force
        what the kernel has from before: whatever becomes of the Node, its pods keep their network.

        Their addresses are known: the database has just answered.
        """
        ports = self._bridge.ports().values()
        problem = view.problem or stranded(self._settings.node_name, view.pod_cidrs, ports)
        return replace(view, pod_cidrs=host.pod_cidrs(), problem=problem) if problem else view

    def _converge(self, view: NodeView, remembered: str, now: float) -> int:
        """In the order in which each step needs the one before."""
        self._underlay.read(view.internal_ips, remembered)
        # No packet may reach the kernel beside the switch, so the rules come first.
        changes = [*self._rules.apply(self._ruleset(view))]
        self._access.keep(view.internal_ips)
        remembered = self._bridge.ensure(self._bridge_config(view)).result(OVSDB_SECONDS)
        bridge = self._bridge.wait_ready(OVSDB_SECONDS)
        changes += self._underlay.attach(remembered)
        self._recover(bridge)
        if view.problem:
            return len(changes)
        self._forget_connections(view)
        changes += self._apply_gateway(view)
        if self._netdev:
            self._peers.refresh(view.tunnel_peers, now)
        self.network = self._network(view)
        if changes:
            log.info("host networking changed", changes=changes)
        self._publish(view)
        return len(changes)

    def _controllers(self, view: NodeView) -> tuple[str, ...] | None:
        """The bridge's OpenFlow targets; None: those that it has."""
        if view.controller is None:
            return self._settings.controllers
        return None if view.controller.target is None else (view.controller.target,)

    def _uncontrolled(self, view: NodeView) -> str:
        """Why the bridge has no controller, not even an earlier one; "" when it has."""
        if view.controller is None or view.controller.target is not None or self._bridge.controllers():
            return ""
        return f"no controller is known yet: {view.controller.problem}"

    def _remembered(self) -> str:
        return self._bridge.transport_addressing(TRANSPORT_BRIDGE).result(OVSDB_SECONDS)

    def _apply_gateway(self, view: NodeView) -> tuple[str, ...]:
        """The userspace switch does not notice that somebody deleted its gateway device: then have it make another.

        Only a switch that runs, and has had a second to make its devices, is without one for that reason.
        """
        try:
            changes = host.apply(self._host_state(view))
        except host.DeviceMissing:
            if self._gateway_missing and appctl.version(appctl.rundir_of(self._settings.ovsdb)):
                self._bridge.del_port(GATEWAY_PORT).result(OVSDB_SECONDS)  # the next round adds it again
                log.warning("gateway device is gone: its port is made anew", port=GATEWAY_PORT)
            self._gateway_missing = not self._gateway_missing
            raise
        self._gateway_missing = False
        return changes

    def _ruleset(self, view: NodeView) -> nft.Ruleset:
        switched = self._underlay.switched_interfaces()
        return nft.Ruleset(GATEWAY_PORT, view.pod_cidrs, wiring.POD_GROUP, switched)

    def _bridge_config(self, view: NodeView) -> BridgeConfig:
        chosen = self._settings
        return BridgeConfig(
            name=chosen.bridge,
            node=chosen.node_name,
            version=version("weft"),
            datapath_id=datapath_id(chosen.node_name),
            datapath_type=chosen.datapath_type,
            controllers=self._controllers(view),
            tunnel=self._underlay.tunnel(),
            gateway_mac=GATEWAY_MAC,
            mtu=self._underlay.pod_mtu(view.pod_cidrs),
            transport=self._underlay.transport(),
        )

    def _host_state(self, view: NodeView) -> host.HostState:
        config = HostConfig(
            gateway_ifname=GATEWAY_PORT,
            gateway_mac=GATEWAY_MAC,
            router_mac=ROUTER_MAC,
            mtu=self._underlay.pod_mtu(view.pod_cidrs),
            pod_cidrs=view.pod_cidrs,
            remote_pod_cidrs=view.remote_pod_cidrs,
        )
        return host.desired(config)

    def _network(self, view: NodeView) -> NodeNetwork:
        return NodeNetwork(Pools(view.pod_cidrs), self._underlay.pod_mtu(view.pod_cidrs), self._netdev)

    def _recover(self, bridge: Bridge) -> None:
        """Once, before the first ADD: clear what an agent that was killed, or a node that was reset, left."""
        if not self._recovered:
            recovery.clear(recovery.leftovers(bridge, wiring.host_interfaces()), self._bridge)
            self._recovered = True

    def _forget_connections(self, view: NodeView) -> None:
        """Once, before the first ADD: those of pods that went while no agent looked."""
        if not self._swept:
            self._sweep(view.pod_cidrs, self._bridge.addresses())
            self._swept = True

    def _publish(self, view: NodeView) -> None:
        """Tell the cluster about the node. Once told, a Kubernetes API that is away stops nothing here."""
        chosen = self._settings
        said = NodeAnnotations(
            tunnel_ip=self._underlay.tunnel_ip,
            ovsdb=self._access.published(view.internal_ips),
            datapath_id=datapath_id(chosen.node_name),
            mtu=self._underlay.pod_mtu(view.pod_cidrs),
        ).format()
        changed = {key: text for key, text in said.items() if view.annotations.get(key) != text}
        if changed:
            self._annotate(changed)
            log.info("node annotated", **changed)

"""Settings of weft-agent."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from daemon.logs import Level
from kube.lease import LeaseKey
from node_agent.mtu import Tunnel

TUNNEL_PORTS = {"geneve": 6081, "vxlan": 4789}
"""UDP ports by IANA: RFC 8926 section 3.3, RFC 7348 section 5."""

CONTROLLERS = ("unix:/run/openvswitch/weft-openflow.sock",)
HEALTH_ADDRESS = "127.0.0.1:9443"


class AgentSettings(Struct, frozen=True, kw_only=True):
    """weft-agent attaches the pods of one node to its Open vSwitch bridge, and serves the CNI executable."""

    node_name: Annotated[str, Meta(min_length=1, description="Name of this node's Node object.")]
    api_server: Annotated[
        str | None, Meta(description="URL of a Kubernetes API server that asks for no credentials (the lab's).")
    ] = None
    kubeconfig: Annotated[
        str | None,
        Meta(description="Kubeconfig file. Without it and api-server: the cluster that this process runs in."),
    ] = None
    ovsdb: Annotated[str, Meta(description="This node's Open vSwitch database, as the agent reaches it.")] = (
        "unix:/run/openvswitch/db.sock"
    )
    published_ovsdb: Annotated[
        str | None,
        Meta(description="The same database as the controller reaches it (weft.dev/ovsdb). Without it: ovsdb."),
    ] = None
    controllers: Annotated[
        tuple[str, ...],
        Meta(description="OpenFlow targets of the bridge; a unix: path must lie in Open vSwitch's run directory."),
    ] = CONTROLLERS
    cni_socket: Annotated[str, Meta(description="Unix socket that the CNI executable connects to.")] = (
        "/run/weft/cni.sock"
    )
    bridge: Annotated[str, Meta(description="Name of the bridge.")] = "br-int"
    controller_lease: Annotated[
        str | None,
        Meta(
            description="NAMESPACE/NAME of the Lease that says where the active controller listens, in place of"
            " controllers."
        ),
    ] = None
    datapath_type: Annotated[
        Literal["system", "netdev"], Meta(description="system: Linux kernel module; netdev: user space.")
    ] = "system"
    transport_interface: Annotated[
        str | None,
        Meta(description="Interface that tunnels leave by. With netdev it becomes a port of the bridge br-phy."),
    ] = None
    tunnel_type: Annotated[Tunnel, Meta(description="Encapsulation between nodes.")] = "geneve"
    tunnel_port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None, Meta(description="UDP port of the tunnel. Without it, IANA's.")
    ] = None
    tunnel_ip: Annotated[
        IPv4Address | IPv6Address | None,
        Meta(description="This node's address for tunnels. Without it: the first of transport-interface, else"
             " the Node's first InternalIP."),
    ] = None  # fmt: skip
    mtu: Annotated[
        Annotated[int, Meta(ge=576, le=65535)] | None,
        Meta(description="MTU of pods. Without it: the uplink's, less the tunnel's overhead."),
    ] = None
    proc_sys: Annotated[
        Path,
        Meta(description="Where the kernel's settings are. In a container, where the host's /proc/sys is mounted."),
    ] = Path("/proc/sys")
    leftover_seconds: Annotated[
        Annotated[int, Meta(ge=1)],
        Meta(description="After how long the agent removes what no DEL has: ports whose device or pod is gone."),
    ] = 300
    health_address: Annotated[
        str,
        Meta(description="host:port that serves /metrics, /healthz, /readyz and /cni/failures. Port 0: a free one."),
    ] = HEALTH_ADDRESS
    log_level: Annotated[Level, Meta(description="Least severe log lines to write.")] = "info"

    @property
    def lease(self) -> LeaseKey | None:
        """The Lease that says where the active controller is; None: the settings do. ValueError: it names none."""
        try:
            return LeaseKey.parse(self.controller_lease) if self.controller_lease is not None else None
        except ValueError as e:
            raise ValueError(f"controller-lease {e}") from None

    def __post_init__(self) -> None:
        for target in self.controllers:
            if not target.startswith(("unix:", "tcp:", "ssl:")):
                raise ValueError(
                    f"controllers: {target!r} is no OpenFlow target; give unix:PATH, tcp:IP:PORT or ssl:IP:PORT"
                )
        if self.api_server and self.kubeconfig:
            raise ValueError("api-server and kubeconfig exclude each other: give one")
        if self.lease is not None and self.controllers != CONTROLLERS:
            raise ValueError("controllers and controller-lease exclude each other: give one")
        if self.datapath_type == "netdev" and not self.transport_interface:
            raise ValueError(
                "datapath-type netdev needs transport-interface: the userspace datapath sends tunnels through a"
                " bridge of its own, which the interface joins"
            )

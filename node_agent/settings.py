"""Settings of weft-agent."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from daemon import certificates, targets
from daemon.certificates import TlsFiles
from daemon.logs import Level
from kube.lease import LeaseKey
from node_agent.mtu import Tunnel
from node_agent.published import Listening, listening

TUNNEL_PORTS = {"geneve": 6081, "vxlan": 4789}
"""UDP ports by IANA: RFC 8926 section 3.3, RFC 7348 section 5."""

CONTROLLERS = ("unix:/run/openvswitch/weft-openflow.sock",)
HEALTH_ADDRESS = "127.0.0.1:9443"

_SHARED = "Open vSwitch reads the same paths."


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
    ovsdb: Annotated[
        str,
        Meta(description="This node's Open vSwitch database, as the agent reaches it: unix:PATH, or tcp:IP:PORT on"
             " a loopback address."),
    ] = "unix:/run/openvswitch/db.sock"  # fmt: skip
    published_ovsdb: Annotated[
        str | None,
        Meta(description="The same database as the controller reaches it (weft.dev/ovsdb). ssl:PORT has the database"
             " listen on the Node's first InternalIP, ssl:IP:PORT on this one. Without it: ovsdb."),
    ] = None  # fmt: skip
    controllers: Annotated[
        tuple[str, ...],
        Meta(description="OpenFlow targets of the bridge: ssl:IP:PORT, unix:PATH in Open vSwitch's run directory, or"
             " tcp:IP:PORT on a loopback address."),
    ] = CONTROLLERS  # fmt: skip
    tls_ca: Annotated[Path | None, Meta(description=f"{certificates.CA_HELP} {_SHARED}")] = None
    tls_certificate: Annotated[
        Path | None,
        Meta(description=f"{certificates.CERTIFICATE_HELP} It needs the DNS name {certificates.AGENT_NAME}."),
    ] = None
    tls_key: Annotated[Path | None, Meta(description=certificates.KEY_HELP)] = None
    controller_lease: Annotated[
        str | None,
        Meta(
            description="NAMESPACE/NAME of the Lease that says where the active controller listens, in place of"
            " controllers."
        ),
    ] = None
    cni_socket: Annotated[str, Meta(description="Unix socket that the CNI executable connects to.")] = (
        "/run/weft/cni.sock"
    )
    bridge: Annotated[str, Meta(description="Name of the bridge.")] = "br-int"
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

    def __post_init__(self) -> None:
        secured = self.tls is not None
        for target in self.controllers:
            targets.check_encrypted("controllers", target, tls=secured)
        if targets.check_encrypted("ovsdb", self.ovsdb, tls=True).kind == "ssl":
            raise ValueError(f"ovsdb {self.ovsdb!r}: the database is on this node; give unix:PATH")
        if self.published_ovsdb is not None and self.listening is None:
            targets.check_encrypted("published-ovsdb", self.published_ovsdb, tls=secured)
        if self.lease is not None and self.controllers != CONTROLLERS:
            raise ValueError("controllers and controller-lease exclude each other: give one")
        if self.api_server and self.kubeconfig:
            raise ValueError("api-server and kubeconfig exclude each other: give one")
        if self.datapath_type == "netdev" and not self.transport_interface:
            raise ValueError(
                "datapath-type netdev needs transport-interface: the userspace datapath sends tunnels through a"
                " bridge of its own, which the interface joins"
            )

    @property
    def tls(self) -> TlsFiles | None:
        """The files for TLS; None: there is none. ValueError: some are missing, or a path is relative."""
        files = certificates.files_of(self.tls_ca, self.tls_certificate, self.tls_key)
        if files is not None:
            given = {"tls-ca": files.ca, "tls-certificate": files.certificate, "tls-key": files.key}
            for key, path in given.items():
                if not path.is_absolute():
                    raise ValueError(f"{key} {str(path)!r}: give an absolute path, because Open vSwitch reads it too")
        return files

    @property
    def listening(self) -> Listening | None:
        """Where the database is to listen for the controller; None: it is not asked to. ValueError: it cannot be."""
        found = listening(self.published_ovsdb or "")
        if found is not None and self.tls is None:
            raise ValueError(targets.needs_files("published-ovsdb", self.published_ovsdb or ""))
        return found

    @property
    def lease(self) -> LeaseKey | None:
        """The Lease that says where the active controller is; None: the settings do. ValueError: it names none."""
        try:
            return LeaseKey.parse(self.controller_lease) if self.controller_lease is not None else None
        except ValueError as e:
            raise ValueError(f"controller-lease {e}") from None

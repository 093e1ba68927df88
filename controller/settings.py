"""Settings of weft-controller."""

from typing import Annotated

from msgspec import Meta, Struct

from controller.candidacy import Candidacy, candidacy
from daemon.logs import Level


class ControllerSettings(Struct, frozen=True, kw_only=True):
    """weft-controller programs the Open vSwitch bridges of a Kubernetes cluster's nodes."""

    api_server: Annotated[
        str | None, Meta(description="URL of a Kubernetes API server that asks for no credentials (the lab's).")
    ] = None
    kubeconfig: Annotated[
        str | None,
        Meta(description="Kubeconfig file. Without it and api-server: the cluster that this process runs in."),
    ] = None
    openflow_listen: Annotated[
        str,
        Meta(description="Where switches connect to: unix:/path, or tcp:address:port on a loopback address."),
    ] = "unix:/run/weft/openflow.sock"
    bridge: Annotated[str, Meta(description="Name of the bridge on every node.")] = "br-int"
    health_address: Annotated[
        str, Meta(description="host:port that serves /metrics, /healthz and /readyz. Port 0 takes a free one.")
    ] = "127.0.0.1:9440"
    audit_seconds: Annotated[
        float,
        Meta(ge=1, description="Seconds between two comparisons of a switch's flows with what they should be."),
    ] = 60.0
    lease: Annotated[
        str | None,
        Meta(
            description="NAMESPACE/NAME of the Lease that the active one of several controllers holds; the others"
            " stand by. Without it, this controller is always active."
        ),
    ] = None
    advertise: Annotated[
        str | None,
        Meta(
            description="Where switches reach openflow-listen, for the Lease: ssl:IP:PORT, unix:/path, or tcp:IP:PORT"
            " on a loopback address."
        ),
    ] = None
    identity: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="What the Lease calls this controller, beside a random part. Without it: the host's name."),
    ] = None
    log_level: Annotated[Level, Meta(description="Least severe log lines to write.")] = "info"

    @property
    def candidacy(self) -> Candidacy | None:
        """How one of several controllers becomes the active one; None: this one is."""
        return candidacy(self.lease, self.advertise, self.identity, self.openflow_listen)

    def __post_init__(self) -> None:
        candidacy(self.lease, self.advertise, self.identity, self.openflow_listen)
        if self.api_server and self.kubeconfig:
            raise ValueError("api-server and kubeconfig exclude each other: give one")
        kind, _, address = self.openflow_listen.partition(":")
        if kind not in ("unix", "tcp"):
            raise ValueError(f"openflow-listen {self.openflow_listen!r}: write unix:/path or tcp:address:port")
        if kind == "tcp" and not address.startswith(("127.", "[::1]", "localhost:")):
            raise ValueError(
                f"openflow-listen {self.openflow_listen!r}: OpenFlow without TLS is for loopback addresses only"
            )

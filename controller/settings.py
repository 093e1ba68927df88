"""Settings of weft-controller."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from controller.candidacy import Candidacy, candidacy
from daemon import certificates, targets
from daemon.certificates import TlsFiles
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
        Meta(
            description="Where switches connect to: ssl:address:port, unix:/path, or tcp:address:port on a loopback"
            " address. ssl:[::]:6653 takes both families."
        ),
    ] = "unix:/run/weft/openflow.sock"
    tls_ca: Annotated[Path | None, Meta(description=certificates.CA_HELP)] = None
    tls_certificate: Annotated[
        Path | None,
        Meta(description=f"{certificates.CERTIFICATE_HELP} Its DNS name is {certificates.CONTROLLER_NAME}."),
    ] = None
    tls_key: Annotated[Path | None, Meta(description=certificates.KEY_HELP)] = None
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
    node_name: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Name of the Node whose switch alone this controller programs, where there is one beside each"
            " agent. Without it, it programs all."
        ),
    ] = None
    bridge: Annotated[str, Meta(description="Name of the bridge on every node.")] = "br-int"
    health_address: Annotated[
        str, Meta(description="host:port that serves /metrics, /healthz and /readyz. Port 0 takes a free one.")
    ] = "127.0.0.1:9440"
    audit_seconds: Annotated[
        float,
        Meta(ge=1, description="Seconds between two comparisons of a switch's flows with what they should be."),
    ] = 60.0
    log_level: Annotated[Level, Meta(description="Least severe log lines to write.")] = "info"

    def __post_init__(self) -> None:
        if self.api_server and self.kubeconfig:
            raise ValueError("api-server and kubeconfig exclude each other: give one")
        if self.lease is not None and self.node_name is not None:
            raise ValueError(
                f"lease {self.lease!r} and node-name {self.node_name!r} exclude each other: controllers that stand in"
                " for each other program all nodes"
            )
        targets.check_encrypted("openflow-listen", self.openflow_listen, tls=self.tls is not None)
        candidacy(self.lease, self.advertise, self.identity, self.openflow_listen)

    @property
    def tls(self) -> TlsFiles | None:
        """The files for TLS; None: there is none. ValueError: some are missing."""
        return certificates.files_of(self.tls_ca, self.tls_certificate, self.tls_key)

    @property
    def candidacy(self) -> Candidacy | None:
        """How one of several controllers becomes the active one; None: this one is."""
        return candidacy(self.lease, self.advertise, self.identity, self.openflow_listen)

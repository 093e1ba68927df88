"""One node of a small cluster, as facts and as flows: what the generated documentation shows."""

from ipaddress import ip_address, ip_network

from openflow.features import base, node, pod
from openflow.fields import IdentityId, OfPort
from openflow.flow import Flow
from openflow.render import Names

TUNNEL_PORT, GATEWAY_PORT = "weft-tun0", "weft-gw0"
PORTS = base.SystemPorts(gateway=OfPort(2), tunnel=OfPort(1))
WEB = pod.LocalPod(
    namespace="shop",
    name="web",
    port=OfPort(3),
    mac="0e:00:0a:0a:00:05",
    ips=(ip_address("10.10.0.5"), ip_address("fd10::5")),
    identity=IdentityId(0x77EB),
)
DB = pod.LocalPod(
    namespace="shop",
    name="db",
    port=OfPort(4),
    mac="0e:00:0a:0a:00:06",
    ips=(ip_address("10.10.0.6"), ip_address("fd10::6")),
    identity=IdentityId(0xDB),
)
ALPHA = node.Gateway(
    node="alpha",
    pod_cidrs=(ip_network("10.10.0.0/24"), ip_network("fd10::/64")),
    addresses=(ip_address("10.10.0.1"), ip_address("fd10::1")),
    port=OfPort(2),
)
BETA = node.Remote(
    node="beta",
    pod_cidrs=(ip_network("10.10.1.0/24"), ip_network("fd10:0:0:1::/64")),
    tunnel_ip=ip_address("192.0.2.2"),
    port=OfPort(1),
)
NAMES = Names.of(
    {BETA.port: TUNNEL_PORT, ALPHA.port: GATEWAY_PORT, WEB.port: "web-1a2b3c", DB.port: "db-4d5e6f"},
    [(guest.namespace, guest.name) for guest in (WEB, DB)],
    [ALPHA.node, BETA.node],
)


def flows() -> tuple[Flow, ...]:
    """Every flow of node alpha, which has two pods and one neighbour, beta."""
    return (
        *base.flows(PORTS),
        *node.gateway_flows(ALPHA),
        *node.remote_flows(BETA),
        *pod.flows(WEB),
        *pod.flows(DB),
    )

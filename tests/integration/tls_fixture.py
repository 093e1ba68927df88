"""A node and a controller in network namespaces of their own, with nothing between them but a wire.

    with world(tmp_path) as made:
        with made.controller(), made.agent():
            made.attach("web")

The API serves both, and the test; everything between controller and node goes over the wire, in TLS.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller_fixture import ROOT, Running, controller, daemon, until
from netns_fixture import Namespace, link, namespaces
from ovs_fixture import SMALL, PrivateOvs, private_ovs
from pki_fixture import Certified, Pki

from lab.api.app import make_app
from lab.api.handle import LabApi
from lab.api.server import ApiServer, local_socket
from lab.client import ApiClient
from lab.runtime import Conflist, Runtime, pod_attachment

WAIT = 30.0
NODE = "t-node"
CONTROL = {4: "192.0.2.1", 6: "2001:db8::1"}
AT_NODE = {4: "192.0.2.2", 6: "2001:db8::2"}
OPENFLOW_PORT, OVSDB_PORT = 6653, 6640
# As the database is started where Weft runs; see docs/tls.md.
FROM_ROWS = (
    "--remote=db:Open_vSwitch,Open_vSwitch,manager_options", "--private-key=db:Open_vSwitch,SSL,private_key",
    "--certificate=db:Open_vSwitch,SSL,certificate", "--ca-cert=db:Open_vSwitch,SSL,ca_cert",
)  # fmt: skip

Obj = dict[str, Any]


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@dataclass
class World:
    """`family` is that of the addresses by which controller and node reach each other."""

    root: Path
    family: int
    control: Namespace
    ovs: PrivateOvs
    api: ApiClient
    api_url: str
    pki: Pki

    @property
    def node(self) -> Namespace:
        return Namespace(self.ovs.netns)

    @property
    def openflow(self) -> str:
        return f"ssl:{bracketed(CONTROL[self.family])}:{OPENFLOW_PORT}"

    @property
    def ovsdb(self) -> str:
        return f"ssl:{bracketed(AT_NODE[self.family])}:{OVSDB_PORT}"

    @property
    def manager(self) -> str:
        return f"pssl:{OVSDB_PORT}:{bracketed(AT_NODE[self.family])}"

    @property
    def cni_socket(self) -> Path:
        return self.root / "cni.sock"

    def controller(self, shown: Certified | None = None, **settings: object) -> AbstractContextManager[Running]:
        """weft-controller with a certificate: its own, if none is given."""
        chosen = {"api_server": self.api_url, "openflow_listen": self.openflow, "health_address": "127.0.0.1:0"}
        chosen |= (shown or self.pki.controller).settings
        return controller(self.control, **{**chosen, **settings})

    def agent(self, shown: Certified | None = None, **settings: object) -> AbstractContextManager[Running]:
        """weft-agent with a certificate: its own, if none is given."""
        chosen = {
            "node_name": NODE, "api_server": self.api_url, "ovsdb": self.ovs.remote, "cni_socket": self.cni_socket,
            "published_ovsdb": f"ssl:{OVSDB_PORT}", "controllers": self.openflow, "datapath_type": "netdev",
            "transport_interface": "eth1", "health_address": "127.0.0.1:0",
        }  # fmt: skip
        chosen |= (shown or self.pki.agent).settings
        return daemon("node_agent.main", self.node, {**chosen, **settings}, self.ovs.env)

    def know_node(self) -> None:
        """Make the Node, as a kubelet does."""
        address = {"type": "InternalIP", "address": AT_NODE[self.family]}
        node = {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE},
            "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]}, "status": {"addresses": [address]},
        }  # fmt: skip
        self.api.apply([node])

    def wait_annotated(self) -> Obj:
        """The Node's annotations, once the agent has written them."""
        return until(
            lambda: self.annotations().get("weft.dev/ovsdb") and self.annotations(), "the Node's annotations"
        )

    def annotations(self) -> Obj:
        (node,) = self.api.items("/api/v1/nodes")
        found: Obj = node["metadata"].get("annotations", {})
        return found

    @contextmanager
    def attached(self, name: str) -> Iterator[Obj]:
        """A pod of that name, attached by the CNI executable and detached at the end: the result of its ADD."""
        spec = {"nodeName": NODE, "containers": [{"name": "c", "image": "registry.k8s.io/pause:3.9"}]}
        meta = {"name": name, "namespace": "default"}
        (pod,) = self.api.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}])
        env = {"WEFT_CNI_SOCKET": str(self.cni_socket)}
        conflist = Conflist("weft", "1.1.0", ({"type": "weft"},))
        runtime = Runtime(conflist, (ROOT / "build",), self.root / "cni", env, deadline=WAIT)
        with namespaces("pod") as (space,):
            attachment = pod_attachment(f"of-{name}", space.path, ("default", name, pod["metadata"]["uid"]))
            try:
                yield self.node.run(lambda: runtime.add(attachment))
            finally:
                self.node.run(lambda: runtime.delete(attachment))


@contextmanager
def world(root: Path, family: int = 4) -> Iterator[World]:
    """A Node without an agent, and a switch that knows nothing yet."""
    pki = Pki(root / "pki")
    with ExitStack() as stack:
        (control,) = stack.enter_context(namespaces("control"))
        ovs = stack.enter_context(private_ovs(root, start=False))
        node = Namespace(ovs.netns)
        _wire(control, node)
        listener = control.run(lambda: socket.create_server((CONTROL[4], 0)))
        served = stack.enter_context(ApiServer(make_app(LabApi()), [local_socket(), listener]))
        client = ApiClient(int(served.urls[0].rpartition(":")[2]))
        ovs.start_ovsdb(*FROM_ROWS)
        ovs.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", *SMALL)
        ovs.start_vswitchd()
        made = World(root, family, control, ovs, client, served.urls[1], pki)
        made.know_node()
        yield made


def _wire(control: Namespace, node: Namespace) -> None:
    """The wire, and an interface for the node's tunnels that leads nowhere."""
    control.ip("link set lo up")
    link(node, "eth0", control, "wire")
    link(node, "eth1", control, "elsewhere")
    node.ip("addr add 198.51.100.2/24 dev eth1")
    for space, device, at in ((node, "eth0", AT_NODE), (control, "wire", CONTROL)):
        space.ip(f"addr add {at[4]}/24 dev {device}")
        space.ip(f"addr add {at[6]}/64 dev {device} nodad")

"""A node's own side without a cluster: a keeper, a real switch, an uplink; and what the keeper keeps, as values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from netns_fixture import Namespace, link, namespaces
from ovs_fixture import PrivateOvs, private_ovs

from kube.errors import Unreachable
from node_agent.bridge import NodeBridge
from node_agent.keeper import Keeper
from node_agent.settings import AgentSettings
from node_agent.view import NodeView
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import OWN

V4, V6 = ip_network("10.244.1.0/24"), ip_network("fd57:244:0:1::/64")
REMOTE_V4, REMOTE_V6 = ip_network("10.244.2.0/24"), ip_network("fd57:244:0:2::/64")
PEER = ip_address("192.0.2.2")
VIEW = NodeView(pod_cidrs=(V4, V6), remote_pod_cidrs=(REMOTE_V4, REMOTE_V6), tunnel_peers=(PEER,), problem="")
ROUTE = "198.51.100.0/24"  # reached through the uplink, so that the transport has a route to move
COLUMNS = {
    "Bridge": "name,ports,fail_mode,protocols,datapath_type,other_config,external_ids",
    "Interface": "name,type,options,mac,mtu_request,external_ids",
    "Controller": "target,connection_mode,max_backoff,inactivity_probe",
}

Obj = dict[str, Any]


class Host:
    """One node: `keep` is one round of the agent's keeping, from an agent that `restart_agent` makes anew."""

    def __init__(self, ovs: PrivateOvs, loop: OvsdbLoop, settings: Mapping[str, Any]) -> None:
        self.ovs = ovs
        self.space = Namespace(ovs.netns)
        usual = {
            "node_name": "n1", "api_server": "http://127.0.0.1:1", "ovsdb": ovs.remote, "datapath_type": "netdev",
            "transport_interface": "eth1", "controllers": ("tcp:127.0.0.1:6653",),
        }  # fmt: skip
        self.settings = AgentSettings(**usual | settings)
        self.annotations: dict[str, str] = {}
        self.api_is_up = True
        self._loop = loop
        self._now = 0.0
        self.restart_agent()

    def restart_agent(self, **settings: Any) -> None:
        """What was in memory is lost, as with kill -9. These settings are others then."""
        self.settings = replace(self.settings, **settings)
        self.bridge = NodeBridge(self._loop.session(self.ovs.remote, OWN), "br-int")
        self.bridge.start()
        self.keeper = Keeper(self.settings, self.bridge, self._annotate, lambda networks, held: None)

    def keep(self, view: NodeView = VIEW) -> int:
        """One round, ten seconds after the last; the number of changes."""
        self._now += 10.0
        return self.space.run(lambda: self.keeper.keep(view, self._now))

    def kept(self, view: NodeView = VIEW) -> int:
        """One round that must find nothing in its way."""
        changes = self.keep(view)
        assert self.keeper.problem == ""
        return changes

    def _annotate(self, annotations: Mapping[str, str]) -> None:
        if not self.api_is_up:
            raise Unreachable("the API does not answer")
        self.annotations |= annotations

    def look(self) -> dict[str, object]:
        """Everything that the keeper keeps."""
        return {
            "gateway": self.device("weft-gw0"),
            "transport": self.device("br-phy"),
            "uplink": self.device("eth1"),
            "routes": self.routes(),
            "rules": self.ovs.run("nft", "-s", "list", "ruleset"),
            "sysctls": [self.sysctl(key) for key in SYSCTLS],
            "database": {table: self.rows(table, columns) for table, columns in COLUMNS.items()},
        }

    def device(self, name: str) -> Obj:
        """Flags, MAC, MTU, addresses and permanent neighbours of a device; nothing when there is none."""
        found = self.space.show(f"addr show dev {name}")
        if not found:
            return {}
        infos = found[0]["addr_info"]
        neighbours = self.space.show(f"neigh show dev {name} nud permanent")
        return {
            "up": "UP" in found[0]["flags"],
            "arp": "NOARP" not in found[0]["flags"],
            "mac": found[0]["address"],
            "mtu": found[0]["mtu"],
            "addresses": sorted(f"{a['local']}/{a['prefixlen']}" for a in infos if a["scope"] != "link"),
            "neighbours": sorted((n["dst"], n["lladdr"]) for n in neighbours),
        }

    def routes(self) -> list[tuple[str, str, str]]:
        found = [*self.space.show("route show"), *self.space.show("-6 route show")]
        kept = (r for r in found if r["dst"] not in ("fe80::/64", "ff00::/8"))
        return sorted((r["dst"], r.get("gateway", ""), r.get("dev", "")) for r in kept)

    def sysctl(self, key: str) -> str:
        """The value, or "" when there is no such key."""
        return self.space.command("cat", f"/proc/sys/{key}", check=False).strip()

    def rows(self, table: str, columns: str) -> list[object]:
        """Rows of a table by name, without their ids: a port is named by its Port row's name."""
        ports = {row[0][1]: row[1] for row in self._listed("Port", "_uuid,name")}
        listed = [[_named(value, ports) for value in row] for row in self._listed(table, columns)]
        return sorted(listed, key=str)

    def _listed(self, table: str, columns: str) -> list[Any]:
        listed = json.loads(self.ovs.vsctl("--format=json", f"--columns={columns}", "list", table))
        rows: list[Any] = listed["data"]
        return rows


SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv4/conf/weft-gw0/rp_filter",
    "net/ipv6/conf/weft-gw0/accept_ra",
    "net/ipv6/conf/weft-gw0/addr_gen_mode",
)


def _named(value: Any, ports: Mapping[str, str]) -> Any:
    if isinstance(value, list) and value[:1] == ["set"]:
        return sorted(str(_named(each, ports)) for each in value[1])
    if isinstance(value, list) and value[:1] == ["uuid"]:
        return ports.get(value[1], "?")
    return value


@contextmanager
def host(tmp_path: Path, **settings: Any) -> Iterator[Host]:
    """A node with an uplink that has an address of each family and a route; nothing was kept yet. Settings beside the
    usual ones may be given."""
    with private_ovs(tmp_path) as ovs, namespaces("outside") as (outside,), OvsdbLoop() as loop:
        node = Namespace(ovs.netns)
        link(node, "eth1", outside, "uplink")
        node.ip("addr add 192.0.2.1/24 dev eth1")
        node.ip("addr add 2001:db8::1/64 dev eth1 nodad")
        node.ip(f"route add {ROUTE} via 192.0.2.2")
        outside.ip("addr add 192.0.2.2/24 dev uplink")
        yield Host(ovs, loop, settings)

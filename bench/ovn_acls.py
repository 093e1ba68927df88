"""NetworkPolicies as OVN-Kubernetes writes them into OVN's northbound database (its docs, "NetworkPolicy"). Pure.

A policy is a port group of the pods that it selects, with an ACL for each of its rules; what a rule selects as peers
is an address set for each family. All pods that some policy isolates are in one more port group, whose ACLs drop
everything but ARP and ND. Operations are those of RFC 7047, section 5.2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from bench.apps import AppPolicy, members

Obj = dict[str, Any]

LOGICAL_PORTS: Obj = {"op": "select", "table": "Logical_Switch_Port", "where": [], "columns": ["name", "_uuid"]}
"""Answers with a row for every logical port."""

DENY = "ingressDefaultDeny"
_DENY_PRIORITY, _ALLOW_PRIORITY = 1000, 1001


@dataclass(frozen=True, slots=True)
class Port:
    """A pod's logical port: its row's id, and its addresses."""

    id: str
    ips: tuple[str, ...]


def namespace(labels: Mapping[str, str], policies: Sequence[AppPolicy], ports: Mapping[str, Port]) -> list[Obj]:
    """All policies of a namespace. `labels` has the app of each pod."""
    pods = {label: [ports[name] for name in members(labels, label)] for label in labels.values()}
    isolated = [port.id for each in policies for port in pods[each.app]]
    allowed = (app_policy(each, [port.id for port in pods[each.app]], pods[each.peer]) for each in policies)
    return [*default_deny(isolated), *(operation for each in allowed for operation in each)]


def default_deny(ports: Sequence[str]) -> list[Obj]:
    """The port group of isolated pods, by the ids of their logical ports."""
    here = f"outport == @{DENY}"
    return [
        _acl("deny", _DENY_PRIORITY, here, "drop"),
        _acl("neighbours", _ALLOW_PRIORITY, f"{here} && (arp || nd)", "allow"),
        _port_group(DENY, ports, ("deny", "neighbours")),
    ]


def app_policy(policy: AppPolicy, ports: Sequence[str], peers: Sequence[Port]) -> list[Obj]:
    """A policy on logical ports with these ids, whose peers are these pods."""
    group = group_name(policy.app)
    addresses = {
        version: [ip for peer in peers for ip in peer.ips if ip_address(ip).version == version] for version in (4, 6)
    }
    sets = {version: f"a_{group}_v{version}" for version, found in addresses.items() if found}
    sources = " || ".join(f"ip{version}.src == {{${name}}}" for version, name in sets.items())
    match = f"({sources}) && tcp && {policy.first}<=tcp.dst<={policy.last} && outport == @{group}"
    return [
        *(_address_set(name, addresses[version]) for version, name in sets.items()),
        _acl(f"acl_{group}", _ALLOW_PRIORITY, match, "allow-related"),
        _port_group(group, ports, (f"acl_{group}",)),
    ]


def isolate(name: str, port: str) -> list[Obj]:
    """A policy without rules on one port."""
    return [_port_group(group_name(name), (port,), ()), _mutate_deny("insert", port)]


def release(name: str, port: str) -> list[Obj]:
    """The inverse of `isolate`."""
    where = [["name", "==", group_name(name)]]
    return [{"op": "delete", "table": "Port_Group", "where": where}, _mutate_deny("delete", port)]


def group_name(policy: str) -> str:
    """The name of a policy's port group; OVN's identifiers have no hyphens."""
    return policy.replace("-", "_")


def _mutate_deny(how: str, port: str) -> Obj:
    where = [["name", "==", DENY]]
    return {"op": "mutate", "table": "Port_Group", "where": where, "mutations": [["ports", how, _uuids((port,))]]}


def _port_group(name: str, ports: Iterable[str], acls: Iterable[str]) -> Obj:
    row = {"name": name, "ports": _uuids(ports), "acls": _uuids(acls, "named-uuid")}
    return {"op": "insert", "table": "Port_Group", "row": row}


def _acl(name: str, priority: int, match: str, action: str) -> Obj:
    row = {"priority": priority, "direction": "to-lport", "match": match, "action": action}
    return {"op": "insert", "table": "ACL", "uuid-name": name, "row": row}


def _address_set(name: str, addresses: Iterable[str]) -> Obj:
    return {"op": "insert", "table": "Address_Set", "row": {"name": name, "addresses": ["set", list(addresses)]}}


def _uuids(ids: Iterable[str], kind: str = "uuid") -> list[Any]:
    return ["set", [[kind, each] for each in ids]]

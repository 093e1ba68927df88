"""The flows of one cell of a node's policy tables: a pure function of the engine's state."""

from collections.abc import Callable

from controller.owners import Kind, Owner
from controller.policy import names
from controller.policy.engine import Engine
from controller.policy.members import Identity
from kube.netpol import Direction
from openflow.codec import Encoded
from openflow.features import policy
from openflow.features.policy import Part
from openflow.features.policy_bytes import PolicyBytes
from openflow.flow import Feature, cookie
from openflow.match import PortMatch
from openflow.net import IPAddress, IPNetwork

SIDES = {Direction.EGRESS: PolicyBytes(policy.EGRESS), Direction.INGRESS: PolicyBytes(policy.INGRESS)}
_SUBJECT, _PEER, _ALSO = 1, 2, 3
"""Clauses of a rule's conjunction; the ports' is its last."""

Flows = tuple[Encoded, ...]


def cell_flows(engine: Engine, node: str, cell: Owner) -> Flows:
    """The flows of `cell` on the bridge of `node`; none where no rule needs it."""
    return _MAKERS[cell.kind](engine, node, Direction(cell.name[0]), cell.name)


def _subject(engine: Engine, node: str, direction: Direction, name: tuple[str, int]) -> Flows:
    identity = engine.by_id.get(name[1])
    if identity is None or node not in identity.nodes or not identity.is_isolated(direction):
        return ()
    side, mark = SIDES[direction], _mark(names.identity_owner(identity))
    parts = {
        (rule.number, _SUBJECT, rule.clauses) for members in identity.sets for rule in members.subject_of[direction]
    }
    everything = [number for number, _, clauses in parts if clauses == _SUBJECT]
    if everything:
        return side.allowed(identity.id, min(everything), mark)
    return side.isolated(identity.id, parts, mark)


def _peer(engine: Engine, node: str, direction: Direction, name: tuple[str, int]) -> Flows:
    identity = engine.by_id.get(name[1])
    if identity is None:
        return ()
    parts: set[Part] = set()
    for members in identity.sets:
        parts.update(
            [(rule.number, _PEER, rule.clauses) for rule in members.peer_of[direction] if node in rule.nodes]
        )
        parts.update(
            [(rule.number, _ALSO, rule.clauses) for rule in members.also_of[direction] if node in rule.nodes]
        )
    return SIDES[direction].peer(identity.id, parts, _mark(names.identity_owner(identity)))


def _network(engine: Engine, node: str, direction: Direction, name: tuple[str, int, IPNetwork]) -> Flows:
    network = name[2]
    rules = engine.networks.get((direction, network), ())
    parts = [(rule.number, _PEER, rule.clauses) for rule in rules if node in rule.nodes]
    return SIDES[direction].peer_network(network, parts, _mark(names.network_owner(network)))


def _ports(engine: Engine, node: str, direction: Direction, name: tuple[str, PortMatch]) -> Flows:
    match = name[1]
    rules = engine.ports.get((direction, match), ())
    parts = [(rule.number, rule.clauses, rule.clauses) for rule in rules if node in rule.nodes]
    return SIDES[direction].ports(match, parts, _mark(names.ports_owner(match)))


def _rule(engine: Engine, node: str, direction: Direction, name: tuple[str, bytes]) -> Flows:
    rule = engine.by_digest.get(name[1])
    if rule is None or node not in rule.nodes or rule.clauses == _SUBJECT:
        return ()
    return SIDES[direction].rule(rule.number, _mark(names.rule_owner(rule)))


def _address(engine: Engine, node: str, direction: Direction, name: tuple[str, int, IPAddress]) -> Flows:
    ip = name[2]
    owner, identity = engine.holder(ip)
    if owner is None or identity is None or not _named(node, direction, identity):
        return ()
    return SIDES[direction].address(ip, identity.id, _mark(names.address_owner(owner)))


def _named(node: str, direction: Direction, identity: Identity) -> bool:
    """Whether rules of pods of this node name the identity."""
    for members in identity.sets:
        for rules in (members.peer_of[direction], members.also_of[direction]):
            for rule in rules:
                if node in rule.nodes:
                    return True
    return False


def _mark(owner: str) -> int:
    return cookie(Feature.POLICY, owner)


_MAKERS: dict[Kind, Callable[..., Flows]] = {
    Kind.SUBJECT: _subject,
    Kind.PEER: _peer,
    Kind.NETWORK: _network,
    Kind.PORTS: _ports,
    Kind.RULE: _rule,
    Kind.ADDRESS: _address,
}

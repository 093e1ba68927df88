"""The flows of one cell of a node's policy tables: a pure function of the engine's state."""

from collections.abc import Callable, Iterable

from controller import owners
from controller.owners import Kind, Owner
from controller.policy import names
from controller.policy.engine import Engine
from controller.policy.members import ActiveRule, Identity, Made
from kube.netpol import Direction
from kube.objects import Pod
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

_DIRECTIONS = tuple(Direction)

Flows = tuple[Encoded, ...]


def cell_flows(engine: Engine, node: str, cell: Owner) -> Flows:
    """The flows of `cell` on the bridge of `node`; none where no rule needs it."""
    return _MAKERS[cell.kind](engine, node, Direction(cell.name[0]), cell.name)


def parts_of(engine: Engine, node: str, cell: Owner) -> Iterable[Part]:
    """What the flow of a cell is a part of there, whether or not it has room for all; nothing for a cell whose flows
    are no parts of rules."""
    direction, found = Direction(cell.name[0]), cell.name[-1]
    if cell.kind is Kind.NETWORK:
        return _network_parts(engine, node, direction, found)
    if cell.kind is Kind.PORTS:
        return _port_parts(engine, node, direction, found)
    identity = engine.by_id.get(found) if cell.kind in (Kind.SUBJECT, Kind.PEER) else None
    if identity is None:
        return ()
    return (
        _subject_parts(identity, direction) if cell.kind is Kind.SUBJECT else _named_parts(node, direction, identity)
    )


def node_flows(engine: Engine, node: str) -> Made:
    """The flows of all cells of a node that have some: for each, what `cell_flows` says, in a fraction of the time.
    Most is the same on every node, and kept until it changes."""
    found: Made = {}
    rules: set[ActiveRule] = set()
    for identity in engine.local(node):
        for direction in _DIRECTIONS:
            found.update(_subject_everywhere(identity, direction))
        for members in identity.sets:
            rules.update(*members.subject_of.values())
    peers: dict[Direction, set[Identity]] = {direction: set() for direction in _DIRECTIONS}
    for rule in rules:
        found.update(_rule_everywhere(rule))
        peers[rule.rule.direction].update(*[members.identities for members in rule.named])
    for cell in {cell for rule in rules for cell in rule.plain_cells()}:
        found[cell] = cell_flows(engine, node, cell)
    for direction, identities in peers.items():
        for identity in identities:
            found.update(_peer_on(node, identity, direction))
            found.update(_addresses_everywhere(engine, identity, direction))
    return found


def _subject_everywhere(identity: Identity, direction: Direction) -> Made:
    made = identity.made.get((Kind.SUBJECT, direction))
    if made is None:
        cell = owners.subject(direction, identity.id)
        made = {cell: _isolated(identity, direction)} if identity.is_isolated(direction) else {}
        identity.made[Kind.SUBJECT, direction] = made
    return made


def _rule_everywhere(rule: ActiveRule) -> Made:
    if rule.made is None:
        cell = owners.rule(rule.rule.direction, rule.digest)
        rule.made = {} if rule.clauses == _SUBJECT else {cell: _fulfilled(rule)}
    return rule.made


def _peer_on(node: str, identity: Identity, direction: Direction) -> Made:
    """The same wherever all rules that name it are in force."""
    for members in identity.sets:
        for rules in (members.peer_of[direction], members.also_of[direction]):
            for rule in rules:
                if node not in rule.nodes:
                    return {owners.peer(direction, identity.id): _named_on(node, direction, identity)}
    made = identity.made.get((Kind.PEER, direction))
    if made is None:
        made = {owners.peer(direction, identity.id): _named_on(node, direction, identity)}
        identity.made[Kind.PEER, direction] = made
    return made


def _addresses_everywhere(engine: Engine, identity: Identity, direction: Direction) -> Made:
    made = identity.made.get((Kind.ADDRESS, direction))
    if made is None:
        made = identity.made[Kind.ADDRESS, direction] = {}
        for ip in identity.addresses():
            owner, holder = engine.holder(ip)
            if owner is not None and holder is identity:
                made[owners.address(direction, ip)] = _located(direction, ip, identity, owner)
    return made


def _subject(engine: Engine, node: str, direction: Direction, name: tuple[str, int]) -> Flows:
    identity = engine.by_id.get(name[1])
    if identity is None or node not in identity.nodes or not identity.is_isolated(direction):
        return ()
    return _isolated(identity, direction)


def _isolated(identity: Identity, direction: Direction) -> Flows:
    side, mark = SIDES[direction], _mark(names.identity_owner(identity))
    parts = _subject_parts(identity, direction)
    everything = [number for number, _, clauses in parts if clauses == _SUBJECT]
    if everything:
        return side.allowed(identity.id, min(everything), mark)
    return side.isolated(identity.id, parts, mark)


def _subject_parts(identity: Identity, direction: Direction) -> set[Part]:
    return {
        (rule.number, _SUBJECT, rule.clauses) for members in identity.sets for rule in members.subject_of[direction]
    }


def _peer(engine: Engine, node: str, direction: Direction, name: tuple[str, int]) -> Flows:
    identity = engine.by_id.get(name[1])
    return () if identity is None else _named_on(node, direction, identity)


def _named_on(node: str, direction: Direction, identity: Identity) -> Flows:
    parts = _named_parts(node, direction, identity)
    return SIDES[direction].peer(identity.id, parts, _mark(names.identity_owner(identity)))


def _named_parts(node: str, direction: Direction, identity: Identity) -> set[Part]:
    parts: set[Part] = set()
    for members in identity.sets:
        for clause, rules in (_PEER, members.peer_of[direction]), (_ALSO, members.also_of[direction]):
            if rules:
                parts.update([(rule.number, clause, rule.clauses) for rule in rules if node in rule.nodes])
    return parts


def _network(engine: Engine, node: str, direction: Direction, name: tuple[str, int, IPNetwork]) -> Flows:
    network = name[2]
    parts = _network_parts(engine, node, direction, network)
    return SIDES[direction].peer_network(network, parts, _mark(names.network_owner(network)))


def _network_parts(engine: Engine, node: str, direction: Direction, network: IPNetwork) -> list[Part]:
    rules = engine.networks.get((direction, network), ())
    return [(rule.number, _PEER, rule.clauses) for rule in rules if node in rule.nodes]


def _ports(engine: Engine, node: str, direction: Direction, name: tuple[str, PortMatch]) -> Flows:
    match = name[1]
    parts = _port_parts(engine, node, direction, match)
    return SIDES[direction].ports(match, parts, _mark(names.ports_owner(match)))


def _port_parts(engine: Engine, node: str, direction: Direction, match: PortMatch) -> list[Part]:
    rules = engine.ports.get((direction, match), ())
    return [(rule.number, rule.clauses, rule.clauses) for rule in rules if node in rule.nodes]


def _rule(engine: Engine, node: str, direction: Direction, name: tuple[str, bytes]) -> Flows:
    rule = engine.by_digest.get(name[1])
    if rule is None or node not in rule.nodes or rule.clauses == _SUBJECT:
        return ()
    return _fulfilled(rule)


def _fulfilled(rule: ActiveRule) -> Flows:
    return SIDES[rule.rule.direction].rule(rule.number, _mark(names.rule_owner(rule)))


def _address(engine: Engine, node: str, direction: Direction, name: tuple[str, int, IPAddress]) -> Flows:
    ip = name[2]
    owner, identity = engine.holder(ip)
    if owner is None or identity is None or not _named(node, direction, identity):
        return ()
    return _located(direction, ip, identity, owner)


def _located(direction: Direction, ip: IPAddress, identity: Identity, owner: Pod) -> Flows:
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

CELLS = _MAKERS.keys()
"""Kinds of owners that are cells of the policy tables."""

"""The flows of one cell of a node's policy tables: a pure function of the engine's state."""

from collections.abc import Callable, Iterable, Iterator

from controller import owners
from controller.owners import Kind, Owner
from controller.policy import names
from controller.policy.engine import Engine
from controller.policy.members import ActiveRule, Identity, Made, Named
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
        found.update(_isolation(identity) if identity.isolation is None else identity.isolation)
        for members in identity.sets:
            rules.update(*members.subject_of.values())
    peers: dict[Direction, set[Identity]] = {direction: set() for direction in _DIRECTIONS}
    plain: set[Owner] = set()
    for rule in rules:
        found.update(_rule_everywhere(rule) if rule.made is None else rule.made)
        for members in rule.named:
            peers[rule.rule.direction] |= members.identities
        if rule.rule.networks or rule.rule.ports:
            plain.update(rule.plain_cells())
    for cell in plain:
        found[cell] = cell_flows(engine, node, cell)
    for direction, identities in peers.items():
        for identity in identities:
            named = identity.named.get(direction) or _named_everywhere(engine, identity, direction)
            found.update(named.flows)
            if not named.rules <= rules:
                found[owners.peer(direction, identity.id)] = _named_on(node, direction, identity)
    return found


def _isolation(identity: Identity) -> Made:
    identity.isolation = {
        owners.subject(direction, identity.id): _isolated(identity, direction) for direction in identity.isolated
    }
    return identity.isolation


def _rule_everywhere(rule: ActiveRule) -> Made:
    cell = owners.rule(rule.rule.direction, rule.digest)
    rule.made = {} if rule.clauses == _SUBJECT else {cell: _fulfilled(rule)}
    return rule.made


def _named_everywhere(engine: Engine, identity: Identity, direction: Direction) -> Named:
    naming = list(_naming(direction, identity))
    parts = {(rule.number, clause, rule.clauses) for clause, rule in naming}
    flows: Made = {owners.peer(direction, identity.id): _named(direction, identity, parts)}
    for ip in identity.addresses():
        owner, holder = engine.holder(ip)
        if owner is not None and holder is identity:
            flows[owners.address(direction, ip)] = _located(direction, ip, identity, owner)
    identity.named[direction] = made = Named(frozenset([rule for _, rule in naming]), flows)
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
    return _named(direction, identity, _named_parts(node, direction, identity))


def _named_parts(node: str, direction: Direction, identity: Identity) -> set[Part]:
    return {
        (rule.number, clause, rule.clauses) for clause, rule in _naming(direction, identity) if node in rule.nodes
    }


def _named(direction: Direction, identity: Identity, parts: set[Part]) -> Flows:
    return SIDES[direction].peer(identity.id, parts, _mark(names.identity_owner(identity)))


def _naming(direction: Direction, identity: Identity) -> Iterator[tuple[int, ActiveRule]]:
    """The rules that name an identity, each with the clause that does."""
    for members in identity.sets:
        for rule in members.peer_of[direction]:
            yield _PEER, rule
        for rule in members.also_of[direction]:
            yield _ALSO, rule


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
    if owner is None or identity is None:
        return ()
    if not any(node in rule.nodes for _, rule in _naming(direction, identity)):
        return ()
    return _located(direction, ip, identity, owner)


def _located(direction: Direction, ip: IPAddress, identity: Identity, owner: Pod) -> Flows:
    return SIDES[direction].address(ip, identity.id, _mark(names.address_owner(owner)))


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

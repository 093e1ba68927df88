"""The flows of one cell of a node's policy tables: a pure function of the engine's state."""

from collections.abc import Callable, Iterable, Iterator

from controller.owners import Kind, Owner
from controller.policy import names
from controller.policy.engine import Engine
from controller.policy.members import ActiveRule, Identity
from kube.netpol import Direction
from openflow.codec import Encoded, encode
from openflow.features import policy
from openflow.features.policy import Part
from openflow.flow import Feature, Flow, cookie
from openflow.match import PortMatch
from openflow.net import IPAddress, IPNetwork

SIDES = {Direction.EGRESS: policy.EGRESS, Direction.INGRESS: policy.INGRESS}
_SUBJECT = 1


def cell_flows(engine: Engine, node: str, cell: Owner) -> tuple[Encoded, ...]:
    """The flows of `cell` on the bridge of `node`; none where no rule needs it."""
    direction = Direction(cell.name[0])
    made = _MAKERS[cell.kind](engine, node, direction, cell.name)
    return tuple(map(encode, made))


def _subject(engine: Engine, node: str, direction: Direction, name: tuple[str, int]) -> Iterator[Flow]:
    identity = engine.by_id.get(name[1])
    if identity is None or node not in identity.nodes or direction not in identity.isolated:
        return
    side, mark = SIDES[direction], _mark(names.identity_owner(identity))
    rules = {rule for members in identity.sets for rule in members.subject_of[direction]}
    if all(rule.rule.clauses for rule in rules):
        parts = [(engine.conjunctions.number(rule), _SUBJECT, _clauses(rule)) for rule in rules]
        yield from policy.isolated(side, identity.id, parts, mark)
    else:
        yield policy.allowed(side, identity.id, mark)


def _peer(engine: Engine, node: str, direction: Direction, name: tuple[str, int]) -> Iterator[Flow]:
    identity = engine.by_id.get(name[1])
    if identity is not None:
        parts = _peer_parts(engine, node, direction, identity)
        yield from policy.peer(SIDES[direction], identity.id, parts, _mark(names.identity_owner(identity)))


def _peer_parts(engine: Engine, node: str, direction: Direction, identity: Identity) -> set[Part]:
    found: set[Part] = set()
    for members in identity.sets:
        for rules, clause in ((members.peer_of, _peer_clause), (members.also_of, _also_clause)):
            found.update(_parts(engine, node, rules[direction], clause))
    return found


def _network(engine: Engine, node: str, direction: Direction, name: tuple[str, int, IPNetwork]) -> Iterator[Flow]:
    network = name[2]
    parts = _parts(engine, node, engine.networks.get((direction, network), ()), _peer_clause)
    yield from policy.peer_network(SIDES[direction], network, parts, _mark(names.network_owner(network)))


def _ports(engine: Engine, node: str, direction: Direction, name: tuple[str, PortMatch]) -> Iterator[Flow]:
    match = name[1]
    parts = _parts(engine, node, engine.ports.get((direction, match), ()), _clauses)
    yield from policy.ports(SIDES[direction], match, parts, _mark(names.ports_owner(match)))


def _rule(engine: Engine, node: str, direction: Direction, name: tuple[str, bytes]) -> Iterator[Flow]:
    rule = engine.by_digest.get(name[1])
    if rule is not None and node in rule.nodes and rule.rule.clauses:
        yield policy.rule(SIDES[direction], engine.conjunctions.number(rule), _mark(names.rule_owner(rule)))


def _address(engine: Engine, node: str, direction: Direction, name: tuple[str, int, IPAddress]) -> Iterator[Flow]:
    ip = name[2]
    owner = engine.owner_of(ip)
    identity = engine.identity_of(owner.meta.key) if owner is not None else None
    if owner is not None and identity is not None and _named(node, direction, identity):
        mark = _mark(names.address_owner(owner))
        yield policy.address(SIDES[direction], ip, identity.id, mark)


def _named(node: str, direction: Direction, identity: Identity) -> bool:
    """Whether rules of pods of this node name the identity."""
    return any(
        node in rule.nodes
        for members in identity.sets
        for rules in (members.peer_of, members.also_of)
        for rule in rules[direction]
    )


def _parts(
    engine: Engine, node: str, rules: Iterable[ActiveRule], clause: Callable[[ActiveRule], int]
) -> Iterator[Part]:
    for rule in rules:
        if node in rule.nodes:
            yield engine.conjunctions.number(rule), clause(rule), _clauses(rule)


def _clauses(rule: ActiveRule) -> int:
    """How many clauses the rule has; the ports' is the last."""
    return _SUBJECT + rule.rule.clauses


def _peer_clause(_: ActiveRule) -> int:
    return _SUBJECT + 1


def _also_clause(_: ActiveRule) -> int:
    return _SUBJECT + 2


def _mark(owner: str) -> int:
    return cookie(Feature.POLICY, owner)


_MAKERS: dict[Kind, Callable[..., Iterator[Flow]]] = {
    Kind.SUBJECT: _subject,
    Kind.PEER: _peer,
    Kind.NETWORK: _network,
    Kind.PORTS: _ports,
    Kind.RULE: _rule,
    Kind.ADDRESS: _address,
}

"""The policy tables' flows: who is who, who is isolated, and what is allowed all the same.

A rule is a conjunction: its subject, its peer and its ports are clauses, each fulfilled by any of some flows, and
every flow is shared by all rules that it is a part of. So the tables grow with the number of different pods, networks
and ports that rules name, not with their product.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from openflow import oxm
from openflow.actions import Action, Conjunction, Goto, load
from openflow.features.priority import LOW, NORMAL
from openflow.fields import Disposition, DstIdentity, EgressRule, IdentityId, IngressRule, SrcIdentity
from openflow.flow import Flow, flow
from openflow.match import IPV4, IPV6, Match, PortMatch, Term, ct_state, exact, ip_dst, ip_src, to_ports, where
from openflow.net import IPAddress, IPNetwork, host
from openflow.tables import Table


@dataclass(frozen=True, slots=True)
class Side:
    """A direction as the pipeline sees it: where it looks peers up and judges them, where an allowed packet goes on,
    what it calls subject and peer, and where it notes the rule that allowed a packet, or that none did."""

    lookup: Table
    judge: Table
    onward: Table
    subject: Callable[[int], SrcIdentity | DstIdentity]
    peer: Callable[[int], SrcIdentity | DstIdentity]
    peer_ip: Callable[[IPNetwork], Match]
    rule: Callable[[int], EgressRule | IngressRule]
    denied: Disposition


EGRESS = Side(
    Table.EGRESS_IDENTITY, Table.EGRESS_POLICY, Table.ROUTE, SrcIdentity, DstIdentity, ip_dst,
    EgressRule, Disposition.EGRESS_DENIED,
)  # fmt: skip
INGRESS = Side(
    Table.INGRESS_IDENTITY, Table.INGRESS_POLICY, Table.COMMIT, DstIdentity, SrcIdentity, ip_src,
    IngressRule, Disposition.INGRESS_DENIED,
)  # fmt: skip

Part = tuple[int, int, int]
"""A rule's conjunction, the clause (from 1), and the number of clauses."""

MOST_PARTS = 4000
"""Rules that one flow can be a part of: a flow-mod has 64 KiB at most, and each takes 16 bytes. Of more, the first by
number count, and the others allow nothing on that node: what cannot be said fails closed."""

PART_BYTES = 16


def address(side: Side, ip: IPAddress, identity: IdentityId, cookie: int) -> Flow:
    """Who has an address. Below what says that nobody needs to know."""
    actions = (load(side.peer(identity)), Goto(Table(side.lookup + 1)))
    return flow(side.lookup, LOW, (side.peer_ip(host(ip)),), actions, cookie=cookie)


def isolated(side: Side, identity: IdentityId, parts: Iterable[Part], cookie: int) -> Iterator[Flow]:
    """A subject of rules: what none of them allows is dropped."""
    who = where(side.subject(identity))
    yield from _clause(side, (who,), parts, cookie)
    # Commit drops it, and cuts the connection if there is one.
    denied = (load(side.denied), Goto(Table.COMMIT))
    yield flow(side.judge, LOW, (who,), denied, cookie=cookie)


def allowed(side: Side, identity: IdentityId, conjunction: int, cookie: int) -> Iterator[Flow]:
    """A subject that may do everything, by a rule that has no other clause."""
    return _onward(side, where(side.subject(identity)), conjunction, cookie)


def peer(side: Side, identity: IdentityId, parts: Iterable[Part], cookie: int) -> Iterator[Flow]:
    """Rules name this peer."""
    return _clause(side, (where(side.peer(identity)),), parts, cookie)


def peer_network(side: Side, network: IPNetwork, parts: Iterable[Part], cookie: int) -> Iterator[Flow]:
    """Rules name this network."""
    return _clause(side, (side.peer_ip(network),), parts, cookie)


def ports(side: Side, match: PortMatch, parts: Iterable[Part], cookie: int) -> Iterator[Flow]:
    """Rules name these ports of the destination, in both families."""
    held = tuple(parts)
    for family in (IPV4, IPV6):
        yield from _clause(side, (to_ports(family, match),), held, cookie)


def rule(side: Side, conjunction: int, cookie: int) -> Iterator[Flow]:
    """What happens when all clauses of a rule are fulfilled."""
    return _onward(side, exact(oxm.CONJ_ID, conjunction), conjunction, cookie)


def _onward(side: Side, which: Term, conjunction: int, cookie: int) -> Iterator[Flow]:
    """Lets pass what a rule allows. Two flows, so that the packets of the first are the rule's sessions: one for each
    connection, or as many as it takes until the other side answers."""
    for state in (ct_state(new=True, trk=True), ct_state(new=False, trk=True)):
        actions = (load(side.rule(conjunction)), Goto(side.onward))
        yield flow(side.judge, NORMAL, (which, state), actions, cookie=cookie)


def _clause(side: Side, terms: tuple[Term | Match, ...], parts: Iterable[Part], cookie: int) -> Iterator[Flow]:
    actions: tuple[Action, ...] = tuple(Conjunction(*part) for part in sorted(parts)[:MOST_PARTS])
    if actions:
        yield flow(side.judge, NORMAL, terms, actions, cookie=cookie)

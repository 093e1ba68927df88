"""Who owns flows on a node's bridge: the units in which flows are computed anew."""

from enum import Enum
from typing import Any, NamedTuple

from kube.netpol import Direction
from openflow.net import IPAddress, IPNetwork


class Kind(Enum):
    """The pipeline itself, a node of the cluster, a port of this bridge; and the cells of the policy tables.

    SUBJECT: an identity that is isolated here. PEER, NETWORK, PORTS: whom and what rules of pods here name. RULE:
    such a rule. ADDRESS: who has an IP address.
    """

    PIPELINE = "pipeline"
    NODE = "node"
    PORT = "port"
    SUBJECT = "subject"
    PEER = "peer"
    NETWORK = "network"
    PORTS = "ports"
    RULE = "rule"
    ADDRESS = "address"

    # Of one member there is one object; an Enum's own hash is that of its name, worked out in Python each time.
    __hash__ = object.__hash__


class Owner(NamedTuple):
    """A unit of recomputation. `name` is whatever tells owners of one kind apart, and sorts: text, or for a cell of
    the policy tables a tuple that begins with its direction."""

    kind: Kind
    name: Any


PIPELINE = Owner(Kind.PIPELINE, "")

_WORDS = {direction: direction.value for direction in Direction}
"""Asking an Enum's member for its value takes longer."""


def node_owner(name: str) -> Owner:
    return Owner(Kind.NODE, name)


def port_owner(name: str) -> Owner:
    return Owner(Kind.PORT, name)


def subject(direction: Direction, identity: int) -> Owner:
    return Owner(Kind.SUBJECT, (_WORDS[direction], identity))


def peer(direction: Direction, identity: int) -> Owner:
    return Owner(Kind.PEER, (_WORDS[direction], identity))


def network(direction: Direction, net: IPNetwork) -> Owner:
    return Owner(Kind.NETWORK, (_WORDS[direction], net.version, net))


def ports(direction: Direction, match: tuple[int, int, int]) -> Owner:
    return Owner(Kind.PORTS, (_WORDS[direction], match))


def rule(direction: Direction, digest: bytes) -> Owner:
    return Owner(Kind.RULE, (_WORDS[direction], digest))


def address(direction: Direction, ip: IPAddress) -> Owner:
    return Owner(Kind.ADDRESS, (_WORDS[direction], ip.version, ip))

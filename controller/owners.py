"""Who owns flows on a node's bridge: the units in which flows are computed anew."""

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    PIPELINE = "pipeline"
    NODE = "node"
    PORT = "port"


class Owner(NamedTuple):
    """A unit of recomputation: the pipeline itself, a node of the cluster, or a port of this bridge."""

    kind: Kind
    name: str


PIPELINE = Owner(Kind.PIPELINE, "")


def node_owner(name: str) -> Owner:
    return Owner(Kind.NODE, name)


def port_owner(name: str) -> Owner:
    return Owner(Kind.PORT, name)

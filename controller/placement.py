"""Which nodes' switches a controller programs: all of them, or its own where one runs beside each agent. Pure.

Every controller watches the whole cluster, because that is what a node's flows follow from. What only one of them
sees, such as a refused flow, it tells of. What all of them see, one tells of, without a word between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Placement:
    """`node` is the only one that the controller programs; None: it programs all."""

    node: str | None = None

    def __contains__(self, node: str) -> bool:
        return self.node in (None, node)

    def tells_of(self, key: str, nodes: Iterable[str]) -> bool:
        """Whether this controller is the one that tells of what is wrong with an object, which all see. `nodes` are
        those that have a controller. By rendezvous hashing: all that know the same nodes find the same one, and nodes
        that come and go change little."""
        if self.node is None:
            return True
        return max(nodes, key=lambda node: (_weight(node, key), node), default=None) == self.node


EVERYWHERE = Placement()


def _weight(node: str, key: str) -> bytes:
    return blake2b(f"{node}/{key}".encode(), digest_size=8).digest()

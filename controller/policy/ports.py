"""Ranges of ports as the fewest matches with a mask."""

from collections.abc import Iterator

from openflow.match import PortMatch

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
"""IP protocol numbers by their names in Kubernetes."""

EVERY_BIT = 0xFFFF


def port_matches(protocol: int, first: int, last: int) -> Iterator[PortMatch]:
    """The fewest matches that cover exactly the ports `first` to `last`."""
    while first <= last:
        size = first & -first or EVERY_BIT + 1
        while first + size - 1 > last:
            size >>= 1
        yield PortMatch(protocol, first, EVERY_BIT & ~(size - 1))
        first += size

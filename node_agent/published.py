"""How the controller reaches this node's database: what the setting published-ovsdb asks for. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon import targets
from daemon.targets import IPAddress


class NoAddress(ValueError):  # noqa: N818 - reads as what is wrong
    """The database cannot be published, because nobody knows the node's address."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The database listens for TLS on `port` of `address`, None: of the Node's first InternalIP."""

    port: int
    address: IPAddress | None = None

    def at(self, internal_ips: Sequence[IPAddress]) -> IPAddress:
        """The address on a Node with these. NoAddress: there is none."""
        found = self.address or next(iter(internal_ips), None)
        if found is None:
            raise NoAddress(
                f"published-ovsdb ssl:{self.port}: the Node has no InternalIP in status.addresses; the kubelet (or"
                " cloud controller) writes it. Or give published-ovsdb as ssl:IP:PORT"
            )
        return found


def remote(address: IPAddress, port: int) -> str:
    """What the Node says (weft.dev/ovsdb)."""
    return f"ssl:{targets.endpoint(address, port)}"


def manager(address: IPAddress, port: int) -> str:
    """The Manager row's target."""
    return f"pssl:{port}:{targets.bracketed(address)}"


def listening(published: str) -> Listening | None:
    """Of a value of published-ovsdb; None: no TLS. ValueError, which names it: not as it should be."""
    kind, _, rest = published.partition(":")
    if kind != "ssl":
        return None
    host, colon, port = rest.rpartition(":")
    try:
        return Listening(targets.parse_port(port), targets.parse_address(host) if colon else None)
    except ValueError as e:
        raise ValueError(f"published-ovsdb {published!r}: give ssl:PORT or ssl:IP:PORT: {e}") from None

"""Networks without parts of them, as networks."""

from collections.abc import Iterable

from openflow.net import IPNetwork


def subtract(network: IPNetwork, excepted: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """The fewest networks that cover exactly the addresses of `network` that are in none of `excepted`, sorted."""
    left = [network]
    for hole in excepted:
        left = [piece for each in left for piece in _without(each, hole)]
    return tuple(sorted(left))


def _without(network: IPNetwork, hole: IPNetwork) -> Iterable[IPNetwork]:
    if network.version != hole.version or not network.overlaps(hole):
        return (network,)
    if network.subnet_of(hole):  # type: ignore[arg-type]
        return ()
    return network.address_exclude(hole)  # type: ignore[arg-type]

"""Which addresses attachments get: what is asked for them, and a hold on what is given until its row is committed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_interface

from cni.errors import CniError, ErrorCode
from cni.fields import show
from cni.netconf import Add
from node_agent.ipam import Bounds, InUse, IPAddress, Pools, Unavailable, Wish, gateway_address
from ovsdb.rows import AttachmentKey

ANNOTATION = "weft.dev/ips"
"""Of a Pod: the addresses that it is to have, at most one of a family, between commas."""


class Addresses:
    """`taken` are the addresses of the ledger; `seed` chooses where it starts. Any thread may call."""

    def __init__(self, taken: Callable[[], Set[IPAddress]], seed: int) -> None:
        self._taken = taken
        self._seed = seed
        self._lock = threading.Lock()
        self._held: dict[AttachmentKey, tuple[IPAddress, ...]] = {}
        self._last: dict[tuple[Bounds, ...], Sequence[IPAddress]] = {}

    @contextmanager
    def hold(self, key: AttachmentKey, pools: Pools, wish: Wish) -> Iterator[tuple[IPAddress, ...]]:
        """Addresses that nobody else gets until the row that takes them is in the ledger. Raises as
        `Pools.allocate`."""
        with self._lock:
            given = self._next(pools, wish)
            self._held[key] = given
            if not wish.ips:
                self._last[wish.within] = given
        try:
            yield given
        finally:
            with self._lock:
                del self._held[key]

    def try_one(self, pools: Pools) -> None:
        """Raises Exhausted when there is no address for another pod."""
        with self._lock:
            self._next(pools, Wish())

    def _next(self, pools: Pools, wish: Wish) -> tuple[IPAddress, ...]:
        used = self._taken() | {ip for ips in self._held.values() for ip in ips}
        # Each set of bounds has a turn of its own, so that a freed address rests in each as long as it can.
        return pools.allocate(used, self._last.get(wish.within) or pools.start(self._seed), wish)


def with_annotation(command: Add, annotations: Mapping[str, str]) -> Add:
    """The ADD, with the addresses of the Pod's annotation where the runtime asks for none. CniError 7: they cannot be
    read."""
    text = annotations.get(ANNOTATION, "")
    if command.requested.ips or not text.strip():
        return command
    pod = command.attachment.args
    key = f"Pod {pod.namespace}/{pod.pod}: annotation {ANNOTATION}={show(text)}"
    try:
        ips = tuple(ip_interface(each.strip()) for each in text.split(","))
    except ValueError as e:
        advice = "give an IPv4 address, an IPv6 address, or both with a comma"
        raise CniError(ErrorCode.INVALID_NETWORK_CONFIG, f"{key}: {e}; {advice}") from e
    return replace(command, requested=replace(command.requested, ips=ips, ips_key=key))


def wish_of(command: Add) -> Wish:
    """What an ADD asks for, within the pool of its namespace and apart from those of others."""
    own, asked = command.attachment.args.namespace, command.requested
    pools = {name: Bounds(f"addressPools.{name}", ranges) for name, ranges in command.conf.pools.items()}
    within = [pools[own]] if own in pools else []
    within += [Bounds("runtimeConfig.ipRanges", asked.ranges.ranges)] if asked.ranges.ranges else []
    apart = (each for name, each in pools.items() if name != own)
    return Wish(tuple(each.ip for each in asked.ips), tuple(within), tuple(apart))


@contextmanager
def granting(command: Add, owner: Callable[[IPAddress], str]) -> Iterator[None]:
    """Raises CniError 2 for what is asked for and not to be had, by the key that asks for it; `owner` says who has an
    address."""
    key = f"{command.requested.ips_key}: " if command.requested.ips else ""
    try:
        yield
    except InUse as e:
        advice = "delete that pod, or ask for another address"
        raise CniError(ErrorCode.UNSUPPORTED_FIELD, f"{key}{e}, {owner(e.ip)}; {advice}") from e
    except Unavailable as e:
        raise CniError(ErrorCode.UNSUPPORTED_FIELD, f"{key}{e}") from e


def check_gateways(command: Add, pools: Pools) -> None:
    """CniError 2: a gateway is asked for that is not the node's."""
    own = [gateway_address(cidr) for cidr in pools.cidrs]
    for gateway in command.requested.ranges.gateways:
        if gateway not in own:
            raise CniError(
                ErrorCode.UNSUPPORTED_FIELD,
                f"runtimeConfig.ipRanges: gateway {gateway}: a pod's gateway is the node, {', '.join(map(str, own))};"
                " leave the gateway out",
            )

"""The policy tables' flows as bytes: what `features.policy` says, in a tenth of the time.

A large cluster has a million of them. A flow's bytes are cut open once, where the values go, and put together again
around others. A property test holds this file to `features.policy`.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

from openflow.actions import Conjunction
from openflow.codec import COOKIE_SIZE, Encoded, apply_actions, encode
from openflow.features import policy
from openflow.features.policy import MOST_PARTS, Part, Side
from openflow.fields import IdentityId
from openflow.flow import Flow
from openflow.match import PortMatch
from openflow.net import IPAddress, IPNetwork
from openflow.template import cut

_IDENTITY, _RULE = 0x6B4D92E751C83FA6, 0x9E3B7AD5
_SAMPLES: dict[int, IPAddress] = {
    4: IPv4Address(0x9DE3B75A), 6: IPv6Address(0xA7D9C3E5B1F36A9C8E7D6C5B4A392817),
}  # fmt: skip
"""Values to cut at; what matters is that no flow has their bytes by chance."""

_SAMPLE_PART: Part = (1, 1, 2)
_PART = Struct("!BBI")
_PART_HEAD = Conjunction(*_SAMPLE_PART).wire[: -_PART.size]


class PolicyBytes:
    """The flows of one side. The methods are named as the functions of `features.policy`, and take the same."""

    def __init__(self, side: Side) -> None:
        who = IdentityId(_IDENTITY)
        named = _IDENTITY.to_bytes(8, "big")
        addresses = {family: encode(policy.address(side, ip, who, 0)) for family, ip in _SAMPLES.items()}
        self._ip = {family: cut(flow.key, _SAMPLES[family].packed) for family, flow in addresses.items()}
        self._is = cut(addresses[4].body[COOKIE_SIZE:], named)
        clause, denied = map(encode, policy.isolated(side, who, [_SAMPLE_PART], 0))
        (peer,) = map(encode, policy.peer(side, who, [_SAMPLE_PART], 0))
        numbered = _RULE.to_bytes(4, "big")
        allowed, rule = (
            tuple(map(encode, flows)) for flows in (policy.allowed(side, who, _RULE, 0), policy.rule(side, _RULE, 0))
        )
        self._subject_key, self._denied_key, self._peer_key = (
            cut(flow.key, named) for flow in (clause, denied, peer)
        )
        self._allowed_keys = tuple(cut(flow.key, named) for flow in allowed)
        self._rule_keys = tuple(cut(flow.key, numbered) for flow in rule)
        self._onward = cut(rule[0].body[COOKIE_SIZE:], numbered)
        self._denied = denied.body[COOKIE_SIZE:]
        # The keys of networks and ports are worked out again and again, one node after the other.
        self._network = lru_cache(maxsize=16384)(lambda net: _keys(policy.peer_network(side, net, [_SAMPLE_PART], 0)))
        self._ports = lru_cache(maxsize=16384)(lambda match: _keys(policy.ports(side, match, [_SAMPLE_PART], 0)))

    def address(self, ip: IPAddress, identity: IdentityId, cookie: int) -> tuple[Encoded, ...]:
        before, behind = self._is
        body = cookie.to_bytes(8, "big") + before + identity.to_bytes(8, "big") + behind
        return (Encoded(_around(self._ip[ip.version], ip.packed), body),)

    def isolated(self, identity: IdentityId, parts: Iterable[Part], cookie: int) -> tuple[Encoded, ...]:
        who = identity.to_bytes(8, "big")
        denied = Encoded(_around(self._denied_key, who), cookie.to_bytes(8, "big") + self._denied)
        return (*_clauses((_around(self._subject_key, who),), parts, cookie), denied)

    def allowed(self, identity: IdentityId, conjunction: int, cookie: int) -> tuple[Encoded, ...]:
        body = cookie.to_bytes(8, "big") + _around(self._onward, conjunction.to_bytes(4, "big"))
        who = identity.to_bytes(8, "big")
        return tuple([Encoded(_around(key, who), body) for key in self._allowed_keys])

    def peer(self, identity: IdentityId, parts: Iterable[Part], cookie: int) -> tuple[Encoded, ...]:
        return _clauses((_around(self._peer_key, identity.to_bytes(8, "big")),), parts, cookie)

    def peer_network(self, network: IPNetwork, parts: Iterable[Part], cookie: int) -> tuple[Encoded, ...]:
        return _clauses(self._network(network), parts, cookie)

    def ports(self, match: PortMatch, parts: Iterable[Part], cookie: int) -> tuple[Encoded, ...]:
        return _clauses(self._ports(match), parts, cookie)

    def rule(self, conjunction: int, cookie: int) -> tuple[Encoded, ...]:
        number = conjunction.to_bytes(4, "big")
        body = cookie.to_bytes(8, "big") + _around(self._onward, number)
        return tuple([Encoded(_around(key, number), body) for key in self._rule_keys])


def _around(pieces: tuple[bytes, bytes], value: bytes) -> bytes:
    return pieces[0] + value + pieces[1]


def _keys(flows: Iterable[Flow]) -> tuple[bytes, ...]:
    return tuple(encode(flow).key for flow in flows)


def _clauses(keys: tuple[bytes, ...], parts: Iterable[Part], cookie: int) -> tuple[Encoded, ...]:
    """Flows that are these parts of rules; none where there are no parts."""
    wires = [
        _PART_HEAD + _PART.pack(clause - 1, clauses, rule) for rule, clause, clauses in sorted(parts)[:MOST_PARTS]
    ]
    if not wires:
        return ()
    body = cookie.to_bytes(8, "big") + apply_actions(b"".join(wires))
    return tuple([Encoded(key, body) for key in keys])

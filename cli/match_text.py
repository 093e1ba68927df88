"""Matches from the words of ovs-fields(7), in which a trace names the flows that it met. Pure.

Reading them gives back the very flow that was dumped, so a trace can call it by all its names. What Weft never
matches is not read: the flow is then shown in Open vSwitch's words.
"""

from ipaddress import ip_address, ip_network

from openflow import oxm
from openflow.errors import SpecError
from openflow.match import CT_BITS, Match, Term, exact, mac, match
from openflow.oxm import Field, Form

_WORDS: dict[str, tuple[int, int | None]] = {
    "ip": (oxm.ETH_IPV4, None), "ipv6": (oxm.ETH_IPV6, None), "arp": (oxm.ETH_ARP, None),
    "icmp": (oxm.ETH_IPV4, 1), "tcp": (oxm.ETH_IPV4, 6), "udp": (oxm.ETH_IPV4, 17), "sctp": (oxm.ETH_IPV4, 132),
    "icmp6": (oxm.ETH_IPV6, 58), "tcp6": (oxm.ETH_IPV6, 6), "udp6": (oxm.ETH_IPV6, 17), "sctp6": (oxm.ETH_IPV6, 132),
}  # fmt: skip
"""Ethertype and IP protocol behind a word that stands alone."""

_LAYER4 = {6: "tcp", 17: "udp", 132: "sctp"}
_ICMP6 = 58
_SIGNS = "+-"


class ForeignMatch(ValueError):  # noqa: N818  (reads as what was found)
    """A match that no flow of Weft has."""


def parse_match(text: str) -> Match:
    """The match that Open vSwitch writes so, e.g. `ip,reg0=0x2/0xf,nw_src=10.0.0.0/24`. Raises ForeignMatch."""
    parts = [part.partition("=") for part in text.split(",") if part]
    words = [name for name, equals, _ in parts if not equals]
    try:
        kinds = [_WORDS[word] for word in words]
        proto = next((proto for _, proto in kinds if proto is not None), None)
        terms = [exact(oxm.ETH_TYPE, kind) for kind, _ in kinds]
        terms += [] if proto is None else [exact(oxm.IP_PROTO, proto)]
        terms += [_term(name, value, proto) for name, equals, value in parts if equals]
        return match(*terms)
    except (KeyError, ValueError, SpecError) as e:
        raise ForeignMatch(f"{text!r}: {e}") from e


def _term(name: str, value: str, proto: int | None) -> Term:
    if name in ("tp_src", "tp_dst"):
        name = f"{_LAYER4[proto or 0]}_{name.removeprefix('tp_')}"
    elif proto == _ICMP6 and name in ("icmp_type", "icmp_code"):
        name = name.replace("icmp", "icmpv6")
    on = oxm.BY_NAME[name]
    number, mask = _ct_state(value) if on.form is Form.CT_STATE else _masked(on, value)
    return _on_wide_register(on, number, mask)


def _ct_state(text: str) -> tuple[int, int]:
    """`+new-rel`: the flags that must be set, and those that must not."""
    value = mask = 0
    rest = text
    while rest:
        sign, rest = rest[0], rest[1:]
        if sign not in _SIGNS:
            raise ValueError(f"ct_state {text!r}")
        end = min((at for at in map(rest.find, _SIGNS) if at >= 0), default=len(rest))
        bit = CT_BITS[rest[:end]]
        mask |= bit
        value |= bit if sign == "+" else 0
        rest = rest[end:]
    return value, mask


def _masked(on: Field, text: str) -> tuple[int, int]:
    value, slash, mask = text.partition("/")
    if on.form in (Form.IPV4, Form.IPV6):
        if slash and mask.isdigit():
            net = ip_network(text)
            return int(net.network_address), int(net.netmask)
        return int(ip_address(value)), int(ip_address(mask)) if slash else on.full
    if on.form is Form.MAC:
        return mac(value), mac(mask) if slash else on.full
    return int(value, 0), int(mask, 0) if slash else on.full


def _on_wide_register(on: Field, value: int, mask: int) -> Term:
    """Weft writes a match on reg0..15 as one on the 64-bit register that holds it; the even ones are upper halves."""
    number = on.name.removeprefix("reg")
    if not number.isdigit():
        return Term(on, value, mask)
    shift = 0 if int(number) % 2 else 32
    return Term(oxm.BY_NAME[f"xreg{int(number) // 2}"], value << shift, mask << shift)

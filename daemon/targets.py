"""Connection methods in Open vSwitch's words (ovsdb(7), "Connection Methods"), as settings give them. Pure.

What is not encrypted stays on this machine: `tcp:` is for loopback addresses, everything else is `ssl:`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

IPAddress = IPv4Address | IPv6Address

_LAST_PORT = 65535
_LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class Target:
    """`kind` is `unix`, `tcp` or `ssl`; of a `unix` target `host` is the path and `port` 0."""

    kind: str
    host: str
    port: int = 0

    @property
    def is_local(self) -> bool:
        """Whether what goes there stays on this machine."""
        return self.kind == "unix" or is_loopback(self.host)


def parse(text: str) -> Target:
    """`unix:PATH`, `tcp:IP:PORT` or `ssl:IP:PORT`, an IPv6 address in brackets; `localhost` may stand for one. Raises
    ValueError, which says what is wrong and does not repeat the text."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return Target(kind, rest)
    if kind not in ("tcp", "ssl"):
        raise ValueError("give unix:PATH, tcp:IP:PORT or ssl:IP:PORT")
    host, _, port = rest.rpartition(":")
    if host != _LOCALHOST:
        parse_address(host)
    return Target(kind, host.strip("[]"), parse_port(port))


def parse_port(text: str) -> int:
    """A TCP port. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= _LAST_PORT):
        raise ValueError(f"a port is 1 to {_LAST_PORT}")
    return int(text)


def parse_address(text: str) -> IPAddress:
    """An address as it stands in front of a port. Raises ValueError."""
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        address = ip_address(text[1:-1] if bracketed else text)
    except ValueError:
        raise ValueError(f"{text!r} is no IP address; an IPv6 address goes in brackets") from None
    if bracketed != (address.version == 6):
        raise ValueError("an IPv6 address goes in brackets, an IPv4 address does not")
    return address


def endpoint(address: IPAddress, port: int) -> str:
    """`IP:PORT`, with an IPv6 address in brackets."""
    return f"{bracketed(address)}:{port}"


def bracketed(address: IPAddress) -> str:
    """The address as it stands in front of a port."""
    return f"[{address}]" if address.version == 6 else str(address)


def is_loopback(host: str) -> bool:
    """Whether a target's host is this machine itself."""
    return host == _LOCALHOST or ip_address(host).is_loopback


def check_encrypted(key: str, text: str, *, tls: bool) -> Target:
    """The target that the setting `key` names. Raises ValueError, which names key and value, for one that does not
    parse, that would leave this machine in the clear, or that needs the certificates which `tls` says are given."""
    try:
        target = parse(text)
    except ValueError as e:
        raise ValueError(f"{key} {text!r}: {e}") from None
    if target.kind == "tcp" and not target.is_local:
        raise ValueError(f"{key} {text!r}: without TLS only loopback addresses are allowed; give ssl:IP:PORT")
    if target.kind == "ssl" and not tls:
        raise ValueError(needs_files(key, text))
    return target


def needs_files(key: str, text: str) -> str:
    """What is missing where a setting asks for TLS."""
    return f"{key} {text!r}: ssl: needs the settings tls-ca, tls-certificate and tls-key"

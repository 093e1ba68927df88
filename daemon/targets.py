"""Connection methods in Open vSwitch's words (ovsdb(7), "Connection Methods"), as settings give them. Pure.

What is not encrypted stays on this machine: `tcp:` is for loopback addresses, everything else is `ssl:`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

IPAddress = IPv4Address | IPv6Address

_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Target:
    """`kind` is `unix`, `tcp` or `ssl`; of a `unix` target `host` is the path and `port` 0. A host that was given as
    no address is a name."""

    kind: str
    host: str
    port: int = 0

    @property
    def is_local(self) -> bool:
        """Whether what goes there stays on this machine."""
        return self.kind == "unix" or is_loopback(self.host)


def parse(text: str) -> Target:
    """`unix:PATH`, `tcp:IP:PORT` or `ssl:IP:PORT`, an IPv6 address in brackets. Raises ValueError, which says what is
    wrong and does not repeat the text."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return Target(kind, rest)
    if kind not in ("tcp", "ssl"):
        raise ValueError("give unix:PATH, tcp:IP:PORT or ssl:IP:PORT")
    host, _, port = rest.rpartition(":")
    return Target(kind, _host(host), parse_port(port))


def parse_port(text: str) -> int:
    """A TCP port. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= _LAST_PORT):
        raise ValueError(f"a port is 1 to {_LAST_PORT}")
    return int(text)


def endpoint(address: IPAddress, port: int) -> str:
    """`IP:PORT`, with an IPv6 address in brackets."""
    return f"{bracketed(address)}:{port}"


def bracketed(address: IPAddress) -> str:
    """The address as it stands in front of a port."""
    return f"[{address}]" if address.version == 6 else str(address)


def is_loopback(host: str) -> bool:
    """Whether a host, given as an address or a name, is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


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


def _host(text: str) -> str:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not inner or (":" in inner) != (inner != text):
        raise ValueError("after the method give IP:PORT; an IPv6 address goes in brackets")
    return inner

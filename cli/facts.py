"""What only a node can tell of itself, as it is sent from there: links, kernel, certificates, answers to probes.

A weftctl of another release may read it: what it does not know it skips, and what it misses has a default.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from daemon.certificates import TlsFiles


class Files(Struct, frozen=True):
    """A node's TLS files, as Open vSwitch's database names them."""

    ca: str
    certificate: str
    key: str

    @property
    def of_daemon(self) -> TlsFiles:
        """The same as a daemon's settings have them."""
        return TlsFiles(Path(self.ca), Path(self.certificate), Path(self.key))


class Wanted(Struct, frozen=True):
    """What to look at: the interface that `tunnel_ip` leaves by, or `transport` by name where the switch has taken it
    over; and these TLS files, None where there are none."""

    tunnel_ip: str = ""
    transport: str = ""
    files: Files | None = None


class Link(Struct, frozen=True):
    """A network interface; `mtu` in bytes, addresses as `IP/prefix`."""

    name: str
    mtu: int
    up: bool
    addresses: tuple[str, ...] = ()


class Certificate(Struct, frozen=True):
    """A certificate and what it accepts; times in seconds since 1970, 0 for `ca_not_after` where no authority says
    one. `problem` is why the files cannot be used, and then the rest may be missing."""

    names: tuple[str, ...] = ()
    not_before: float = 0.0
    not_after: float = 0.0
    ca_not_after: float = 0.0
    problem: str = ""


class NodeFacts(Struct, frozen=True):
    """A node. `kernel` is its release; `module` whether the kernel has openvswitch loaded; `uplink` the name of the
    interface that tunnels leave by, "" with `uplink_problem` where there is none; `now` its clock, since 1970."""

    kernel: str
    module: bool
    links: tuple[Link, ...]
    now: float
    uplink: str = ""
    uplink_problem: str = ""
    certificate: Certificate | None = None

    def link(self, name: str) -> Link | None:
        return next((link for link in self.links if link.name == name), None)


class Probe(Struct, frozen=True):
    """Something to try from a node. `kind`: `tcp`, a connection; `tls`, one with the node's certificate; `udp`, a
    packet of `size` bytes (with its IP header, not to be fragmented) to a port where nobody listens, which the other
    end's kernel answers."""

    kind: str
    address: str
    port: int
    size: int = 0
    files: Files | None = None


class Probed(Struct, frozen=True):
    """How a probe went: `problem` is "" when it was answered. `names` and `not_after` (since 1970) are of the
    certificate that the other end showed."""

    probe: Probe
    problem: str = ""
    names: tuple[str, ...] = ()
    not_after: float = 0.0

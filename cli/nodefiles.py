"""What a node has for a support bundle: its network as the kernel sees it, its programs' versions, settings and logs.

Runs on the node. Nothing is read but what is listed here: no environment, no keys, no other daemon's files.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct

from node_agent import rtnl_read
from node_agent.netlink import Netlink
from node_agent.rtnl import Address, Link

_PROGRAM_SECONDS = 30.0
_LARGEST = 1 << 20
"""Bytes of a settings file; more is none."""
_MODULES = ("openvswitch", "geneve", "vxlan", "nf_conntrack")
_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/rp_filter",
    "net/ipv4/conf/weft-gw0/rp_filter",
    "net/ipv4/conf/weft-gw0/forwarding",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv6/conf/weft-gw0/forwarding",
    "net/ipv6/conf/weft-gw0/disable_ipv6",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
    "net/core/netdev_max_backlog",
)


class FilesWanted(Struct, frozen=True):
    """`rundir` is Open vSwitch's run directory and `bridge` Weft's, as the node knows them. `settings` and `others`
    are files or directories of configurations, `logs` files of which the last `log_bytes` count."""

    rundir: str
    bridge: str
    settings: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    log_bytes: int = 4 << 20


class Collected(Struct, frozen=True):
    """Texts by the name of their file, and why others are missing."""

    texts: dict[str, str]
    missing: dict[str, str]


def collect(wanted: FilesWanted) -> Collected:
    """Everything, as far as it can be had."""
    return _read([*_machine(wanted), *_daemon(wanted)])


def daemon_files(wanted: FilesWanted) -> Collected:
    """Settings and logs alone."""
    return _read(_daemon(wanted))


def _read(sources: Iterable[tuple[str, Callable[[], str]]]) -> Collected:
    texts: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, read in sources:
        try:
            texts[name] = read()
        except (OSError, subprocess.SubprocessError, ValueError) as e:
            missing[name] = str(e)
    return Collected(texts, missing)


def _machine(wanted: FilesWanted) -> Iterator[tuple[str, Callable[[], str]]]:
    yield from {"links.txt": _links, "routes.txt": _routes, "neighbours.txt": _neighbours}.items()
    yield "sysctls.txt", _sysctls
    yield "versions.txt", _versions
    yield "nft.txt", lambda: _program("nft", "list", "ruleset")
    management = f"unix:{wanted.rundir}/{wanted.bridge}.mgmt"
    for what in ("groups", "group-stats", "meters", "ports", "ports-desc", "tables"):
        yield f"openflow-{what}.txt", _ofctl(f"dump-{what}", management)


def _daemon(wanted: FilesWanted) -> Iterator[tuple[str, Callable[[], str]]]:
    for path in wanted.settings:
        yield f"settings/{Path(path).name}", _file(Path(path))
    for path in wanted.others:
        yield from _configurations(Path(path))
    for path in wanted.logs:
        yield f"logs/{Path(path).name}", _log(Path(path), wanted.log_bytes)


def _ofctl(verb: str, management: str) -> Callable[[], str]:
    return lambda: _program("ovs-ofctl", "-O", "OpenFlow15", "--timeout=10", verb, management)


def _configurations(path: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """A file, or the files of a directory; of CNI's directory, only those that are Weft's."""
    if not path.is_dir():
        yield f"settings/{path.name}", _file(path)
        return
    for each in sorted(path.iterdir()):
        if each.is_file() and "weft" in each.name:
            yield f"settings/{each.name}", _file(each)


def _file(path: Path) -> Callable[[], str]:
    def read() -> str:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"{path} has more than {_LARGEST} bytes: these are no settings")
        return path.read_text(errors="replace")

    return read


def _log(path: Path, most: int) -> Callable[[], str]:
    """The end of a log, from the beginning of a line."""

    def read() -> str:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            held = file.read(most)
        return (held if size <= most else held.partition(b"\n")[2]).decode(errors="replace")

    return read


def _program(*argv: str) -> str:
    """What a program prints. OSError: it is not there; ValueError: it failed, in its own words."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_PROGRAM_SECONDS, check=False)
    except FileNotFoundError as e:
        raise FileNotFoundError(f"the program {argv[0]} is not there") from e
    if done.returncode != 0:
        raise ValueError(f"{argv[0]}: {done.stderr.decode(errors='replace').strip() or f'status {done.returncode}'}")
    return done.stdout.decode(errors="replace")


def _links() -> str:
    """Interfaces with their addresses, each on a line of its own, as `ip -brief address` has them."""
    with Netlink() as netlink:
        links, addresses = rtnl_read.links(netlink), rtnl_read.addresses(netlink)
    return "".join(f"{_link(link)} {_of(link, addresses)}\n" for link in links)


def _link(link: Link) -> str:
    flags = f"{'up' if link.up else 'down'}{'' if link.arp else ' noarp'}"
    return f"{link.index}: {link.name} {flags} mtu {link.mtu} mac {link.mac or '-'} group {link.group}"


def _of(link: Link, addresses: Iterable[Address]) -> str:
    return " ".join(str(each.ip) for each in addresses if each.link == link.index)


def _routes() -> str:
    """Unicast routes of every table."""
    with Netlink() as netlink:
        names = {link.index: link.name for link in rtnl_read.links(netlink)}
        routes = rtnl_read.routes(netlink, every_table=True)
    return "".join(
        f"{route} dev {names.get(route.link, route.link)} proto {route.protocol} metric {route.priority}"
        f"{f' src {route.source}' if route.source else ''}{' onlink' if route.onlink else ''}\n"
        for route in routes
    )


def _neighbours() -> str:
    kinds = {"permanent": rtnl_read.permanent_neighbours, "known": rtnl_read.resolved_neighbours}
    with Netlink() as netlink:
        found = [
            f"{entry.ip} dev {link.name} mac {entry.mac} {kind}\n"
            for link in rtnl_read.links(netlink)
            for kind, read in kinds.items()
            for entry in read(netlink, link.index)
        ]
    return "".join(found)


def _sysctls() -> str:
    return "".join(f"{key} = {_sysctl(key)}\n" for key in _SYSCTLS)


def _sysctl(key: str) -> str:
    try:
        return Path("/proc/sys", key).read_text().strip()
    except OSError as e:
        return f"({e.strerror})"


def _versions() -> str:
    """Of what runs there. Open vSwitch's own is told by the switch, which may be of another container."""
    found = {"kernel": " ".join(platform.uname()[0:1] + platform.uname()[2:5]), "python": platform.python_version()}
    for package in ("weft", "os-ken", "ovs", "pyroute2", "kubernetes"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    modules = (
        each for each in ("openvswitch", "geneve", "vxlan", "nf_conntrack") if Path("/sys/module", each).is_dir()
    )
    found["modules"] = " ".join(modules) or "none of Open vSwitch's"
    found["nft"] = _first_line("nft", "--version")
    found["ovs-ofctl"] = _first_line("ovs-ofctl", "--version")
    return "".join(f"{name}: {value}\n" for name, value in found.items())


def _first_line(*argv: str) -> str:
    try:
        return _program(*argv).partition("\n")[0]
    except (OSError, ValueError, subprocess.SubprocessError) as e:
        return f"({e})"

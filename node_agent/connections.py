"""Connections of the pods that had an address before: whoever gets it next must not inherit them.

Open vSwitch's connection tracking knows addresses, not pods. What it still has of a connection would let the other
end of it reach the new pod past all policy, as with replies.

`dpctl/flush-conntrack` takes a single address, too, but is then of no use: up to Open vSwitch 3.1 at least, it leaves
out a part of what it finds in user space, and ends the daemon at the first ICMPv6 connection (lib/conntrack.c,
`tuple_to_conn_key`). So the connections are listed, and each is named whole.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from daemon import logs
from openflow.net import IPAddress, IPNetwork
from ovsdb import appctl
from ovsdb.errors import OvsdbError
from ovsdb.view import BridgeEvent, BridgeGone, PortChanged, PortGone, Snapshot

log = logs.get("weft.agent")

PAUSE_SECONDS = 1.0
"""Pods that go together are forgotten together: a list of many connections keeps a switch busy for some ms."""

_LINE = re.compile(r"(?P<proto>\w+),orig=\((?P<orig>[^)]*)\),reply=\((?P<reply>[^)]*)\).*?zone=(?P<zone>\d+)")
"""A line of `dpctl/dump-conntrack` (lib/ct-dpif.c, `ct_dpif_format_entry`). Those of zone 0, the host's, have no
zone."""

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
"""Others that Open vSwitch tracks are ICMPv6, whose connections live for a minute, and what it has no name for."""

Concerns = Callable[[str], bool]
"""Whether an address, as Open vSwitch writes it, is one whose connections are to be forgotten."""


class Connections:
    """The connections that the node's switch knows; `rundir` is its run directory. Methods may be called from many
    threads at once.

    What pods that are gone have left, as the bridge's rows tell, is forgotten a moment later by a thread of its own,
    and at the latest when a pod gets one of their addresses. A switch that cannot be asked then is logged only: it
    has no network for a pod either.
    """

    def __init__(self, rundir: Path, pause_s: float = PAUSE_SECONDS) -> None:
        self._rundir = rundir
        self._pause_s = pause_s
        self._holders = _Holders()
        self._left: set[IPAddress] = set()
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connections", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()

    def take(self, event: BridgeEvent) -> None:
        """What the bridge's rows say, in order; never blocks."""
        match event:
            case Snapshot():
                ports = event.bridge.ports.values() if event.bridge is not None else ()
                now = {port.name: port.ips for port in ports}
                self._hold({**dict.fromkeys(self._holders.names(), ()), **now})
            case PortChanged(port):
                self._hold({port.name: port.ips})
            case PortGone(name):
                self._hold({name: ()})
            case BridgeGone():
                self._hold(dict.fromkeys(self._holders.names(), ()))

    def _hold(self, changed: Mapping[str, tuple[IPAddress, ...]]) -> None:
        with self._lock:
            left = {ip for name, ips in changed.items() for ip in self._holders.set(name, ips)}
            left -= self._holders.held()
            self._left |= left
        if left:
            self._wake.set()

    def claim(self, ips: Collection[IPAddress]) -> None:
        """A pod is to get these addresses: what is left of an earlier one is forgotten when this returns."""
        with self._lock:
            # Free, and still held as far as is known here: that its holder is gone is just being told.
            self._left |= self._holders.held() & set(ips)
            waits = not self._left.isdisjoint(ips)
        if waits:
            self._forget_left()

    def sweep(self, networks: Collection[IPNetwork], held: Collection[IPAddress]) -> None:
        """Forget all connections of addresses in these networks but for those that pods hold, as of pods that went
        while nobody looked. Raises OvsdbError."""

        @cache
        def concerns(text: str) -> bool:
            ip = ip_address(text)
            return ip not in held and any(ip in network for network in networks)

        self._forget(concerns)

    def _run(self) -> None:
        while self._wake.wait() and not self._stopped.wait(self._pause_s):
            self._wake.clear()
            self._forget_left()

    def _forget_left(self) -> None:
        with self._asking:  # who waits here may find that all is done
            with self._lock:
                ips = set(self._left)
            if not ips:
                return
            try:
                self._forget({str(ip) for ip in ips}.__contains__)
            except OvsdbError as e:
                log.warning("connections of addresses not forgotten", addresses=sorted(map(str, ips)), error=str(e))
            with self._lock:
                self._left -= ips

    def _forget(self, concerns: Concerns) -> None:
        told = appctl.ask(self._rundir, "dpctl/dump-conntrack")
        answers = appctl.ask_all(self._rundir, [*flushes(told, concerns)])
        refused = [answer for answer in answers if isinstance(answer, appctl.CommandRefused)]
        if answers:
            # One that ended by itself in the meantime is refused as well.
            log.info("connections of addresses forgotten", count=len(answers) - len(refused), refused=len(refused))


def flushes(told: str, concerns: Concerns) -> Iterator[tuple[str, ...]]:
    """The commands that forget each connection from or to an address that this concerns, out of what
    `dpctl/dump-conntrack` told (ovs-vswitchd(8)). They name no datapath: Open vSwitch asks the only one that it has,
    and 3.1 does not understand a command that names all three, datapath, zone and connection."""
    for line in told.splitlines():
        parts = _LINE.match(line)
        if parts is None or parts["proto"] not in _PROTOCOLS:
            continue
        of, answer = _words(parts["orig"]), _words(parts["reply"])
        if not any(map(concerns, {of["src"], of["dst"], answer["src"], answer["dst"]})):
            continue
        source, target = ("ct_ipv6_src", "ct_ipv6_dst") if ":" in of["src"] else ("ct_nw_src", "ct_nw_dst")
        which = [f"{source}={of['src']}", f"{target}={of['dst']}", f"ct_nw_proto={_PROTOCOLS[parts['proto']]}"]
        if parts["proto"] == "icmp":
            which += (f"icmp_{field}={of[field]}" for field in ("id", "type", "code"))
        else:
            which += (f"ct_tp_src={of['sport']}", f"ct_tp_dst={of['dport']}")
        yield "dpctl/flush-conntrack", f"zone={parts['zone']}", ",".join(which)


def _words(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in text.split(","))


class _Holders:
    """Which ports hold which addresses."""

    def __init__(self) -> None:
        self._ips: dict[str, tuple[IPAddress, ...]] = {}
        self._count: Counter[IPAddress] = Counter()

    def names(self) -> tuple[str, ...]:
        return tuple(self._ips)

    def held(self) -> Set[IPAddress]:
        """Addresses that some port holds."""
        return self._count.keys()

    def set(self, name: str, ips: tuple[IPAddress, ...]) -> Set[IPAddress]:
        """From now on a port holds these; what nobody holds any more."""
        before = self._ips.pop(name, ())
        if ips:
            self._ips[name] = ips
        self._count.update(ips)
        self._count.subtract(before)
        gone = {ip for ip in before if not self._count[ip]}
        for ip in gone:
            del self._count[ip]
        return gone

"""Connections of the pods that had an address before: whoever gets it next must not inherit them.

Open vSwitch's connection tracking knows addresses, not pods. What it still has of a connection would let the other
end of it reach the new pod past all policy, as with replies.

`dpctl/flush-conntrack` takes a single address, too, but is then of no use: up to Open vSwitch 3.1 at least, it leaves
out a part of what it finds in user space, and ends the daemon at the first ICMPv6 connection (lib/conntrack.c,
`tuple_to_conn_key`). So the connections are listed, and each is named whole.
"""

import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from daemon import logs
from openflow.net import IPAddress
from ovsdb import appctl
from ovsdb.errors import OvsdbError

log = logs.get("weft.agent")

_LINE = re.compile(r"(?P<proto>\w+),orig=\((?P<orig>[^)]*)\),reply=\((?P<reply>[^)]*)\).*?zone=(?P<zone>\d+)")
"""A line of `dpctl/dump-conntrack` (lib/ct-dpif.c, `ct_dpif_format_entry`). Those of zone 0, the host's, have no
zone."""

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
"""Others that Open vSwitch tracks are ICMPv6, whose connections live for a minute, and what it has no name for."""


class Connections:
    """The connections that the node's switch knows; `rundir` is its run directory."""

    def __init__(self, rundir: Path) -> None:
        self._rundir = rundir
        self._wanted: set[IPAddress] = set()
        self._adding = threading.Lock()
        self._asking = threading.Lock()

    def forget(self, ips: Iterable[IPAddress]) -> None:
        """Forget all that begin or end at one of these addresses, but for ICMPv6. May be called from many threads at
        once, and those that wait share one list of the connections.

        A switch that cannot be asked is logged only: one that is down has no network for the pod either.
        """
        with self._adding:
            self._wanted.update(ips)
        with self._asking:
            with self._adding:
                ips, self._wanted = self._wanted, set()
            if ips:
                self._forget(ips)

    def _forget(self, ips: set[IPAddress]) -> None:
        try:
            told = appctl.ask(self._rundir, "dpctl/dump-conntrack")
            answers = appctl.ask_all(self._rundir, [*flushes(told, ips)])
        except OvsdbError as e:
            log.warning("connections of addresses not forgotten", addresses=sorted(map(str, ips)), error=str(e))
            return
        refused = [answer for answer in answers if isinstance(answer, appctl.CommandRefused)]
        if answers:
            # One that ended by itself in the meantime is refused as well.
            log.info("connections of addresses forgotten", count=len(answers) - len(refused), refused=len(refused))


def flushes(told: str, ips: Iterable[IPAddress]) -> Iterator[tuple[str, ...]]:
    """The commands that forget each connection of these addresses, out of what `dpctl/dump-conntrack` told
    (ovs-vswitchd(8)). They name no datapath: Open vSwitch asks the only one that it has, and 3.1 does not understand
    a command that names all three, datapath, zone and connection."""
    # Most lines are of no interest, and there may be a hundred thousand: a look before they are taken apart.
    ends = re.compile("|".join(rf"=(?:{re.escape(str(ip))})," for ip in ips))
    for line in told.splitlines():
        parts = _LINE.match(line) if ends.search(line) else None
        if parts is None or parts["proto"] not in _PROTOCOLS:
            continue
        of = dict(word.split("=", 1) for word in parts["orig"].split(","))
        source, target = ("ct_ipv6_src", "ct_ipv6_dst") if ":" in of["src"] else ("ct_nw_src", "ct_nw_dst")
        which = [f"{source}={of['src']}", f"{target}={of['dst']}", f"ct_nw_proto={_PROTOCOLS[parts['proto']]}"]
        if parts["proto"] == "icmp":
            which += (f"icmp_{field}={of[field]}" for field in ("id", "type", "code"))
        else:
            which += (f"ct_tp_src={of['sport']}", f"ct_tp_dst={of['dport']}")
        yield "dpctl/flush-conntrack", f"zone={parts['zone']}", ",".join(which)

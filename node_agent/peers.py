"""Keeps the userspace datapath's tunnel neighbours known, so that no first packet to a node is lost.

That datapath learns where to send tunnel packets from the neighbour answers (ARP, ND) that happen to pass it, forgets
them after 15 minutes, and drops what it has for a peer that it does not know. So the kernel is made to find the
peers, with a datagram to each one's discard port (RFC 863), and the datapath is told what the kernel found. With the
kernel datapath the kernel does all this by itself.
"""

import socket
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from node_agent import rtnl, rtnl_read
from node_agent.netlink import Netlink
from node_agent.rtnl import IPAddress, Neighbour
from ovsdb import appctl

REFRESH_SECONDS = 300.0
"""A third of the time after which the datapath forgets (tnl/neigh/aging in ovs-vswitchd(8))."""
EAGER_SECONDS, EAGER_TIMES = 5.0, 3
"""A new peer is asked for again soon, because its own side may not have been up the first time."""

_DISCARD_PORT = 9
_LOOKS, _LOOK_SECONDS = 20, 0.01  # an answer takes a millisecond; who does not answer is asked again later


class Schedule:
    """When to ask for which peer: remembers how often each was asked for, and when it is due again. Pure."""

    def __init__(self) -> None:
        self._asked: dict[IPAddress, tuple[int, float]] = {}

    def new(self, peers: Collection[IPAddress]) -> set[IPAddress]:
        """Those that were not there the last time that somebody asked who is due."""
        return set(peers) - self._asked.keys()

    def due(self, peers: Collection[IPAddress], now: float) -> list[IPAddress]:
        """Peers to ask for now, in order of their addresses: new ones, and those last asked for too long ago.

        They count as asked for. `now`: monotonic seconds.
        """
        self._asked = {peer: asked for peer, asked in self._asked.items() if peer in peers}
        due = [peer for peer in set(peers) if now >= self._asked.get(peer, (0, now))[1]]
        for peer in due:
            times = self._asked.get(peer, (0, now))[0] + 1
            self._asked[peer] = (times, now + (EAGER_SECONDS if times < EAGER_TIMES else REFRESH_SECONDS))
        return sorted(due, key=lambda peer: (peer.version, peer.packed))


class TunnelPeers:
    """Finds peers through the interface `ifname`, a bridge of the Open vSwitch with this run directory."""

    def __init__(self, ifname: str, rundir: Path) -> None:
        self._ifname = ifname
        self._rundir = rundir
        self._schedule = Schedule()
        self._forgotten = False

    def refresh(self, peers: Collection[IPAddress], now: float) -> None:
        """Find the peers that are due. `now`: monotonic seconds. Raises NetlinkError or OvsdbError."""
        if self._forgotten:
            self._forgotten, self._schedule = False, Schedule()
        # A new peer may have the address of one that is gone, by which the kernel still knows that one.
        self._forget(self._schedule.new(peers))
        due = self._schedule.due(peers, now)
        for peer in due:
            _ask(peer)
        if due:
            self._tell(self._found(set(due)))

    def restart(self) -> None:
        """The datapath may have lost what it knew: find every peer at the next refresh. From any thread."""
        self._forgotten = True

    def _forget(self, peers: set[IPAddress]) -> None:
        with Netlink() as netlink:
            link = rtnl_read.link(netlink, self._ifname)
            if link is None or not peers:
                return
            found = set(rtnl_read.resolved_neighbours(netlink, link.index))
            learned = found - set(rtnl_read.permanent_neighbours(netlink, link.index))
            netlink.execute([rtnl.delete_neighbour(each, self._ifname) for each in learned if each.ip in peers])

    def _found(self, peers: set[IPAddress]) -> Collection[Neighbour]:
        """All neighbours that the kernel knows, after a moment to find these peers. A peer that is not on this link
        is behind a router, which then is one of them."""
        with Netlink() as netlink:
            link = rtnl_read.link(netlink, self._ifname)
            if link is None:
                return ()
            for _ in range(_LOOKS):
                found = rtnl_read.resolved_neighbours(netlink, link.index)
                if peers <= {neighbour.ip for neighbour in found}:
                    break
                time.sleep(_LOOK_SECONDS)
            return found

    def _tell(self, neighbours: Collection[Neighbour]) -> None:
        for each in neighbours:
            appctl.ask(self._rundir, "tnl/neigh/set", self._ifname, str(each.ip), each.mac)


def _ask(peer: IPAddress) -> None:
    family = socket.AF_INET if peer.version == 4 else socket.AF_INET6
    # Without a route to it, or the family, there is nothing to ask; it is asked for again.
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.sendto(b"", (str(peer), _DISCARD_PORT))

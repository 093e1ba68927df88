"""Limits of what a pod receives and sends, as token bucket filters (tc-tbf(8)) on the two ends of its veth pair.

What a pod receives is what the host's end sends, and what it sends is what its own end sends: so both are shaped
where they leave, and wait rather than get lost. Pure; numbers are those of <linux/rtnetlink.h> and
<linux/pkt_sched.h>.
"""

from __future__ import annotations

import errno
import struct

from cni.requested import Limit
from node_agent.nlmsg import CREATE, ECHO, REPLACE, Request, attribute, attributes

LATENCY_MS = 25
"""How long a packet waits at most once the bucket is empty, as with the reference plugin `bandwidth`."""

_NEWQDISC, _GETQDISC = 36, 38
_QDISC = struct.Struct("=BxxxiIII")  # tcmsg: family, ifindex, handle, parent, info
_ROOT, _HANDLE = 0xFFFFFFFF, 0x10000
_KIND, _OPTIONS = 1, 2
_PARMS, _RATE64, _BURST = 1, 4, 6
_RATE = struct.Struct("=BBHhHI")  # tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate
_LIMITS = struct.Struct("=III")  # tc_tbf_qopt after its two rates: limit, buffer, mtu
_U64 = struct.Struct("=Q")
_U32 = struct.Struct("=I")
_ETHERNET = 1
_MOST = 0xFFFFFFFF
_LARGEST_PACKET = 1 << 16
_NONE = frozenset({errno.ENOENT, errno.EINVAL})  # EINVAL: the one that every device is born with


def shape(link: int, limit: Limit, ifname: str) -> Request:
    """Shape what leaves by an interface, by index. What cannot wait is dropped: more than the latency's worth, and
    one packet of the largest kind, which the kernel may hold whole (GSO)."""
    rate, burst = limit.rate // 8, limit.burst // 8
    waiting = min(_MOST, rate * LATENCY_MS // 1000 + min(burst, _LARGEST_PACKET))
    # The burst as such counts where it is given, and not the time that it takes (`buffer`).
    parms = _rate(rate) + _rate(0) + _LIMITS.pack(waiting, 0, 0)
    options = attribute(_PARMS, parms) + attribute(_RATE64, _U64.pack(rate)) + attribute(_BURST, _U32.pack(burst))
    body = _QDISC.pack(0, link, _HANDLE, _ROOT, 0) + attribute(_KIND, b"tbf\0") + attribute(_OPTIONS, options)
    return Request(_NEWQDISC, CREATE | REPLACE, body, f"limit {ifname} to {limit.rate} bit/s")


def get(link: int, ifname: str) -> Request:
    """What an interface's packets leave by."""
    body = _QDISC.pack(0, link, 0, _ROOT, 0)
    # Without ECHO the kernel only acknowledges (qdisc_notify in net/sched/sch_api.c).
    return Request(_GETQDISC, ECHO, body, f"read the queueing discipline of {ifname}", _NONE)


def rate(body: bytes | None) -> int:
    """The rate in bits per second that an answer to `get` tells; 0 when there is no limit."""
    found = {} if body is None else attributes(body[_QDISC.size :])
    if found.get(_KIND) != b"tbf\0":
        return 0
    options = attributes(found[_OPTIONS])
    if _RATE64 in options:
        return 8 * int(_U64.unpack(options[_RATE64])[0])
    return 8 * int(_RATE.unpack_from(options[_PARMS])[-1])


def _rate(rate: int) -> bytes:
    return _RATE.pack(0, _ETHERNET if rate else 0, 0, 0, 0, min(_MOST, rate))

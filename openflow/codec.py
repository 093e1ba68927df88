"""OpenFlow 1.5 flow-mods, bundles and flow dumps as bytes (OpenFlow 1.5.1 sections 7.3.4.2, 7.3.5.2, 7.3.9).

os-ken encodes about 12,000 flow-mods a second; here a flow's bytes are put together once and then only copied,
and a switch's dump is compared with them without decoding it. A property test holds this file to os-ken, byte
for byte.

A flow is two byte strings: its `key` (table, priority, match: what makes it the same flow) and its `body`
(cookie, instructions: what it does). Two flows are equal exactly when both are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from openflow.actions import Goto
from openflow.errors import DecodeError
from openflow.flow import Flow

VERSION = 6
FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BUNDLE_CONTROL, BUNDLE_ADD = 14, 18, 19, 20, 33, 34
ADD, DELETE_STRICT = 0, 4
OPEN_REQUEST, COMMIT_REQUEST, COMMIT_REPLY = 0, 4, 5
FLOW_DESC = 1
REPLY_MORE = 1

_ATOMIC_ORDERED = 3
_ANY = 0xFFFFFFFF
_ALL_TABLES = 0xFF
_EVERY_COOKIE_BIT = (1 << 64) - 1
APPLY_ACTIONS = 4

_KEY = Struct("!BH")
_COOKIE = Struct("!Q")
_HEADER = Struct("!BBHI")
_INSTRUCTION = Struct("!HH4x")
_FLOW_MOD = Struct("!BBHI8s8xsB4x2s16sHH")
_BUNDLE_ADD = Struct("!BBHII2xH")
_BUNDLED_FLOW_MOD = Struct(_BUNDLE_ADD.format + _FLOW_MOD.format.removeprefix("!"))
_BUNDLE_CONTROL = Struct("!BBHIIHH")
_DUMP_REQUEST = Struct("!BBHIHH4xB3xII4xQQHH4x")
_DESC = Struct("!H2xBxHHHHHQHH")
_PAIR = Struct("!HH")
_OXS = Struct("!HBB")
_WORD = Struct("!Q")
KEY_SIZE, COOKIE_SIZE = _KEY.size, _COOKIE.size
"""Bytes of a key before its match, and of a body before its instructions."""
_HEADER_LEN = _HEADER.size
_PART_HEAD = _HEADER_LEN + 8
_MATCH_HEAD = 4
_OXM = 1
_UNUSED = b"\xff" * 12 + bytes(4)
"""Of a flow-mod: buffer_id, out_port and out_group (none of them), flags and importance."""
_PAD = tuple(bytes(-n % 8) for n in range(8))

XID_LIMIT = 0xFFFFFFFF

EXPIRES = b"expires"
"""Ends the body of a flow that has timeouts or flags: it never equals a flow of ours, which has none."""


class Encoded(NamedTuple):
    """A flow as bytes: `key` identifies it in the switch, `body` is what it does."""

    key: bytes
    body: bytes


def encode(flow: Flow) -> Encoded:
    """A flow's canonical bytes."""
    key = _KEY.pack(flow.table, flow.priority) + b"".join([term.wire for term in flow.match])
    return Encoded(key, _COOKIE.pack(flow.cookie) + _instructions(flow))


def _instructions(flow: Flow) -> bytes:
    actions = flow.actions
    if not actions:
        return b""
    wires = b"".join([action.wire for action in actions])
    # Goto is an instruction of its own, behind the one that applies all the others.
    applied = len(wires) - (len(actions[-1].wire) if isinstance(actions[-1], Goto) else 0)
    return apply_actions(wires[:applied]) + wires[applied:] if applied else wires


def apply_actions(wires: bytes) -> bytes:
    """The instruction that applies these actions."""
    return _INSTRUCTION.pack(APPLY_ACTIONS, _INSTRUCTION.size + len(wires)) + wires


def cookie_of(body: bytes) -> int:
    (value,) = _COOKIE.unpack_from(body)
    return int(value)


def table_of(key: bytes) -> int:
    return key[0]


def flow_mod(command: int, flow: Encoded, xid: int) -> bytes:
    """One OFPT_FLOW_MOD. A strict delete needs only the key: pass an empty body."""
    key, body = flow
    match_len = _MATCH_HEAD + len(key) - KEY_SIZE
    tail = key[KEY_SIZE:] + _PAD[match_len % 8] + body[COOKIE_SIZE:]
    head = _FLOW_MOD.pack(
        VERSION, FLOW_MOD, _FLOW_MOD.size + len(tail), xid, body[:COOKIE_SIZE], key[:1], command, key[1:KEY_SIZE],
        _UNUSED, _OXM, match_len,
    )  # fmt: skip
    return head + tail


def bundle_open(bundle: int, xid: int) -> bytes:
    """Open an atomic, ordered bundle: what it holds takes effect at once, or nothing does.

    A message that Open vSwitch refuses as it arrives never enters the bundle: its error has its own xid, and a
    commit applies the others.
    """
    return _control(bundle, xid, OPEN_REQUEST)


def bundle_commit(bundle: int, xid: int) -> bytes:
    return _control(bundle, xid, COMMIT_REQUEST)


def _control(bundle: int, xid: int, kind: int) -> bytes:
    size = _BUNDLE_CONTROL.size
    return _BUNDLE_CONTROL.pack(VERSION, BUNDLE_CONTROL, size, xid, bundle, kind, _ATOMIC_ORDERED)


def bundle_add(bundle: int, xid: int, message: bytes) -> bytes:
    """Wrap a message that carries the same xid."""
    size = _BUNDLE_ADD.size + len(message)
    return _BUNDLE_ADD.pack(VERSION, BUNDLE_ADD, size, xid, bundle, _ATOMIC_ORDERED) + message


@dataclass(frozen=True, slots=True)
class Change:
    """What to do to a switch's tables. `add` also replaces a flow with the same key."""

    add: tuple[Encoded, ...] = ()
    delete: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self.add) + len(self.delete)

    def key_of(self, place: int) -> bytes:
        """Key of the flow at this place of the bundle, additions first."""
        return self.add[place].key if place < len(self.add) else self.delete[place - len(self.add)]


def bundle(number: int, first_xid: int, change: Change) -> Iterator[bytes]:
    """The flow-mods of a change as bundle messages, additions before removals, xids counting up from `first_xid`."""
    xid = first_xid
    for flow in change.add:
        yield _bundled_flow_mod(number, xid, ADD, flow)
        xid += 1
    for key in change.delete:
        yield _bundled_flow_mod(number, xid, DELETE_STRICT, Encoded(key, b""))
        xid += 1


def _bundled_flow_mod(number: int, xid: int, command: int, flow: Encoded) -> bytes:
    """`bundle_add` of `flow_mod` in one step: in half the time, of which there is a lot when 100,000 flows wait."""
    key, body = flow
    match_len = _MATCH_HEAD + len(key) - KEY_SIZE
    tail = key[KEY_SIZE:] + _PAD[match_len % 8] + body[COOKIE_SIZE:]
    size = _FLOW_MOD.size + len(tail)
    head = _BUNDLED_FLOW_MOD.pack(
        VERSION, BUNDLE_ADD, _BUNDLE_ADD.size + size, xid, number, _ATOMIC_ORDERED,
        VERSION, FLOW_MOD, size, xid, body[:COOKIE_SIZE], key[:1], command, key[1:KEY_SIZE], _UNUSED, _OXM, match_len,
    )  # fmt: skip
    return head + tail


def barrier(xid: int) -> bytes:
    return _HEADER.pack(VERSION, BARRIER_REQUEST, _HEADER_LEN, xid)


def dump_request(xid: int, cookie: int | None = None) -> bytes:
    """Ask for every flow, or for those with this cookie (OFPMP_FLOW_DESC)."""
    wanted = (0, 0) if cookie is None else (cookie, _EVERY_COOKIE_BIT)
    return _DUMP_REQUEST.pack(
        VERSION, MULTIPART_REQUEST, _DUMP_REQUEST.size, xid, FLOW_DESC, 0, _ALL_TABLES, _ANY, _ANY, *wanted, 1, 4
    )


class Record(NamedTuple):
    """One flow of a dump. Packets and bytes are counts since the flow was added, `duration` is seconds."""

    flow: Encoded
    packets: int
    bytes: int
    duration: float


def multipart_type(message: bytes) -> int:
    """Which request this OFPT_MULTIPART_REPLY answers. Raises DecodeError when it is cut off."""
    _check_part(message)
    return int(_PAIR.unpack_from(message, _HEADER_LEN)[0])


def dump_more(message: bytes) -> bool:
    """Whether further parts follow this OFPT_MULTIPART_REPLY. Raises DecodeError when it is cut off."""
    _check_part(message)
    return bool(_PAIR.unpack_from(message, _HEADER_LEN)[1] & REPLY_MORE)


def dump_flows(message: bytes) -> Iterator[Encoded]:
    """The flows in one part of a dump, in the switch's order. Raises DecodeError on truncated parts."""
    for flow, _, _ in _entries(message):
        yield flow


def dump_records(message: bytes) -> Iterator[Record]:
    """The flows in one part of a dump with their counters. Raises DecodeError on truncated parts."""
    for flow, start, end in _entries(message):
        yield Record(flow, *_stats(message[start:end]))


def dump_into(message: bytes, flows: dict[bytes, bytes], packets: dict[bytes, int], counted: int) -> None:
    """Add the flows in one part of a dump to `flows`, key → body, and to `packets` how many packets each of those in
    table `counted` has met. Raises DecodeError on truncated parts."""
    for (key, body), start, end in _entries(message):
        flows[key] = body
        if key[0] == counted:
            packets[key], _, _ = _stats(message[start:end])


def _check_part(message: bytes) -> None:
    claimed = _HEADER.unpack_from(message)[2] if len(message) >= _PART_HEAD else _PART_HEAD
    if claimed != len(message):
        raise DecodeError(f"flow dump part claims {claimed} bytes and has {len(message)}")


def _entries(message: bytes) -> Iterator[tuple[Encoded, int, int]]:
    _check_part(message)
    at, end = _PART_HEAD, len(message)
    while at < end:
        if at + _DESC.size + _MATCH_HEAD > end:
            raise DecodeError(f"flow dump ends inside an entry at byte {at} of {end}")
        size, table, priority, idle, hard, flags, importance, cookie, _, match_len = _DESC.unpack_from(message, at)
        after = at + size
        oxm = at + _DESC.size
        stats = oxm - _MATCH_HEAD + (match_len + 7) // 8 * 8
        stats_len = _PAIR.unpack_from(message, stats)[1] if stats + _PAIR.size <= end else 0
        instructions = stats + (stats_len + 7) // 8 * 8
        if match_len < _MATCH_HEAD or stats_len < _PAIR.size or not instructions <= after <= end:
            raise DecodeError(f"flow dump entry at byte {at}: {size=} {match_len=} {stats_len=} of {end - at} left")
        key = _KEY.pack(table, priority) + message[oxm : oxm - _MATCH_HEAD + match_len]
        body = _COOKIE.pack(cookie) + message[instructions:after]
        if idle or hard or flags or importance:
            body += EXPIRES
        yield Encoded(key, body), stats + _PAIR.size, stats + stats_len
        at = after


_DURATION, _PACKETS, _BYTES = 0, 4, 5


def _stats(oxs: bytes) -> tuple[int, int, float]:
    """Packets, bytes and seconds from OXS fields (OpenFlow 1.5.1 section 7.2.4.2)."""
    found = {_PACKETS: 0, _BYTES: 0, _DURATION: 0}
    at = 0
    while at + _OXS.size <= len(oxs):
        _, field, size = _OXS.unpack_from(oxs, at)
        at += _OXS.size
        if at + size > len(oxs):
            raise DecodeError(f"flow counters end at byte {len(oxs)}, inside a field of {size}")
        if size == _WORD.size:
            (found[field >> 1],) = _WORD.unpack_from(oxs, at)
        at += size
    seconds, nanoseconds = divmod(found[_DURATION], 1 << 32)
    return found[_PACKETS], found[_BYTES], seconds + nanoseconds / 1e9


def join(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Messages joined to buffers of about `size` bytes, so that one system call carries many."""
    held: list[bytes] = []
    length = 0
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)

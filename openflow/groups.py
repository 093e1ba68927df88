"""Groups as values and as bytes (OpenFlow 1.5.1 sections 5.10, 7.3.4.3, 7.3.5.8).

A group is the one thing in a switch that several flows share. Deleting it deletes the flows that use it, so a
group keeps its number and is modified in place. Like a flow, it is kept as the bytes that the switch reports back,
and two groups are equal exactly when their bytes are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from openflow import codec
from openflow.actions import LAST_GROUP, Action, Goto
from openflow.decode import decode_actions
from openflow.errors import DecodeError, SpecError
from openflow.ofctl import actions_text

GROUP_MOD, GROUP_DESC = 15, 7
GROUP_ADD, GROUP_MODIFY, GROUP_DELETE = 0, 1, 2

_ALL_GROUPS, _ALL_BUCKETS = 0xFFFFFFFC, 0xFFFFFFFF
_LAST_BUCKET = 0xFFFFFF00
_LAST_WEIGHT = 0xFFFF
_MOD = Struct("!BBHIHBxIH2xI")
_DUMP_REQUEST = Struct("!BBHIHH4xI4x")
_DESC = Struct("!HBxIH6x")
_BUCKET = Struct("!HHI")
_WEIGHT = Struct("!HHH2x")
_WEIGHT_KIND = 0
_PART_HEAD = 16


class GroupKind(IntEnum):
    """ALL: every bucket handles a copy of the packet. SELECT: one bucket does, the same one for a connection."""

    ALL = 0
    SELECT = 1


@dataclass(frozen=True, slots=True)
class Bucket:
    """One way to handle a packet. Among the buckets of a SELECT group, `weight` is this one's share.

    `number` names the bucket in its group. A connection stays with its bucket as long as the number does, even if
    others come and go (Open vSwitch hashes connections over the numbers).
    """

    number: int
    actions: tuple[Action, ...]
    weight: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number <= _LAST_BUCKET:
            raise SpecError(f"bucket {self.number}: bucket numbers are 0..{_LAST_BUCKET:#x}")
        if not 1 <= self.weight <= _LAST_WEIGHT:
            raise SpecError(f"bucket {self.number}: weight {self.weight} is not in 1..{_LAST_WEIGHT}")
        if any(isinstance(action, Goto) for action in self.actions):
            raise SpecError(f"bucket {self.number}: a bucket has actions only, it cannot go to a table")


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One group of a switch. Raises SpecError for a number out of range or buckets that share one."""

    number: int
    kind: GroupKind
    buckets: tuple[Bucket, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.number <= LAST_GROUP:
            raise SpecError(f"group {self.number}: group numbers are 0..{LAST_GROUP:#x}")
        numbers = [bucket.number for bucket in self.buckets]
        if len(set(numbers)) != len(numbers):
            raise SpecError(f"group {self.number}: two buckets have the same number: {sorted(numbers)}")
        if self.kind is GroupKind.ALL and any(bucket.weight != 1 for bucket in self.buckets):
            raise SpecError(f"group {self.number}: weights are for SELECT groups")


class EncodedGroup(NamedTuple):
    """A group as bytes: its number, and its kind and buckets."""

    number: int
    body: bytes


def encode_group(group: GroupEntry) -> EncodedGroup:
    """A group's canonical bytes."""
    weighted = group.kind is GroupKind.SELECT
    buckets = b"".join(_bucket(bucket, weighted=weighted) for bucket in group.buckets)
    return EncodedGroup(group.number, bytes([group.kind]) + buckets)


def _bucket(bucket: Bucket, *, weighted: bool) -> bytes:
    actions = b"".join(action.wire for action in bucket.actions)
    weight = _WEIGHT.pack(_WEIGHT_KIND, _WEIGHT.size, bucket.weight) if weighted else b""
    return _BUCKET.pack(_BUCKET.size + len(actions) + len(weight), len(actions), bucket.number) + actions + weight


def group_mod(command: int, group: EncodedGroup, xid: int) -> bytes:
    """One OFPT_GROUP_MOD. GROUP_MODIFY replaces all buckets at once and keeps the flows that use the group;
    GROUP_DELETE needs only the number, and takes those flows along."""
    kind, buckets = (group.body[0], group.body[1:]) if command != GROUP_DELETE else (0, b"")
    size = _MOD.size + len(buckets)
    head = _MOD.pack(codec.VERSION, GROUP_MOD, size, xid, command, kind, group.number, len(buckets), _ALL_BUCKETS)
    return head + buckets


def group_dump_request(xid: int) -> bytes:
    """Ask for every group (OFPMP_GROUP_DESC)."""
    size = _DUMP_REQUEST.size
    return _DUMP_REQUEST.pack(codec.VERSION, codec.MULTIPART_REQUEST, size, xid, GROUP_DESC, 0, _ALL_GROUPS)


def dump_groups(message: bytes) -> Iterator[EncodedGroup]:
    """The groups in one part of a dump. Raises DecodeError when it is cut off. A group with properties, which none
    of ours has, ends in them, so that it equals none of ours."""
    codec.multipart_type(message)
    at = _PART_HEAD
    while at < len(message):
        left = len(message) - at
        size, kind, number, _ = _DESC.unpack_from(message, at) if left >= _DESC.size else (0, 0, 0, 0)
        if not _DESC.size <= size <= left:
            raise DecodeError(f"group dump entry at byte {at} claims {size} bytes of {left}")
        yield EncodedGroup(number, bytes([kind]) + message[at + _DESC.size : at + size])
        at += size


def decode_group(group: EncodedGroup) -> GroupEntry:
    """The group that these bytes are. Raises DecodeError for one that Weft would not make: of another kind, or
    with properties that it has no use for."""
    try:
        made = GroupEntry(group.number, GroupKind(group.body[0]), tuple(_buckets(group.body[1:])))
    except (ValueError, LookupError) as e:
        raise DecodeError(f"group {group.number}: {e}") from e
    if encode_group(made) != group:
        raise DecodeError(f"group {group.number}: has properties that Weft does not know")
    return made


def _buckets(data: bytes) -> Iterator[Bucket]:
    while data:
        size, actions, number = _BUCKET.unpack(data[: _BUCKET.size].ljust(_BUCKET.size, b"\0"))
        if not _BUCKET.size + actions <= size <= len(data):
            raise DecodeError(f"bucket {number} claims {size} bytes of {len(data)}")
        rest = data[_BUCKET.size + actions : size]
        weight = (
            int.from_bytes(rest[4:6], "big") if rest[:4] == _WEIGHT.pack(_WEIGHT_KIND, _WEIGHT.size, 0)[:4] else 1
        )
        yield Bucket(number, tuple(decode_actions(data[_BUCKET.size : _BUCKET.size + actions])), weight)
        data = data[size:]


def ofctl_group(group: GroupEntry) -> str:
    """One group as one argument of `ovs-ofctl -O OpenFlow15 add-group`."""
    weighted = group.kind is GroupKind.SELECT
    buckets = (
        f"bucket=bucket_id:{bucket.number},"
        + (f"weight:{bucket.weight}," if weighted else "")
        + f"actions={actions_text(bucket.actions) or 'drop'}"
        for bucket in group.buckets
    )
    return ",".join((f"group_id={group.number}", f"type={group.kind.name.lower()}", *buckets))

"""Groups: what they refuse, how their dump is read, and what they look like as text."""

import struct

import pytest

from openflow.actions import TRANSLATE, Ct, Goto, Group, Nat, NatRange, Output
from openflow.errors import DecodeError, SpecError
from openflow.fields import Zone
from openflow.groups import (
    GROUP_DELETE,
    Bucket,
    EncodedGroup,
    GroupEntry,
    GroupKind,
    decode_group,
    dump_groups,
    encode_group,
    group_mod,
    ofctl_group,
)
from openflow.net import network
from openflow.tables import Table

BACKEND = NatRange(network("10.10.0.5/32").network_address, ports=(8080, 8080))
SERVICE = GroupEntry(
    7,
    GroupKind.SELECT,
    (
        Bucket(1, (Ct(Zone.IPV4, Table.EGRESS_IDENTITY, commit=True, nat=Nat(dst=BACKEND)),), weight=3),
        Bucket(4, (Output(2),)),
    ),
)
COPY = GroupEntry(8, GroupKind.ALL, (Bucket(1, (Output(1),)), Bucket(2, ())))


def dump(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("!BBHIHH4x", 6, 19, 16 + len(body), 9, 7, 0) + body


def entry(group: EncodedGroup, properties: bytes = b"") -> bytes:
    buckets = group.body[1:]
    size = 16 + len(buckets) + len(properties)
    return struct.pack("!HBxIH6x", size, group.body[0], group.number, len(buckets)) + buckets + properties


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupEntry(0xFFFFFF01, GroupKind.ALL, ()), "group 4294967041: group numbers are"),
        (lambda: GroupEntry(1, GroupKind.ALL, (Bucket(3, ()), Bucket(3, ()))), "group 1: two buckets have the same"),
        (lambda: GroupEntry(1, GroupKind.ALL, (Bucket(3, (), weight=2),)), "weights are for SELECT"),
        (lambda: Bucket(-1, ()), "bucket -1"),
        (lambda: Bucket(1, (), weight=0), "weight 0"),
        (lambda: Bucket(1, (), weight=65536), "weight 65536"),
        (lambda: Bucket(1, (Goto(Table.ROUTE),)), "it cannot go to a table"),
    ],
)
def test_groups_that_cannot_be_are_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize("group", [SERVICE, COPY, GroupEntry(0, GroupKind.SELECT, ())], ids=lambda g: str(g.number))
def test_a_group_is_read_back(group):
    assert decode_group(encode_group(group)) == group
    assert [*dump_groups(dump(entry(encode_group(group))))] == [encode_group(group)]


def test_only_the_weights_of_a_choice_are_sent():
    (one, _), (two, _) = SERVICE.buckets, COPY.buckets
    assert encode_group(GroupEntry(1, GroupKind.SELECT, (one,))).body.endswith(bytes.fromhex("0000 0008 0003 0000"))
    assert encode_group(GroupEntry(1, GroupKind.ALL, (two,))).body.endswith(two.actions[0].wire)


def test_deleting_needs_only_the_number():
    encoded = encode_group(SERVICE)
    assert group_mod(GROUP_DELETE, EncodedGroup(7, b""), 5) == group_mod(GROUP_DELETE, encoded, 5)


def test_a_dump_has_every_group_in_its_order():
    encoded = [encode_group(SERVICE), encode_group(COPY)]
    assert [*dump_groups(dump(*map(entry, encoded)))] == encoded
    assert [*dump_groups(dump())] == []


def test_a_group_with_properties_is_none_of_ours():
    properties = bytes.fromhex("ffff0010 00001540 00000000 00000000")
    (read,) = dump_groups(dump(entry(encode_group(SERVICE), properties)))
    assert read != encode_group(SERVICE)
    with pytest.raises(DecodeError, match="group 7"):
        decode_group(read)


@pytest.mark.parametrize("cut", [1, 5, 15, 20])
def test_a_dump_that_ends_too_early_is_refused(cut):
    whole = dump(entry(encode_group(SERVICE)))
    with pytest.raises(DecodeError):
        [*dump_groups(whole[: len(whole) - cut])]
    shorter = bytearray(whole[: len(whole) - cut])
    shorter[2:4] = len(shorter).to_bytes(2, "big")
    with pytest.raises(DecodeError, match="group dump entry at byte 16"):
        [*dump_groups(bytes(shorter))]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "02",  # the OpenFlow kind `indirect`
        "01 0004 0000 00000001",  # a bucket shorter than its head
        "01 0010 0010 00000001 0000000000000000",  # actions longer than the bucket
        "01 0020 0000 00000001",  # a bucket longer than the group
        "01 0010 0000 00000001 0001 0008 00000003",  # a watched port
        "01 0010 0008 00000001 0018 0010 00000000",  # an action that is cut off
    ],
)
def test_a_group_that_weft_would_not_make_is_a_decode_error(body):
    with pytest.raises(DecodeError):
        decode_group(EncodedGroup(1, bytes.fromhex(body)))


def test_text_for_ovs_ofctl():
    assert ofctl_group(SERVICE) == (
        "group_id=7,type=select,"
        "bucket=bucket_id:1,weight:3,actions=ct(commit,zone=65284,table=8,nat(dst=10.10.0.5:8080)),"
        "bucket=bucket_id:4,weight:1,actions=output:2"
    )
    assert ofctl_group(COPY) == (
        "group_id=8,type=all,bucket=bucket_id:1,actions=output:1,bucket=bucket_id:2,actions=drop"
    )


def test_groups_may_be_used_by_groups():
    outer = GroupEntry(9, GroupKind.ALL, (Bucket(1, (Group(7), Ct(Zone.IPV6, Table.ROUTE, nat=TRANSLATE))),))
    assert decode_group(encode_group(outer)) == outer

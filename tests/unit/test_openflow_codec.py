"""Flows as keys and bodies, and changes as bundles. The bytes themselves are held to os-ken in tests/property."""

import pytest

from openflow import codec
from openflow.actions import DEC_TTL, Goto
from openflow.codec import Change, Encoded
from openflow.errors import DecodeError
from openflow.fields import Src
from openflow.flow import Flow
from openflow.match import match, where
from openflow.tables import Table

FLOW = Flow(Table.ROUTE, 7, match(where(Src.TUNNEL)), (DEC_TTL, Goto(Table.SOURCE_NAT)), 0x5F)


def key(priority: int) -> bytes:
    return codec.encode(Flow(1, priority, (), (), 0)).key


def test_what_identifies_a_flow_is_its_key():
    same = Flow(FLOW.table, FLOW.priority, FLOW.match, (), 1)
    assert codec.encode(same).key == codec.encode(FLOW).key
    assert codec.encode(same).body != codec.encode(FLOW).body
    for other in (Flow(1, 7, FLOW.match, (), 0), Flow(11, 8, FLOW.match, (), 0), Flow(11, 7, (), (), 0)):
        assert codec.encode(other).key != codec.encode(FLOW).key


def test_table_and_cookie_are_read_without_decoding():
    encoded = codec.encode(FLOW)
    assert (codec.table_of(encoded.key), codec.cookie_of(encoded.body)) == (Table.ROUTE, 0x5F)


def test_drop_is_a_body_of_just_the_cookie():
    assert codec.encode(Flow(1, 1, (), (), 5)).body == (5).to_bytes(8, "big")


def test_a_bundle_adds_before_it_removes_and_counts_its_xids_up():
    change = Change(add=(codec.encode(FLOW), Encoded(key(2), bytes(8))), delete=(key(3),))
    messages = [*codec.bundle(9, 100, change)]
    inner = [message[16:] for message in messages]
    assert [message[1] for message in inner] == [codec.FLOW_MOD] * 3
    assert [message[25] for message in inner] == [codec.ADD, codec.ADD, codec.DELETE_STRICT]
    assert [int.from_bytes(message[4:8], "big") for message in inner] == [100, 101, 102]
    assert [message[4:8] for message in messages] == [message[4:8] for message in inner]


def test_a_place_in_a_bundle_is_traced_back_to_its_flow():
    change = Change(add=(Encoded(key(1), b""), Encoded(key(2), b"")), delete=(key(3), key(4)))
    assert len(change) == 4
    assert [change.key_of(place) for place in range(4)] == [key(1), key(2), key(3), key(4)]


def test_joining_keeps_every_byte_in_order():
    chunks = [bytes([n]) * n for n in range(1, 30)]
    joined = [*codec.join(chunks, 50)]
    assert b"".join(joined) == b"".join(chunks)
    assert all(50 <= len(buffer) < 50 + 30 for buffer in joined[:-1])
    assert [*codec.join([], 50)] == []


def test_an_empty_dump_has_no_flows():
    empty = bytes.fromhex("06130010000000090001000000000000")
    assert [*codec.dump_flows(empty)] == []
    assert codec.dump_more(empty) is False
    assert codec.dump_more(empty[:11] + b"\x01" + empty[12:]) is True


@pytest.mark.parametrize("cut", [0, 3, 8, 15])
def test_a_part_without_its_head_is_refused(cut):
    with pytest.raises(DecodeError, match="has"):
        [*codec.dump_flows(bytes.fromhex("06130010000000090001000000000000")[:cut])]


def test_an_entry_that_claims_too_much_is_refused_by_its_place():
    short = bytes.fromhex("06130018000000090001000000000000") + bytes.fromhex("0100000000000000")
    with pytest.raises(DecodeError, match="inside an entry at byte 16 of 24"):
        [*codec.dump_flows(short)]

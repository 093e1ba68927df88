"""Reading a switch's flows: as os-ken reads them, and never anything but DecodeError for bytes that are cut off."""

import struct
from contextlib import suppress

import openflow_os_ken as os_ken
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openflow_strategies import flows, readable_actions

from openflow import codec
from openflow.errors import DecodeError

readable = flows(readable_actions)
words = st.integers(0, 2**64 - 1)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def counters(duration: int, packets: int, octets: int) -> bytes:
    """An OFP 1.5 stats list: duration (0), idle time (1), packets (4) and bytes (5), 64 bits each."""
    fields = ((0, duration), (1, 7), (4, packets), (5, octets))
    listed = b"".join(struct.pack("!HBBQ", 0x8002, number << 1, 8, value) for number, value in fields)
    return padded(struct.pack("!HH", 0, 4 + len(listed)) + listed)


def entry(flow: codec.Encoded, stats: bytes, head: tuple[int, int, int, int] = (0, 0, 0, 0)) -> bytes:
    """One ofp_flow_desc (OpenFlow 1.5.1 section 7.3.5.2); `head`: idle and hard timeout, flags, importance."""
    table, priority = struct.unpack_from("!BH", flow.key)
    terms = flow.key[3:]
    rest = padded(struct.pack("!HH", 1, 4 + len(terms)) + terms) + stats + flow.body[8:]
    fixed = struct.pack("!HHBBHHHHH", 24 + len(rest), 0, table, 0, priority, *head)
    return fixed + flow.body[:8] + rest


def part(entries: list[bytes], more: int = 0) -> bytes:
    body = b"".join(entries)
    return struct.pack("!BBHIHH4x", 6, codec.MULTIPART_REPLY, 16 + len(body), 9, codec.FLOW_DESC, more) + body


dumps = st.lists(st.tuples(flows().map(codec.encode), st.builds(counters, words, words, words)), max_size=4)


@given(st.lists(st.tuples(readable, words, words, words), max_size=4), st.integers(0, 1))
def test_a_dump_is_read_as_os_ken_reads_it(described, more):
    message = part([entry(codec.encode(flow), counters(*stats)) for flow, *stats in described], more)
    theirs = os_ken.parse(message)
    records = [*codec.dump_records(message)]
    assert len(records) == len(theirs.body) == len(described)
    assert codec.dump_more(message) == bool(theirs.flags & os_ken.ofp.OFPMPF_REPLY_MORE)
    for record, desc in zip(records, theirs.body, strict=True):
        assert record.flow == encoded(desc)
        seconds, nanoseconds = desc.stats["duration"]
        assert record.packets == desc.stats["packet_count"]
        assert record.bytes == desc.stats["byte_count"]
        assert record.duration == pytest.approx(seconds + nanoseconds / 1e9)


def encoded(desc) -> codec.Encoded:
    """os-ken's description of a flow written back to bytes with its own classes."""
    terms, instructions = bytearray(), bytearray()
    desc.match.serialize(terms, 0)
    for instruction in desc.instructions:
        instruction.serialize(instructions, len(instructions))
    key = struct.pack("!BH", desc.table_id, desc.priority) + terms[4 : desc.match.length]
    return codec.Encoded(bytes(key), struct.pack("!Q", desc.cookie) + bytes(instructions))


@given(dumps)
def test_a_dump_gives_back_the_flows_as_they_were_sent(described):
    message = part([entry(*one) for one in described])
    assert [*codec.dump_flows(message)] == [flow for flow, _ in described]


@given(flows().map(codec.encode), st.tuples(*[st.integers(0, 3)] * 4))
def test_a_flow_with_timeouts_or_flags_equals_none_of_ours(flow, head):
    (read,) = codec.dump_flows(part([entry(flow, counters(0, 0, 0), head)]))
    assert (read == flow) == (head == (0, 0, 0, 0))
    assert read.key == flow.key


@given(dumps, st.data())
def test_a_part_that_is_cut_off_is_a_decode_error(described, data):
    message = part([entry(*one) for one in described])
    cut = message[: data.draw(st.integers(0, len(message) - 1))]
    for read in (codec.dump_flows, codec.dump_records, codec.dump_more):
        with pytest.raises(DecodeError):
            consume(read(cut))


@given(dumps, st.data())
def test_lengths_that_lie_are_a_decode_error_and_nothing_else(described, data):
    message = bytearray(part([entry(*one) for one in described]))
    for place in data.draw(st.lists(st.integers(8, len(message) - 1), min_size=1, max_size=4)):
        message[place] = data.draw(st.integers(0, 255))
    for read in (codec.dump_flows, codec.dump_records):
        with suppress(DecodeError):
            consume(read(bytes(message)))


def consume(result) -> None:
    """Run a generator to its end; a plain answer is there already."""
    if not isinstance(result, bool):
        for _ in result:
            pass

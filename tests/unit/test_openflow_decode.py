"""Foreign flows by example: what is unknown is kept raw and shown, what is cut off is refused."""

import pytest

from openflow import codec, oxm
from openflow.actions import DEC_TTL, Goto, OutputReg, RawAction, SetField
from openflow.codec import Encoded
from openflow.decode import RawInstruction, decode
from openflow.errors import DecodeError
from openflow.fields import LAYOUT, OutPort, slice_of
from openflow.flow import Flow
from openflow.match import Term, exact
from openflow.oxm import BY_NAME, FIELDS
from openflow.tables import Table

HEAD = "05 0007"
COOKIE = "00000000000000ab"


def flow(match="", instructions=""):
    return decode(Encoded(bytes.fromhex(HEAD + match), bytes.fromhex(COOKIE + instructions)))


def apply(actions):
    return f"0004 {8 + len(bytes.fromhex(actions)):04x} 00000000 {actions}"


def test_table_priority_and_cookie():
    assert flow() == Flow(5, 7, (), (), 0xAB)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_is_known_with_and_without_a_mask(field):
    for term in (exact(field, field.full), Term(field, 1, 1)):
        one = Flow(5, 7, (term,), (SetField(term.field, term.value, term.mask),), 1)
        assert decode(codec.encode(one)) == one


@pytest.mark.parametrize("part", LAYOUT, ids=lambda part: part.name)
def test_a_slice_of_the_layout_keeps_its_meaning(part):
    assert decode(codec.encode(Flow(1, 1, (), (OutputReg(part),), 0))).actions == (OutputReg(part),)
    assert OutputReg(slice_of(OutPort)) == codec_round_trip(OutputReg(slice_of(OutPort)))


def codec_round_trip(action):
    (read,) = decode(codec.encode(Flow(1, 1, (), (action,), 0))).actions
    return read


def test_an_unknown_field_is_named_by_its_header():
    # metadata=0x1/0xff: a field of OpenFlow that Weft has no use for
    term = flow("80000510 0000000000000001 00000000000000ff").match[0]
    assert term.field.name == "0x80000510"
    assert term.wire.hex() == "80000510000000000000000100000000000000ff"


def test_an_experimenter_field_is_kept_whole():
    term = flow("ffff0007 00002320 0a0b0c").match[0]
    assert (term.field.name, term.wire[4:].hex()) == ("0xffff0007", "000023200a0b0c")


def test_a_known_field_with_bits_outside_its_mask_is_kept_raw():
    term = flow("80001708 0a000001 ffffff00").match[0]  # nw_src=10.0.0.1/24, as nobody should write it
    assert term.field.name == "0x80001708"


def test_an_unknown_action_is_kept_between_the_known_ones():
    push_vlan = "0011 0008 8100 0000"
    actions = flow(instructions=apply(f"{DEC_TTL.wire.hex()} {push_vlan} {DEC_TTL.wire.hex()}")).actions
    assert actions == (DEC_TTL, RawAction(bytes.fromhex(push_vlan)), DEC_TTL)


@pytest.mark.parametrize(
    "action",
    [
        "ffff0018 00002320 0023 0001 00000000 0007 ff 000000 0000",  # ct in a zone that is not ours
        "ffff0018 00002320 0023 0002 00000000 ff04 ff 000000 0000",  # ct(force) without commit
        "ffff0018 00002320 0023 0005 00000000 ff04 ff 000000 0000",  # ct with a flag that nobody knows
        "ffff0010 00002320 0024 0000 0001 0000",  # nat(src) without a range
        "ffff0018 00002320 0024 0000 0011 0001 0a000001 00000000",  # nat(src=10.0.0.1,random)
        "ffff0018 00002320 0024 0000 0001 0010 0050 000000000000",  # nat(src=:80): ports only
        "ffff0010 00002320 0022 02 02 00000007",  # clause 3 of 2
        "ffff000c 00002320 0024 0000",  # nat, cut short
        "ffff0018 00002320 0023 0000 00010004 001f 04 000000 0000",  # ct with its zone in a register
        "ffff0018 00002320 0023 0000 00000000 ff04 c8 000000 0000",  # ct to a table that we do not have
        "ffff0010 00002320 0001 fff8 0005 0000",  # resubmit
        "0000 0010 fffffffd 0080 000000000000",  # controller:128
        "0019 0010 80000510 0000000000000001",  # set_field of metadata, and too short
        "001c 0018 0010 0000 0010 0000 00010004 00010204 00000000",  # half of a register to another
    ],
)
def test_a_variant_that_weft_has_no_value_for_is_kept_raw(action):
    (read,) = flow(instructions=apply(action)).actions
    assert read == RawAction(bytes.fromhex(action))


def test_unknown_instructions_are_kept():
    write_metadata = "0002 0018 00000000 0000000000000001 ffffffffffffffff"
    read = flow(instructions=f"{write_metadata} 0001 0008 0c 000000")
    assert read.actions == (RawInstruction(bytes.fromhex(write_metadata)), Goto(Table.ROUTE))


def test_a_goto_to_a_table_that_we_do_not_have_is_kept():
    assert flow(instructions="0001 0008 c8 000000").actions == (RawInstruction(bytes.fromhex("00010008c8000000")),)


@pytest.mark.parametrize(
    ("key", "body", "what"),
    [
        ("", COOKIE, "cut off in its head"),
        ("0500", COOKIE, "cut off in its head"),
        (HEAD, "00ab", "cut off in its head"),
        (HEAD + "8000", COOKIE, "match field 8000 is cut off"),
        (HEAD + "80001704 0a0000", COOKIE, "match field 80001704 is cut off"),
        (HEAD, COOKIE + "0001", "instruction 0001 is cut off"),
        (HEAD, COOKIE + "0001 0008 0b", "instruction 00010008 is cut off"),
        (HEAD, COOKIE + "0001 0000 0b 000000", "instruction 00010000 is cut off"),
        (HEAD, COOKIE + "0004 0010 00000000 0018 0010 00000000", "action 00180010 is cut off"),
    ],
)
def test_bytes_that_end_too_early_are_refused(key, body, what):
    with pytest.raises(DecodeError, match=what):
        decode(Encoded(bytes.fromhex(key), bytes.fromhex(body)))


def test_fields_are_the_very_objects_of_the_spec():
    assert flow("80000a02 0800").match[0].field is oxm.ETH_TYPE
    assert BY_NAME["dl_type"] is oxm.ETH_TYPE

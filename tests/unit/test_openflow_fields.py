"""The layout of registers and conntrack bits checks itself."""

from enum import IntEnum

import pytest

from openflow.errors import SpecError
from openflow.fields import (
    LAYOUT,
    DstIdentity,
    IdentityId,
    OutPort,
    Slice,
    Src,
    SrcIdentity,
    Zone,
    check_layout,
    slice_of,
)
from openflow.oxm import BY_NAME, CT_MARK, FIELDS


class Colour(IntEnum):
    RED = 0
    BLUE = 3


class Shade(IntEnum):
    DARK = 0


REG3, XREG1 = BY_NAME["reg3"], BY_NAME["xreg1"]


def test_the_layout_of_weft_is_sound():
    check_layout(LAYOUT)


def test_overlapping_bits_are_refused():
    with pytest.raises(SpecError, match="Shade: overlaps another meaning in reg3"):
        check_layout([Slice(Colour, REG3, 0, 2), Slice(Shade, REG3, 1, 1)])


def test_a_register_overlaps_the_double_register_that_holds_it():
    with pytest.raises(SpecError, match="overlaps"):
        check_layout([Slice(SrcIdentity, XREG1, 0, 64), Slice(Colour, REG3, 0, 2)])
    with pytest.raises(SpecError, match="overlaps"):
        check_layout([Slice(SrcIdentity, XREG1, 0, 32), Slice(Colour, REG3, 30, 2)])


def test_the_other_half_of_a_double_register_is_free():
    check_layout([Slice(Shade, XREG1, 32, 32), Slice(Colour, REG3, 0, 2)])


def test_neighbouring_bits_do_not_overlap():
    check_layout([Slice(Colour, REG3, 0, 2), Slice(Shade, REG3, 2, 1), Slice(Src, CT_MARK, 0, 4)])


def test_bits_beyond_the_field_are_refused():
    with pytest.raises(SpecError, match="Colour: bits 31\\+2 do not fit reg3"):
        check_layout([Slice(Colour, REG3, 31, 2)])


def test_values_beyond_the_bits_are_refused():
    with pytest.raises(SpecError, match="Colour: a value does not fit 1 bits"):
        check_layout([Slice(Colour, REG3, 0, 1)])


def test_a_type_without_bits_has_no_place():
    with pytest.raises(SpecError, match="Colour has no bits in LAYOUT"):
        slice_of(Colour)


def test_a_register_is_matched_in_the_double_register_that_holds_it():
    source, port = slice_of(Src), slice_of(OutPort)
    assert (source.stored.name, source.matched.name, source.shift) == ("reg0", "xreg0", 32)
    assert (port.stored.name, port.matched.name, port.shift) == ("reg1", "xreg0", 0)


def test_identities_keep_their_64_bits():
    assert slice_of(SrcIdentity).width == slice_of(DstIdentity).width == 64
    assert SrcIdentity(IdentityId(2**64 - 1)) == 2**64 - 1


def test_zones_stay_clear_of_the_hosts_zone():
    assert all(zone != 0 for zone in Zone)


def test_fields_have_distinct_names_and_headers():
    assert len({field.name for field in FIELDS}) == len(FIELDS)
    assert len({header for field in FIELDS for header in (field.plain, field.masked)}) == 2 * len(FIELDS)

"""Templates: flows with holes, filled as bytes. That they equal the flows is a law (tests/property)."""

import pytest

from openflow.actions import load, out_port
from openflow.codec import encode
from openflow.errors import SpecError
from openflow.fields import OfPort, SrcIdentity
from openflow.flow import flow
from openflow.match import in_port
from openflow.tables import Table
from openflow.template import Template

PORT, IDENTITY = 0x5EC7A9B1, 0x6B4D92E751C83FA6
MARKS = {"port": PORT.to_bytes(4, "big"), "identity": IDENTITY.to_bytes(8, "big")}


def one(port, identity):
    """A flow with an identity, and its port twice."""
    actions = (load(SrcIdentity(identity)), out_port(OfPort(port)))
    return flow(Table.CLASSIFY, 100, (in_port(OfPort(port)),), actions, cookie=7)


TEMPLATE = Template([one(PORT, IDENTITY)], MARKS)


def test_every_hole_is_filled():
    assert TEMPLATE.fill({"port": b"\0\0\0\5", "identity": b"%b%%%s%d"}) == (
        encode(one(5, int.from_bytes(b"%b%%%s%d", "big"))),
    )


def test_bytes_that_look_like_a_format_stay_what_they_are():
    percent = int.from_bytes(b"%%%b", "big")
    fixed = Template([one(percent, IDENTITY)], {"identity": MARKS["identity"]})
    assert fixed.fill({"identity": bytes(7) + b"\1"}) == (encode(one(percent, 1)),)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"port": bytes(4)}, "identity takes 8 bytes"),
        ({"port": bytes(5), "identity": bytes(8)}, "port takes 4 bytes"),
    ],
)
def test_a_value_that_is_missing_or_too_long_is_refused(values, named):
    with pytest.raises(SpecError, match=named):
        TEMPLATE.fill(values)


@pytest.mark.parametrize(
    ("marks", "why"),
    [
        ({**MARKS, "mac": b"\x5a\xc3\x97\xe1\x5d\x3b"}, r"no flow has a place for \['mac'\]"),
        ({**MARKS, "also": MARKS["port"]}, "cannot be told apart"),
        ({**MARKS, "part": MARKS["port"][:2]}, "cannot be told apart"),
    ],
)
def test_marks_that_cannot_be_found_or_told_apart_are_refused(marks, why):
    with pytest.raises(SpecError, match=why):
        Template([one(PORT, IDENTITY)], marks)

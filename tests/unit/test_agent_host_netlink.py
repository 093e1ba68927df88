"""Netlink framing: what is written, and what is made of the kernel's answers."""

import errno
import os
import struct

from node_agent.nlmsg import REQUEST, Request, attribute, attributes, encode, failure_of, split

ASK = Request(16, 0x400, b"body", "create a thing", frozenset({errno.EEXIST}))


def acknowledgement(code, message=b""):
    """An NLMSG_ERROR as the kernel sends it with NETLINK_EXT_ACK and NETLINK_CAP_ACK."""
    tlvs = attribute(1, message + b"\0") if message else b""
    body = struct.pack("=i", -code) + bytes(16) + tlvs
    return struct.pack("=IHHII", 16 + len(body), 2, 0x200 if message else 0x100, 5, 0) + body


def failure(data):
    (reply,) = split(data)
    return failure_of(ASK, reply)


def test_a_request_is_framed():
    data = encode(ASK, 9, 0x4)
    assert struct.unpack("=IHHII", data[:16]) == (20, 16, REQUEST | 0x400 | 0x4, 9, 0)
    assert data[16:] == b"body"


def test_attributes_are_padded_and_come_back():
    data = attribute(3, b"abcde") + attribute(4, b"") + attribute(5, attribute(1, b"x"))
    assert len(data) % 4 == 0
    found = attributes(data)
    assert (found[3], found[4], attributes(found[5])) == (b"abcde", b"", {1: b"x"})


def test_flags_in_an_attributes_kind_are_ignored():
    assert attributes(attribute(0x8000 | 18, b"nest")) == {18: b"nest"}


def test_truncated_attributes_and_messages_end_the_reading():
    assert attributes(b"\x00\x00\x01\x00" + b"rest") == {}
    assert list(split(b"\x05\x00\x00\x00")) == []
    assert list(split(bytes(16))) == []


def test_several_messages_in_one_datagram():
    assert [reply.sequence for reply in split(acknowledgement(0) + acknowledgement(0))] == [5, 5]


def test_an_acknowledgement_is_no_failure():
    assert failure(acknowledgement(0)) is None


def test_a_tolerated_error_is_no_failure():
    assert failure(acknowledgement(errno.EEXIST)) is None


def test_a_failure_names_the_operation_and_the_kernels_reason():
    error = failure(acknowledgement(errno.EINVAL, b"Invalid prefix"))
    assert error.errno == errno.EINVAL
    assert str(error).endswith(f"cannot create a thing: {os.strerror(errno.EINVAL)} (Invalid prefix)")

"""The ICMP packets of the reachability table, byte for byte, and what counts as reachable."""

from __future__ import annotations

import struct

import pytest

from lab.reachability import Cell, echo_reply, echo_request, require_http

_IPV4_HEADER = bytes([0x45]) + bytes(19)


def test_an_ipv4_echo_has_a_checksum_that_sums_to_all_ones() -> None:
    packet = echo_request(4, identifier=0x1234, sequence=7)
    total = sum(struct.unpack("!4H", packet))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    assert packet[:2] == bytes([8, 0])


def test_an_ipv6_echo_leaves_the_checksum_to_the_kernel() -> None:
    assert echo_request(6, identifier=0x1234, sequence=7) == bytes([128, 0, 0, 0, 0x12, 0x34, 0, 7])


def test_a_reply_is_known_by_identifier_and_sequence() -> None:
    assert echo_reply(4, _IPV4_HEADER + struct.pack("!BBHHH", 0, 0, 0, 5, 6)) == (5, 6)
    assert echo_reply(6, struct.pack("!BBHHH", 129, 0, 0, 5, 6)) == (5, 6)


def test_ip_options_are_stepped_over() -> None:
    header = bytes([0x46]) + bytes(23)
    assert echo_reply(4, header + struct.pack("!BBHHH", 0, 0, 0, 5, 6)) == (5, 6)


@pytest.mark.parametrize(
    ("version", "packet"),
    [
        (4, b""),
        (4, _IPV4_HEADER),
        (4, _IPV4_HEADER + echo_request(4, 5, 6)),
        (6, b""),
        (6, echo_request(6, 5, 6)),
        (6, struct.pack("!BBHHH", 1, 0, 0, 5, 6)),
    ],
)
def test_anything_else_is_not_a_reply(version: int, packet: bytes) -> None:
    assert echo_reply(version, packet) is None


@pytest.mark.parametrize(
    ("ping", "http", "ok"),
    [(0.4, "ok", True), (0.4, "", True), (None, "ok", False), (0.4, "timeout", False), (None, "", False)],
)
def test_a_cell_is_good_when_everything_asked_was_answered(ping: float | None, http: str, ok: bool) -> None:
    assert Cell("a", "b", 4, ping, http).ok is ok


@pytest.mark.parametrize(("http", "ok"), [("ok", True), ("", False), ("timeout", False)])
def test_where_http_is_required_it_must_have_been_answered(http: str, ok: bool) -> None:
    (cell,) = require_http([Cell("a", "b", 4, 0.4, http)])
    assert cell.ok is ok
    assert cell.http

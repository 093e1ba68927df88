"""What `netexec` answers, as agnhost's does."""

from __future__ import annotations

import pytest

from lab.netexec import Netexec, NetexecError, http_answer, parse_args, peer_text, udp_answer


def test_flags_default_to_agnhosts_ports() -> None:
    assert parse_args([]) == Netexec(8080, 8081)


def test_flags_may_be_one_word_or_two() -> None:
    assert parse_args(["--http-port=80", "--udp-port", "53"]) == Netexec(80, 53)


def test_udp_can_be_switched_off() -> None:
    assert parse_args(["--udp-port=-1"]).udp_port == -1


@pytest.mark.parametrize("arguments", [["--sctp-port=1"], ["--http-port=www"], ["--http"]])
def test_a_flag_that_is_not_served_is_named(arguments: list[str]) -> None:
    with pytest.raises(NetexecError, match=arguments[0].partition("=")[0]):
        parse_args(arguments)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/hostname", (200, "web")),
        ("/clientip", (200, "10.0.0.9:4711")),
        ("/echo?msg=a%20b", (200, "a b")),
        ("/echo", (200, "")),
        ("/healthz", (200, "")),
        ("/nothing", (404, "404 page not found\n")),
    ],
)
def test_http(target: str, expected: tuple[int, str]) -> None:
    assert http_answer(target, "web", "10.0.0.9:4711") == expected


def test_the_root_tells_the_time() -> None:
    status, body = http_answer("/", "web", "10.0.0.9:4711")
    assert (status, body[:5]) == (200, "NOW: ")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("hostname\n", "web"),
        ("HOSTNAME", "web"),
        ("clientip", "10.0.0.9:4711"),
        ("echo hello you", "hello you"),
        ("reboot", "unknown command: reboot"),
        ("", "unknown command: "),
    ],
)
def test_udp(message: str, expected: str) -> None:
    assert udp_answer(message, "web", "10.0.0.9:4711") == expected


def test_addresses_are_written_as_go_writes_them() -> None:
    assert peer_text(("10.0.0.9", 80)) == "10.0.0.9:80"
    assert peer_text(("fd00::9", 80, 0, 0)) == "[fd00::9]:80"

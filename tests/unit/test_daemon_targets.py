"""Connection methods in settings: which may leave the machine, and what is said of the others."""

from __future__ import annotations

import pytest

from daemon.targets import Target, check_encrypted, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:/run/x.sock", Target("unix", "/run/x.sock")),
        ("tcp:127.0.0.1:6653", Target("tcp", "127.0.0.1", 6653)),
        ("tcp:localhost:6653", Target("tcp", "localhost", 6653)),
        ("ssl:0.0.0.0:6653", Target("ssl", "0.0.0.0", 6653)),
        ("ssl:[::]:6653", Target("ssl", "::", 6653)),
    ],
)
def test_a_target_is_read(text: str, expected: Target) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "ssl:", "ssl:6653", "ssl::6653", "ssl:::6653", "ssl:[127.0.0.1]:1", "ssl:h:1", "pssl:6640",
     "ssl:1.2.3.4:", "ssl:1.2.3.4:0", "ssl:1.2.3.4:65536", "ssl:1.2.3.4:²", "tcp:[::1:1", "SSL:1.2.3.4:1"],
)  # fmt: skip
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"give|port|address"):
        parse(text)


@pytest.mark.parametrize("text", ["tcp:127.0.0.1:1", "tcp:127.9.9.9:1", "tcp:[::1]:1", "tcp:localhost:1", "unix:/x"])
def test_what_stays_on_this_machine_needs_no_tls(text: str) -> None:
    assert check_encrypted("key", text, tls=False).is_local


@pytest.mark.parametrize("text", ["tcp:0.0.0.0:1", "tcp:192.0.2.1:1", "tcp:[::]:1", "tcp:[::ffff:192.0.2.1]:1"])
def test_what_leaves_it_does(text: str) -> None:
    with pytest.raises(ValueError, match="without TLS only loopback") as caught:
        check_encrypted("some-key", text, tls=True)
    assert str(caught.value).startswith(f"some-key {text!r}: ")


def test_tls_needs_certificates() -> None:
    assert check_encrypted("key", "ssl:192.0.2.1:1", tls=True) == Target("ssl", "192.0.2.1", 1)
    with pytest.raises(ValueError, match="needs the settings tls-ca, tls-certificate and tls-key"):
        check_encrypted("key", "ssl:192.0.2.1:1", tls=False)

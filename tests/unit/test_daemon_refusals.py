"""Refused connections: what an error says, and how much of it is logged."""

from __future__ import annotations

import re
import ssl
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon import refusals
from daemon.refusals import AGAIN_SECONDS, MOST, Budget, PeerRefused, Refusals, refusal_of
from openflow.listening import TooManyHandshakes


def of_tls(reason: str | None) -> ssl.SSLError:
    made = ssl.SSLError(1, f"[SSL: {reason}]")
    made.reason = reason  # type: ignore[assignment]
    return made


def of_verification(code: int) -> ssl.SSLCertVerificationError:
    made = ssl.SSLCertVerificationError(1, "failed")
    made.verify_code, made.verify_message = code, "the words of OpenSSL"
    return made


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (of_tls("PEER_DID_NOT_RETURN_A_CERTIFICATE"), "no-certificate"),
        (of_verification(10), "expired"),
        (of_verification(9), "not-yet-valid"),
        (of_verification(20), "unknown-ca"),
        (of_verification(18), "unknown-ca"),
        (of_verification(26), "other"),
        (PeerRefused("wrong-name", "why"), "wrong-name"),
        (of_tls("WRONG_VERSION_NUMBER"), "not-tls"),
        (of_tls("HTTP_REQUEST"), "not-tls"),
        (of_tls("UNSUPPORTED_PROTOCOL"), "old-tls"),
        (TimeoutError("no"), "timeout"),
        (ssl.SSLEOFError(8, "EOF"), "closed"),
        (ConnectionResetError(104, "reset"), "closed"),
        (of_tls("TLSV1_ALERT_UNKNOWN_CA"), "refused-us"),
        (of_tls("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "refused-us"),
        (of_tls("SOMETHING_NEW"), "other"),
        (of_tls(None), "other"),
        (OSError(5, "I/O error"), "other"),
    ],
)
def test_every_error_has_a_reason_and_words(error: OSError, reason: str) -> None:
    refusal = refusal_of(error)
    assert refusal.reason == reason
    assert refusal.why


def test_the_words_are_openssls_where_it_knows_best() -> None:
    assert refusal_of(of_verification(10)).why == "its certificate is not accepted: the words of OpenSSL"
    assert refusal_of(of_tls("TLSV1_ALERT_UNKNOWN_CA")).why == "it refuses us: tlsv1 alert unknown ca"


def test_the_same_is_logged_once_in_a_time() -> None:
    budget = Budget()
    assert budget.allows(("a", "x"), 0.0) == 0
    assert budget.allows(("a", "x"), AGAIN_SECONDS - 1) is None
    assert budget.allows(("a", "y"), AGAIN_SECONDS - 1) == 1, "and what was left out is counted"
    assert budget.allows(("a", "x"), AGAIN_SECONDS) == 0


def test_there_is_a_limit_for_all_of_them() -> None:
    budget = Budget()
    allowed = [budget.allows((str(n),), float(n) / 1000) for n in range(10 * MOST)]
    assert [each for each in allowed if each is not None] == [0] * MOST
    assert budget.allows(("later",), AGAIN_SECONDS + 1) == 9 * MOST


def test_all_are_counted_and_few_logged() -> None:
    counted: Counter[tuple[str, str]] = Counter()
    taking = Refusals(lambda channel, reason: counted.update([(channel, reason)]))
    with capture_logs() as logs:
        for _ in range(5):
            assert (
                taking.take("openflow", "192.0.2.1", of_verification(10), 0.0) == refusal_of(of_verification(10)).why
            )
        taking.take("ovsdb", "192.0.2.1", TimeoutError(), 1.0)
    assert counted == {("openflow", "expired"): 5, ("ovsdb", "timeout"): 1}
    assert [(line["channel"], line["peer"], line["reason"], line.get("not_logged")) for line in logs] == [
        ("openflow", "192.0.2.1", "expired", None),
        ("ovsdb", "192.0.2.1", "timeout", 4),
    ]


def test_every_reason_is_explained_to_operators() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "tls.md").read_text()
    explained = set(re.findall(r"^\| `([a-z-]+)` \| .+ \| .*\|$", page, re.MULTILINE))
    named = {value for name, value in vars(refusals).items() if name.isupper() and isinstance(value, str)}
    assert explained == named | {TooManyHandshakes.reason}

"""Connections over TLS that came to nothing: each is counted by its reason, and few are logged.

Anybody who can reach a port can fail there as often as they like, so the log has a budget.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass

from daemon import logs

log = logs.get("weft.tls")

AGAIN_SECONDS = 600.0
"""A peer that fails for the same reason is logged once in this time."""
MOST = 30
"""Lines in that time, whoever fails."""

NO_CERTIFICATE = "no-certificate"
EXPIRED = "expired"
NOT_YET_VALID = "not-yet-valid"
UNKNOWN_CA = "unknown-ca"
WRONG_NAME = "wrong-name"
NOT_TLS = "not-tls"
OLD_TLS = "old-tls"
TIMEOUT = "timeout"
CLOSED = "closed"
REFUSED_US = "refused-us"
OTHER = "other"

# X509_V_ERR_* of <openssl/x509_vfy.h>.
_BY_VERIFICATION = {9: NOT_YET_VALID, 10: EXPIRED} | dict.fromkeys((2, 7, 18, 19, 20, 21), UNKNOWN_CA)
_BY_CAUSE = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": NO_CERTIFICATE,
    "UNSUPPORTED_PROTOCOL": OLD_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": OLD_TLS,
} | dict.fromkeys(
    ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNEXPECTED_MESSAGE", "PACKET_LENGTH_TOO_LONG",
     "BAD_RECORD_TYPE", "RECORD_LAYER_FAILURE"), NOT_TLS,
)  # fmt: skip
_WORDS = {
    NO_CERTIFICATE: "it shows no certificate",
    OLD_TLS: "it has nothing newer than TLS 1.1, and 1.2 is the least",
    NOT_TLS: "it does not speak TLS",
    TIMEOUT: "it did not finish the handshake in time",
    CLOSED: "it closed the connection before the handshake was done",
}


class PeerRefused(ConnectionError):  # noqa: N818 - reads as what happened
    """A peer that TLS let pass and we do not."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection came to nothing: the label of the metric, and words for a person."""

    reason: str
    why: str


def refusal_of(error: OSError) -> Refusal:
    """What an error of a handshake, or of the first bytes after it, says."""
    reason = _reason(error)
    return Refusal(reason, _WORDS.get(reason) or _why(reason, error))


def _reason(error: OSError) -> str:
    match error:
        case TimeoutError():
            return TIMEOUT
        case ssl.SSLCertVerificationError():
            return _BY_VERIFICATION.get(error.verify_code, OTHER)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return CLOSED
        case ssl.SSLError():
            known = _BY_CAUSE.get(error.reason or "")
            return known or (REFUSED_US if "_ALERT_" in (error.reason or "") else OTHER)
        case ConnectionError():  # those of ours carry their reason
            return str(getattr(error, "reason", CLOSED))
    return OTHER


def _why(reason: str, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        words = (error.reason or str(error)).replace("_", " ").lower()
        return f"it refuses us: {words}" if reason == REFUSED_US else words
    return str(error)


class Budget:
    """What may be logged: every key once in a time, and not too much in all."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, ...], float] = {}
        self._silent = 0

    def allows(self, key: tuple[str, ...], now: float) -> int | None:
        """How many lines were left out since the last that was allowed, when this one is; None when it is not.
        `now`: monotonic seconds."""
        for old in [old for old, at in self._told.items() if now - at >= AGAIN_SECONDS]:
            del self._told[old]
        if key in self._told or len(self._told) >= MOST:
            self._silent += 1
            return None
        self._told[key] = now
        silent, self._silent = self._silent, 0
        return silent


class Refusals:
    """Counts and logs; to be called from any thread."""

    def __init__(self, count: Callable[[str, str], None]) -> None:
        """`count` is called with channel and reason, for each."""
        self._count = count
        self._budget = Budget()
        self._lock = threading.Lock()

    def take(self, channel: str, peer: str, error: OSError, now: float) -> str:
        """A connection with `peer` came to nothing by this error; why, in words. `now`: monotonic seconds."""
        refusal = refusal_of(error)
        self._count(channel, refusal.reason)
        with self._lock:
            silent = self._budget.allows((channel, peer, refusal.reason), now)
        if silent is not None:
            said = {"channel": channel, "peer": peer, "reason": refusal.reason, "why": refusal.why}
            log.warning("TLS connection refused", **said, **({"not_logged": silent} if silent else {}))
        return refusal.why

"""Certificates of the controller and of the nodes, as values: which files, what is in them, whose names. Pure.

Names of certificates are DNS names of the extension subjectAltName (RFC 9525: the common name does not count).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

AGENT_NAME = "weft-agent"
CONTROLLER_NAME = "weft-controller"

CA_HELP = (
    "PEM file of the authorities whose certificates are accepted from the other end. Given with tls-certificate and"
    " tls-key, or none of the three."
)
CERTIFICATE_HELP = "PEM file of this daemon's own certificate."
KEY_HELP = "PEM file of that certificate's private key, without a passphrase."

Told = Mapping[str, Any]
"""A verified certificate as `ssl.SSLSocket.getpeercert` tells it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the settings tls-ca, tls-certificate and tls-key point."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Contents:
    """What the files say, times in seconds since 1970: our certificate's DNS names, between which times it holds, and
    until when the last of the authorities does."""

    names: frozenset[str]
    not_before: float
    not_after: float
    ca_not_after: float


def names_of(told: Told) -> frozenset[str]:
    """The DNS names of a verified certificate, in lower case."""
    return frozenset(name.lower() for kind, name in told.get("subjectAltName", ()) if kind == "DNS")


def files_of(ca: Path | None, certificate: Path | None, key: Path | None) -> TlsFiles | None:
    """The three settings together; None when none is given. ValueError: some are missing, and which."""
    given = {"tls-ca": ca, "tls-certificate": certificate, "tls-key": key}
    missing = [name for name, path in given.items() if path is None]
    if ca is None or certificate is None or key is None:
        if len(missing) == len(given):
            return None
        has = ", ".join(name for name in given if name not in missing)
        raise ValueError(f"{has} without {', '.join(missing)}: give all three, or none to do without TLS")
    return TlsFiles(ca, certificate, key)


def complaint(files: TlsFiles, contents: Contents, name: str, now: float) -> str:
    """Why new connections fail with these files; "" when nothing speaks against them. `name`: what the other end asks
    of our own certificate, "" when it does not."""
    if now > contents.not_after:
        date = _date(contents.not_after)
        return f"tls-certificate {files.certificate}: expired on {date}, so new connections fail; renew it"
    if now < contents.not_before:
        date = _date(contents.not_before)
        return f"tls-certificate {files.certificate}: not valid before {date}; is this machine's clock right?"
    if now > contents.ca_not_after:
        date = _date(contents.ca_not_after)
        return f"tls-ca {files.ca}: the last authority in it expired on {date}, so nobody is accepted; renew it"
    if name and name not in contents.names:
        has = ", ".join(sorted(contents.names)) or "none"
        return (
            f"tls-certificate {files.certificate}: the other end asks for the DNS name {name} (subjectAltName), and"
            f" this one has {has}; issue it with that name"
        )
    return ""


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"

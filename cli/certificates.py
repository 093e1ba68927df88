"""TLS files as they are on a node: what is in them, and contexts to try connections with.

Python's ssl tells what is in a certificate only when it has verified it. Our own is therefore read by a handshake
with ourselves, in memory, where it is its own authority and dates do not matter.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from cli.facts import Certificate, Files

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of <openssl/x509_vfy.h>
_FLIGHTS = 10  # of messages, each way; a handshake has three at most
_NOT_THE_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


class CertificateError(ValueError):
    """The files cannot be used; the message names the file and says why."""


def examine(files: Files) -> Certificate:
    """What the files say; what is wrong with them is in `problem`."""
    try:
        authorities = context_of(files, ssl.PROTOCOL_TLS_CLIENT).get_ca_certs()
        told = _own(files)
    except CertificateError as e:
        return Certificate(problem=str(e))
    return Certificate(
        names=names_of(told),
        not_before=seconds(told["notBefore"]),
        not_after=seconds(told["notAfter"]),
        ca_not_after=max((seconds(each["notAfter"]) for each in authorities), default=0.0),
    )


def context_of(files: Files, side: int) -> ssl.SSLContext:
    """A context of one side with these files, which verifies the other end by their authority and looks at no names.
    Raises CertificateError."""
    for path in (files.ca, files.certificate, files.key):
        _check_readable(path)
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(cafile=files.ca)
    except OSError as e:
        raise CertificateError(f"{files.ca}: has no certificate in PEM form that can be read") from e
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: _encrypted(files.key))
    except ssl.SSLError as e:
        raise CertificateError(_why_unusable(files, e)) from e
    return context


def names_of(told: dict[str, Any]) -> tuple[str, ...]:
    """The DNS names of a verified certificate."""
    return tuple(sorted(name for kind, name in told.get("subjectAltName", ()) if kind == "DNS"))


def seconds(text: Any) -> float:
    """A certificate's time in seconds since 1970."""
    return float(ssl.cert_time_to_seconds(text))


def words(error: ssl.SSLError) -> str:
    """OpenSSL's reason, to be read."""
    verified = str(getattr(error, "verify_message", "") or "")
    return verified or (error.reason or str(error)).replace("_", " ").lower()


def _check_readable(path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as e:
        raise CertificateError(f"{path}: {e.strerror or e}") from e


def _encrypted(key: str) -> bytes:
    """OpenSSL's question for a passphrase, which would else be asked on the terminal."""
    raise CertificateError(f"{key}: is encrypted; Open vSwitch needs a key without a passphrase")


def _why_unusable(files: Files, error: ssl.SSLError) -> str:
    if error.reason in _NOT_THE_KEY:
        return f"{files.key}: is not the key of {files.certificate}"
    return (
        f"{files.certificate} and {files.key}: no certificate and key in PEM form that can be read ({words(error)})"
    )


def _own(files: Files) -> dict[str, Any]:
    """The certificate itself, as `getpeercert` tells it. CertificateError: it cannot be at both ends."""
    trusted = Files(files.certificate, files.certificate, files.key)
    client, server = (context_of(trusted, side) for side in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER))
    for context in (client, server):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(_FLIGHTS):
            if not [end for end in ends if not _shake(end)]:
                break
        return dict(ends[0].getpeercert() or {})
    except ssl.SSLError as e:
        raise CertificateError(
            f"{files.certificate}: cannot be used at both ends of connections: {words(e)}; an extendedKeyUsage has to"
            " be serverAuth and clientAuth"
        ) from e


def _shake(end: ssl.SSLObject) -> bool:
    """One step of a handshake; whether it is done."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True

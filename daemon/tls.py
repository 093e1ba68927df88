"""TLS between the controller and the nodes: files as contexts of Python's ssl.

Both ends of every connection show a certificate that the other's `tls-ca` has signed, TLS 1.2 or newer. Files may be
replaced at any time (a Secret is, in place): connections that begin later use the new ones.
"""

from __future__ import annotations

import math
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon import logs
from daemon.certificates import Contents, TlsFiles, Told, complaint, names_of

log = logs.get("weft.tls")

# X509_V_FLAG_NO_CHECK_TIME of <openssl/x509_vfy.h>; Python's ssl module does not have it.
_NO_CHECK_TIME = 0x200000
_SIDES = (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)
_FLIGHTS = 10  # of messages, each way; a handshake has three at most
_NOT_THE_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class TlsError(ValueError):
    """The files cannot be used; one line that names the setting, the file, and what to do."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Files that can be used: contexts for connections that others begin, and for those that begin here, where
    names are not looked at; and what the files say."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    contents: Contents


def _load(files: TlsFiles) -> _Loaded:
    """Read the files. TlsError: they cannot be used."""
    _check_readable("tls-key", files.key)
    for key, path in (("tls-ca", files.ca), ("tls-certificate", files.certificate)):
        _check_readable(key, path)
        _check_certificates(key, path)
    server, client = (_context(files, files.ca, side) for side in _SIDES)
    return _Loaded(server, client, _contents(files, server))


def _check_readable(key: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as e:
        raise TlsError(f"{key} {path}: {e.strerror or e}") from e


def _check_certificates(key: str, path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError as e:
        raise TlsError(f"{key} {path}: has no certificate in PEM form that can be read") from e


def _context(files: TlsFiles, ca: Path, side: int) -> ssl.SSLContext:
    """A context of one side that verifies the other by `ca`. TlsError: the certificate or its key cannot be used."""
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    if side == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # a session that is resumed is not verified again
    try:
        context.load_verify_locations(cafile=ca)
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase(files.key))
    except OSError as e:
        raise TlsError(_why_unusable(files, e)) from e
    return context


def _no_passphrase(key: Path) -> Callable[[], bytes]:
    """OpenSSL's question for a passphrase, which would else be asked on the terminal."""

    def refuse() -> bytes:
        raise TlsError(f"tls-key {key}: is encrypted; give a key without a passphrase")

    return refuse


def _why_unusable(files: TlsFiles, error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return f"tls-ca {files.ca}, tls-certificate {files.certificate}, tls-key {files.key}: {error}"
    if error.reason in _NOT_THE_KEY:
        return f"tls-key {files.key}: is not the key of tls-certificate {files.certificate}"
    if not error.reason:  # OpenSSL only says "PEM lib"; the certificate has been read before
        return f"tls-key {files.key}: has no private key in PEM form that can be read"
    return f"tls-certificate {files.certificate}: cannot be used: {words(error)}"


def _contents(files: TlsFiles, context: ssl.SSLContext) -> Contents:
    """`context` has the authorities."""
    told = _told_of_ourselves(files)
    authorities = [seconds(each["notAfter"]) for each in context.get_ca_certs()]
    return Contents(
        names=names_of(told),
        not_before=seconds(told["notBefore"]),
        not_after=seconds(told["notAfter"]),
        ca_not_after=max(authorities, default=math.inf),
    )


def seconds(text: Any) -> float:
    """A certificate's time, as `getpeercert` tells it, in seconds since 1970."""
    return float(ssl.cert_time_to_seconds(text))


def _told_of_ourselves(files: TlsFiles) -> Told:
    """Our own certificate, read by a handshake with ourselves: Python's ssl tells of verified ones only.

    It is its own authority here, because ours need not be the one that signs us; and the date does not matter,
    because one that has expired is to be told of by its date. TlsError: it cannot be used at both ends.
    """
    server, client = (_context(files, files.certificate, side) for side in _SIDES)
    for context in (server, client):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    try:
        for _ in range(_FLIGHTS):
            if not [end for end in ends if not _shake(end)]:
                break
        return ends[0].getpeercert() or {}
    except ssl.SSLError as e:
        why = words(e)
        raise TlsError(
            f"tls-certificate {files.certificate}: cannot be used at both ends of connections: {why};"
            " if it has extendedKeyUsage, that has to be serverAuth and clientAuth"
        ) from e


def _shake(end: ssl.SSLObject) -> bool:
    """One step of a handshake; whether it is done."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def words(error: ssl.SSLError) -> str:
    """OpenSSL's reason, to be read."""
    verified = str(getattr(error, "verify_message", "") or "")
    return verified or (error.reason or str(error)).replace("_", " ").lower()


def examine(files: TlsFiles) -> Contents:
    """What the files say. TlsError: they cannot be used."""
    return _load(files).contents


class Credentials:
    """The files as contexts, read again whenever they have changed. Methods may be called from any thread.

    Files that can no longer be used leave in force what was read before, and are told (`problem`, and the log).
    """

    def __init__(self, files: TlsFiles) -> None:
        """Reads the files. TlsError: they cannot be used."""
        self._files = files
        self._lock = threading.Lock()
        self._stamp = _stamp(files)
        self._loaded = _load(files)
        self._error = ""

    def server(self) -> ssl.SSLContext:
        """For connections that others begin."""
        return self._current().server

    def client(self) -> ssl.SSLContext:
        """For connections that begin here. It does not look at names: `names_of` the peer's certificate does."""
        return self._current().client

    @property
    def expires(self) -> float:
        """When our own certificate does, in seconds since 1970."""
        return self._current().contents.not_after

    def problem(self, now: float) -> str:
        """Why new connections fail, or soon may; "" when nothing speaks against the files. `now`: since 1970."""
        loaded = self._current()
        return self._error or complaint(self._files, loaded.contents, "", now)

    def _current(self) -> _Loaded:
        with self._lock:
            # Looked at before reading, so what changes meanwhile is read the next time.
            stamp = _stamp(self._files)
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._loaded

    def _read_again(self) -> None:
        try:
            self._loaded, self._error = _load(self._files), ""
        except TlsError as e:
            self._error = str(e)
            log.error("new TLS files cannot be used, those before stay in use", error=str(e))
        else:
            log.info("TLS files read again", certificate=str(self._files.certificate))


_Stamp = tuple[tuple[int, int, int] | None, ...]


def _stamp(files: TlsFiles) -> _Stamp:
    """Changes whenever a file is replaced or written."""
    return tuple(_stamp_of(path) for path in (files.ca, files.certificate, files.key))


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size

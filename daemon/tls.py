"""TLS between the controller and the nodes: which files, what is wrong with them, and contexts made of them.

Both ends of every connection show a certificate that the other's `tls-ca` has signed, TLS 1.2 or newer. Files may be
replaced at any time (a Secret is, in place): connections that begin later use the new ones. Names of certificates are
DNS names of the extension subjectAltName (RFC 9525: the common name does not count).
"""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

from daemon import logs
from daemon.tls_files import Contents, Loaded, TlsError, TlsFiles, load

log = logs.get("weft.tls")

AGENT_NAME = "weft-agent"
CONTROLLER_NAME = "weft-controller"

CA_HELP = (
    "PEM file of the authorities whose certificates are accepted from the other end. Given with tls-certificate and"
    " tls-key, or none of the three."
)
CERTIFICATE_HELP = "PEM file of this daemon's own certificate, with what is between it and the authority."
KEY_HELP = "PEM file of that certificate's private key, without a passphrase."


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
    """Why new connections fail with these files; "" when nothing speaks against them. `name`: what our own
    certificate has to carry, for the other end to accept it."""
    if now > contents.not_after:
        date = _date(contents.not_after)
        return f"tls-certificate {files.certificate}: expired on {date}, so new connections fail; renew it"
    if now < contents.not_before:
        date = _date(contents.not_before)
        return f"tls-certificate {files.certificate}: not valid before {date}; is this machine's clock right?"
    if now > contents.ca_not_after:
        date = _date(contents.ca_not_after)
        return f"tls-ca {files.ca}: the last authority in it expired on {date}, so nobody is accepted; renew it"
    if name not in contents.names:
        has = ", ".join(sorted(contents.names)) or "none"
        return (
            f"tls-certificate {files.certificate}: the other end asks for the DNS name {name} (subjectAltName), and"
            f" this one has {has}; issue it with that name"
        )
    return ""


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


class Credentials:
    """The files as contexts, read again whenever they have changed. Methods may be called from any thread.

    Files that can no longer be used leave in force what was read before, and are told (`problem`, and the log).
    """

    def __init__(self, files: TlsFiles) -> None:
        """Reads the files. TlsError: they cannot be used."""
        self._files = files
        self._lock = threading.Lock()
        self._stamp = _stamp(files)
        self._loaded = load(files)
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

    def problem(self, name: str, now: float) -> str:
        """Why new connections fail; "" when nothing speaks against them. `name`: what ours has to carry."""
        loaded = self._current()
        return self._error or complaint(self._files, loaded.contents, name, now)

    def _current(self) -> Loaded:
        with self._lock:
            # Looked at before reading, so what changes meanwhile is read the next time.
            stamp = _stamp(self._files)
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._loaded

    def _read_again(self) -> None:
        try:
            self._loaded, self._error = load(self._files), ""
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

"""Whoever asks a node's database over TLS: whether it answers."""

from __future__ import annotations

import json
import socket
import ssl

from pki_fixture import Certified

WAIT = 30.0


def thief(shown: Certified) -> ssl.SSLContext:
    """For somebody who shows this certificate and believes whoever answers."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.load_cert_chain(shown.certificate, shown.key)
    return made


def listed(address: tuple[str, int], context: ssl.SSLContext) -> list[str]:
    """Names of the databases there (list_dbs, RFC 7047 section 4.1.1). ssl.SSLError or ConnectionError: refused."""
    with socket.create_connection(address, WAIT) as raw, context.wrap_socket(raw) as peer:
        peer.sendall(b'{"id":0,"method":"list_dbs","params":[]}')
        answer = peer.recv(65536)
    if not answer:
        raise ConnectionError("hung up")
    names: list[str] = json.loads(answer)["result"]
    return names

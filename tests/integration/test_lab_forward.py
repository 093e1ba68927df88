"""The nodes' way to another's API server: bytes pass as they are, TLS and credentials among them."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube_fixture import WAIT, FakeServer, serve, text

from kube import endpoint
from kube.client import ApiClient
from kube.errors import Unreachable
from kube.resources import NODES
from lab import access
from lab.access import Access
from lab.forward import Forwarder

INSIDE = "127.0.0.2"  # not in the server's certificate


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[FakeServer]:
    """A server whose certificate is for `localhost` alone."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=kube", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "ca.crt")),
        ],
        check=True,
        capture_output=True,
        timeout=WAIT,
    )
    made = FakeServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.crt", tmp_path / "key")
    made.socket = context.wrap_socket(made.socket, server_side=True)
    yield from serve(made)


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that says back what it heard when its client has said all, and then hangs up."""

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                heard = b""
                while chunk := peer.recv(1000):
                    heard += chunk
                peer.sendall(heard)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT)


def forwarding(target: tuple[str, int]) -> tuple[Forwarder, tuple[str, int]]:
    listener = socket.create_server((INSIDE, 0))
    address = listener.getsockname()
    made = Forwarder([listener], target)
    made.start()
    return made, address


def is_over(client: socket.socket) -> bool:
    """Whether the other side has hung up, in either of the two ways to do so."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_an_agent_finds_the_right_server_behind_the_address_in_its_node(secure: FakeServer, tmp_path: Path) -> None:
    found = Access(
        {
            "server": f"https://localhost:{secure.server_address[1]}",
            "certificate-authority": str(tmp_path / "ca.crt"),
        },
        {"token": "secret"},
    )
    forwarder, (host, port) = forwarding(found.target)
    try:
        access.write(found.through(f"{host}:{port}"), tmp_path / "nodes.kubeconfig")
        secure.answers(text(200, "{}"))
        ApiClient(endpoint.from_kubeconfig(str(tmp_path / "nodes.kubeconfig"))).get(NODES, "node1")
        assert "Bearer secret" in secure.seen[0].headers.values()

        nameless = Access({**found.cluster, "server": f"https://{host}:{port}"}, found.user)
        access.write(nameless, tmp_path / "nameless.kubeconfig")
        with pytest.raises(Unreachable, match="certificate"):
            ApiClient(endpoint.from_kubeconfig(str(tmp_path / "nameless.kubeconfig"))).get(NODES, "node1")
    finally:
        forwarder.stop()


def test_either_side_may_finish_first(echo: tuple[str, int]) -> None:
    forwarder, address = forwarding(echo)
    try:
        for said in (b"", b"hello", b"x" * 1_000_000):
            with socket.create_connection(address, timeout=WAIT) as client:
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                heard = b"".join(iter(lambda: client.recv(65536), b""))
            assert heard == said
    finally:
        forwarder.stop()


def test_a_server_that_is_away_closes_the_connection_and_is_found_when_it_is_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        target = free.getsockname()
    forwarder, address = forwarding(target)
    try:
        with socket.create_connection(address, timeout=WAIT) as client:
            assert is_over(client)
        with socket.create_server(target) as back, socket.create_connection(address, timeout=WAIT) as client:
            back.settimeout(WAIT)
            peer, _ = back.accept()
            with peer:
                peer.sendall(b"here")
                assert client.recv(10) == b"here"
    finally:
        forwarder.stop()


def test_stopping_ends_connections_and_frees_the_address(echo: tuple[str, int]) -> None:
    forwarder, address = forwarding(echo)
    with socket.create_connection(address, timeout=WAIT) as client:
        client.sendall(b"one")
        forwarder.stop()
        assert is_over(client)
    with socket.create_server(address):
        pass


def test_a_connection_that_is_new_when_the_forwarder_stops_ends_too(echo: tuple[str, int]) -> None:
    for _ in range(100):
        forwarder, address = forwarding(echo)
        with socket.create_connection(address, timeout=WAIT) as client:
            forwarder.stop()
            assert is_over(client)

"""What nodes try with each other, against real sockets: connections, TLS by right and wrong files, datagrams."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from broken_fixture import certificate

from cli import nodeside
from cli.facts import Files, Probe, Probed
from cli.probes import NO_ANSWER, REFUSED, TOO_LONG, probe, probe_all
from daemon.tls import Credentials

HOST = "127.0.0.1"


@contextmanager
def server(context: ssl.SSLContext | None = None, *, answers: bool = True) -> Iterator[int]:
    """A server on a port of this machine; with a context it speaks TLS. One that does not answer never accepts."""
    with socket.create_server((HOST, 0), backlog=1) as listening:
        thread = threading.Thread(target=_serve, args=(listening, context), daemon=True)
        if answers:
            thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        if answers:
            thread.join()


def _serve(listening: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            peer, _ = listening.accept()
        except OSError:
            return
        with peer:
            peer.settimeout(5)
            try:
                if context is not None:
                    with context.wrap_socket(peer, server_side=True) as secured:
                        secured.sendall(b"hello")
                        secured.recv(1)
            except OSError:
                continue


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """TLS files: of a node and a controller of one authority, and of one whose authority is its own."""
    root = tmp_path_factory.mktemp("pki")
    node = certificate(root / "node", "weft-agent")
    others = {
        "node": node,
        "controller": certificate(root / "controller", "weft-controller", by=node),
        "expired": certificate(root / "expired", "weft-controller", days=-1, by=node),
        "stranger": certificate(root / "stranger", "weft-controller"),
    }
    return {name: files(directory) for name, directory in others.items()}


def files(directory: Path) -> Files:
    return Files(*(str(directory / name) for name in ("ca.crt", "tls.crt", "tls.key")))


def tried(context: ssl.SSLContext, own: Files) -> Probed:
    with server(context) as port:
        return probe(Probe("tls", HOST, port, files=own))


def of(held: Files) -> ssl.SSLContext:
    return Credentials(held.of_daemon).server()


def test_a_port_that_is_open() -> None:
    with server() as port:
        assert probe(Probe("tcp", HOST, port)).problem == ""


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        assert probe(Probe("tcp", HOST, taken.getsockname()[1])).problem == REFUSED


def test_both_ends_accept_each_other(pki: dict[str, Files]) -> None:
    found = tried(of(pki["controller"]), pki["node"])
    assert (found.problem, found.names) == ("", ("weft-controller",))
    assert found.not_after == nodeside.certificate(pki["controller"]).not_after


def test_a_controller_whose_certificate_has_expired(pki: dict[str, Files]) -> None:
    assert tried(of(pki["expired"]), pki["node"]).problem == "TLS: certificate has expired"


def test_a_controller_of_another_authority(pki: dict[str, Files]) -> None:
    problem = tried(of(pki["stranger"]), pki["node"]).problem
    assert problem.startswith("TLS: self")
    assert problem.endswith("signed certificate in certificate chain")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_controller_that_does_not_accept_us(pki: dict[str, Files], version: ssl.TLSVersion) -> None:
    """Its certificate is one we know; ours is not one it knows."""
    context = of(Files(pki["stranger"].ca, pki["controller"].certificate, pki["controller"].key))
    context.minimum_version = context.maximum_version = version
    assert tried(context, pki["node"]).problem == "TLS: tlsv1 alert unknown ca"


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, Files]:
    """A node's and a controller's files, where each has the authority of the other as its own."""
    root = tmp_path_factory.mktemp("apart")
    node, controller = (files(certificate(root / name, name)) for name in ("weft-agent", "weft-controller"))
    return (
        Files(controller.ca, node.certificate, node.key),
        Files(node.ca, controller.certificate, controller.key),
    )


def test_a_certificate_of_an_authority_that_is_not_ours_is_in_order(apart: tuple[Files, Files]) -> None:
    node, _ = apart
    found = nodeside.certificate(node)
    assert (found.names, found.problem) == (("weft-agent",), "")
    assert min(found.not_after, found.ca_not_after) > time.time()


def test_sides_with_authorities_of_their_own_know_each_other_and_not_themselves(apart: tuple[Files, Files]) -> None:
    node, controller = apart
    found = tried(of(controller), node)
    assert (found.names, found.problem) == (("weft-controller",), "")
    assert tried(of(node), node).problem == "TLS: unable to get local issuer certificate"


def test_what_listens_does_not_speak_tls(pki: dict[str, Files]) -> None:
    with server() as port:
        assert probe(Probe("tls", HOST, port, files=pki["node"])).problem.startswith("TLS: ")


def test_files_that_are_not_there() -> None:
    found = probe(Probe("tls", HOST, 1, files=Files("/nowhere/ca", "/nowhere/crt", "/nowhere/key")))
    assert found.problem == "tls-key /nowhere/key: No such file or directory"


def test_a_kernel_that_says_no_is_an_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    assert probe(Probe("udp", HOST, port, 1400)).problem == ""


def test_nobody_says_anything() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HOST, 0))
        assert probe(Probe("udp", HOST, silent.getsockname()[1], 100)).problem == NO_ANSWER


def test_a_packet_that_this_nodes_own_interface_does_not_take() -> None:
    assert probe(Probe("udp", HOST, 9, 65536)).problem == TOO_LONG


def test_many_are_tried_side_by_side_and_told_in_order() -> None:
    with server() as port:
        probes = [Probe("tcp", HOST, port), Probe("tcp", HOST, 1)] * 20
        assert [(each.probe, each.problem) for each in probe_all(probes)] == [
            (each, "" if each.port == port else REFUSED) for each in probes
        ]


def test_what_is_in_a_certificate(pki: dict[str, Files]) -> None:
    found = nodeside.certificate(pki["node"])
    assert (found.problem, found.names) == ("", ("weft-agent",))
    assert found.not_before < found.not_after
    assert found.ca_not_after > found.not_before


def test_one_that_has_expired_is_read_all_the_same(pki: dict[str, Files]) -> None:
    found = nodeside.certificate(pki["expired"])
    assert (found.problem, found.names) == ("", ("weft-controller",))


@pytest.mark.parametrize("broken", ["ca", "certificate", "key"])
def test_files_that_are_no_certificates(pki: dict[str, Files], tmp_path: Path, broken: str) -> None:
    junk = tmp_path / "junk"
    junk.write_text("this is not PEM\n")
    held = {name: getattr(pki["node"], name) for name in ("ca", "certificate", "key")} | {broken: str(junk)}
    assert str(junk) in nodeside.certificate(Files(**held)).problem


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(pki: dict[str, Files], tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", pki["node"].key, "-out", str(locked)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    found = nodeside.certificate(Files(pki["node"].ca, pki["node"].certificate, str(locked)))
    assert found.problem == f"tls-key {locked}: is encrypted; give a key without a passphrase"

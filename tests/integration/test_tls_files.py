"""The files of tls-ca, tls-certificate and tls-key: what cannot be used, what is said of it, and replacements."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from pki_fixture import RSA, Certified, Pki

from daemon.certificates import AGENT_NAME, TlsFiles, complaint
from daemon.tls import Credentials, TlsError, examine


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def mounted(pki: Pki, tmp_path: Path) -> Certified:
    """The agent's files where a test may change them."""
    return pki.agent.put(tmp_path / "tls")


def test_what_a_certificate_says(pki: Pki) -> None:
    contents = examine(pki.agent.files)  # which may have been issued for this
    now = time.time()
    assert contents.names == {AGENT_NAME}
    assert contents.not_before <= now < contents.not_after < now + 3 * 86400
    assert contents.not_after <= contents.ca_not_after + 60
    assert complaint(pki.agent.files, contents, AGENT_NAME, now) == ""


def test_rsa_will_do(pki: Pki) -> None:
    assert examine(pki.authority.issue(AGENT_NAME, algorithm=RSA).files).names == {AGENT_NAME}


def test_an_expired_certificate_can_be_read_and_its_date_is_told(pki: Pki) -> None:
    contents = examine(pki.expired.files)
    assert contents.not_after < time.time()
    told = complaint(pki.expired.files, contents, AGENT_NAME, time.time())
    assert told.startswith(f"tls-certificate {pki.expired.certificate}: expired on 20")


def test_a_certificate_whose_authority_is_another_than_ours_is_no_mistake(pki: Pki) -> None:
    """With an authority for nodes and another for controllers, a node's certificate opens no other node."""
    assert examine(pki.stranger.files).names == {AGENT_NAME}


Damage = Callable[[Certified, Pki], object]


def _write(name: str, text: str) -> Damage:
    return lambda files, pki: getattr(files, name).write_text(text)


def _copy(name: str, of: Callable[[Pki], Path]) -> Damage:
    return lambda files, pki: shutil.copyfile(of(pki), getattr(files, name))


def _encrypt(files: Certified, pki: Pki) -> None:
    command = ["openssl", "pkcs8", "-topk8", "-in", pki.agent.key, "-out", files.key, "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)


UNUSABLE: dict[str, tuple[Damage, str]] = {
    "no authority": (lambda files, pki: files.ca.unlink(), "tls-ca {ca}: No such file or directory"),
    "no certificate": (lambda files, pki: files.certificate.unlink(), "tls-certificate {certificate}: No such file"),
    "no key": (lambda files, pki: files.key.unlink(), "tls-key {key}: No such file or directory"),
    "a directory": (
        lambda files, pki: (files.key.unlink(), files.key.mkdir()),
        "tls-key {key}: Is a directory",
    ),
    "an empty authority": (_write("ca", ""), "tls-ca {ca}: has no certificate in PEM form that can be read"),
    "a broken certificate": (
        _write("certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "tls-certificate {certificate}: has no certificate in PEM form that can be read",
    ),
    "a key for the authority": (
        _copy("ca", lambda pki: pki.agent.key),
        "tls-ca {ca}: has no certificate in PEM form",
    ),
    "a certificate for the key": (
        _copy("key", lambda pki: pki.agent.certificate),
        "tls-key {key}: has no private key in PEM form that can be read",
    ),
    "the key of another": (
        _copy("key", lambda pki: pki.controller.key),
        "tls-key {key}: is not the key of tls-certificate {certificate}",
    ),
    "the key of another kind": (
        _copy("key", lambda pki: pki.authority.issue("x", algorithm=RSA).key),
        "tls-key {key}: is not the key of tls-certificate {certificate}",
    ),
    "a key with a passphrase": (_encrypt, "tls-key {key}: is encrypted; give a key without a passphrase"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_file_that_cannot_be_used_is_named_in_one_line(mounted: Certified, pki: Pki, what: str) -> None:
    damage, words = UNUSABLE[what]
    damage(mounted, pki)
    with pytest.raises(TlsError) as caught:
        examine(mounted.files)
    told = str(caught.value)
    assert told.startswith(words.format(ca=mounted.ca, certificate=mounted.certificate, key=mounted.key))
    assert "\n" not in told


@pytest.mark.parametrize("usage", ["serverAuth", "clientAuth"])
def test_a_certificate_for_one_end_only_is_told(pki: Pki, usage: str) -> None:
    with pytest.raises(TlsError, match=r"cannot be used at both ends.*serverAuth and clientAuth"):
        examine(pki.authority.issue(AGENT_NAME, usage=usage).files)


# Replacements.


def names_shown(server: Callable[[], ssl.SSLContext], client: Callable[[], ssl.SSLContext]) -> tuple[str, str]:
    """The common names that two ends show each other in a connection that begins now."""
    ours, theirs = socket.socketpair()

    def accept() -> str:
        with server().wrap_socket(ours, server_side=True) as end:
            return _common_name(end)

    with ThreadPoolExecutor() as other:
        accepted = other.submit(accept)
        with client().wrap_socket(theirs) as end:
            return _common_name(end), accepted.result(10)


def _common_name(end: ssl.SSLSocket) -> str:
    subject = (end.getpeercert() or {})["subject"]
    return str(dict(part for each in subject for part in each)["commonName"])


def test_what_replaces_the_files_is_used_by_the_next_connection(pki: Pki, tmp_path: Path) -> None:
    first, second = pki.agent, pki.authority.issue("second")
    mounted = first.put(tmp_path / "tls")
    credentials, peer = Credentials(mounted.files), Credentials(pki.controller.files)
    assert names_shown(credentials.server, peer.client) == (AGENT_NAME, "weft-controller")
    assert credentials.server() is credentials.server(), "they are not read for every connection"
    second.put(tmp_path / "tls")
    assert names_shown(credentials.server, peer.client)[0] == "second"
    assert names_shown(peer.server, credentials.client)[1] == "second"


def test_files_that_are_replaced_by_a_link_to_others_are_read_again(pki: Pki, tmp_path: Path) -> None:
    """The kubelet's way: the files are links through one, which it turns to a new directory."""
    now, turned = tmp_path / "..data", tmp_path / "..data.new"
    pki.agent.put(tmp_path / "first")
    pki.authority.issue("second").put(tmp_path / "second")
    now.symlink_to("first")
    credentials = Credentials(TlsFiles(now / "ca.crt", now / "tls.crt", now / "tls.key"))
    peer = Credentials(pki.controller.files)
    assert names_shown(credentials.server, peer.client)[0] == AGENT_NAME
    turned.symlink_to("second")
    turned.replace(now)
    assert names_shown(credentials.server, peer.client)[0] == "second"


def test_an_authority_that_is_replaced_counts_no_more(pki: Pki, tmp_path: Path) -> None:
    mounted = pki.agent.put(tmp_path / "tls")
    credentials, peer = Credentials(mounted.files), Credentials(pki.controller.files)
    names_shown(credentials.server, peer.client)
    pki.agent.accepting(pki.other).put(tmp_path / "tls")
    with pytest.raises(ssl.SSLError):
        names_shown(credentials.server, peer.client)


def test_a_replacement_that_cannot_be_used_leaves_the_old_in_use_and_is_told(pki: Pki, tmp_path: Path) -> None:
    mounted = pki.agent.put(tmp_path / "tls")
    credentials, peer = Credentials(mounted.files), Credentials(pki.controller.files)
    assert credentials.problem(time.time()) == ""
    mounted.key.write_text("")
    assert "tls-key" in credentials.problem(time.time())
    assert names_shown(credentials.server, peer.client)[0] == AGENT_NAME
    pki.agent.put(tmp_path / "tls")
    assert credentials.problem(time.time()) == ""


def test_the_day_after_it_expires_is_told(pki: Pki) -> None:
    credentials = Credentials(pki.agent.files)
    assert credentials.problem(credentials.expires - 1) == ""
    assert "expired on" in credentials.problem(credentials.expires + 1)


def test_files_that_cannot_be_used_at_the_start_are_an_error(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(TlsError, match="tls-key"):
        Credentials(replace(pki.agent, key=tmp_path / "none").files)

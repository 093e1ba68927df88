"""Sessions across a network: TCP, and TLS with both ends known by certificate.

The client runs inside the server's namespace, as a process of its own: TLS is the same for all of a process, and no
traffic of a test leaves the namespaces that it made.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ovs_fixture import PrivateOvs, private_ovs
from pki_fixture import Certified, Pki

WAIT = 30.0
CLIENT = """
import json, queue, sys
from pathlib import Path
from controller.secured import Secured
from daemon import logs
from daemon.certificates import TlsFiles
from daemon.refusals import Refusals
from daemon.tls import Credentials
from ovsdb.changes import Lost, Synced
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import OWN
from ovsdb.tls import use_tls

def say(**told):
    print(json.dumps(told), flush=True)

remote, *files = sys.argv[1:]
logs.configure()
if files:
    credentials = Credentials(TlsFiles(*map(Path, files)))
    refusals = Refusals(lambda channel, reason: say(refused=reason, channel=channel))
    use_tls(Secured("ovsdb", credentials.client, refusals))
events = queue.Queue()
with OvsdbLoop() as loop:
    session = loop.session(remote, OWN)
    session.start(events.put)
    while True:
        event = events.get()
        if isinstance(event, Lost):
            say(lost=event.reason)
        elif isinstance(event, Synced):
            def seen(txn):
                txn.set_keys(txn.find("Bridge", "br0"), "external_ids", {"seen": "yes"})
            session.submit(seen).result(10)
            say(ports=sorted(row["name"] for row in event.tables["Port"].values()))
"""
# More than a TLS record (16 KiB) of rows, so that bytes wait inside the TLS layer between reads.
PORTS = [f"p{n:03d}" for n in range(200)]
TCP, TLS = "tcp:127.0.0.1:6640", "ssl:127.0.0.1:6641"

Told = dict[str, Any]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@contextmanager
def database(where: Path, shown: Certified) -> Iterator[PrivateOvs]:
    """A database that listens for TCP and for TLS, with this certificate."""
    with private_ovs(where, start=False) as made:
        made.start_ovsdb("--remote=ptcp:6640:127.0.0.1", "--remote=pssl:6641:127.0.0.1", *shown.ovs_flags)
        made.vsctl("--no-wait", "init", "--", "add-br", "br0")
        made.vsctl("--no-wait", *[word for name in PORTS for word in ("--", "add-port", "br0", name)][1:])
        yield made


@pytest.fixture(scope="module")
def ovs(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[PrivateOvs]:
    with database(tmp_path_factory.mktemp("ovs"), pki.agent) as made:
        yield made


class Client:
    """A session in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def next(self) -> Told:
        """What it tells next."""
        assert self.process.stdout is not None
        told: Told = json.loads(self.process.stdout.readline())
        return told

    def until(self, key: str) -> Any:
        """The value of the next thing told that has this key."""
        while key not in (told := self.next()):
            pass
        return told[key]


@contextmanager
def client(ovs: PrivateOvs, remote: str, tls: Certified | None = None) -> Iterator[Client]:
    script = ovs.root / "client.py"
    script.write_text(CLIENT)
    files = [str(path) for path in (tls.ca, tls.certificate, tls.key)] if tls else []
    process = subprocess.Popen(
        ["ip", "netns", "exec", ovs.netns, sys.executable, str(script), remote, *files],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Client(process)
    finally:
        process.kill()
        process.communicate()


def test_over_tcp(ovs: PrivateOvs) -> None:
    with client(ovs, TCP) as asking:
        assert asking.until("ports") == ["br0", *PORTS]
    assert ovs.vsctl("--no-wait", "get", "Bridge", "br0", "external_ids:seen").strip() == "yes"


def test_over_tls_with_both_ends_certified(ovs: PrivateOvs, pki: Pki) -> None:
    with client(ovs, TLS, pki.controller) as asking:
        assert asking.next() == {"ports": ["br0", *PORTS]}


def test_a_port_that_nobody_listens_on_is_named_and_nothing_is_counted(ovs: PrivateOvs, pki: Pki) -> None:
    for remote, tls in (("tcp:127.0.0.1:6699", None), ("ssl:127.0.0.1:6699", pki.controller)):
        with client(ovs, remote, tls) as asking:
            assert asking.next() == {"lost": f"{remote}: cannot connect: Connection refused"}


def test_tls_without_files_names_the_settings(ovs: PrivateOvs) -> None:
    with client(ovs, TLS) as asking:
        _, errors = asking.process.communicate(timeout=WAIT)
    assert "ssl: needs the settings tls-ca, tls-certificate and tls-key" in errors


# Servers that are not spoken to.

REASONS = {
    "expired": "certificate has expired",
    "unknown-ca": "unable to get local issuer certificate",
    "wrong-name": "has not the DNS name weft-agent",
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_server_with_a_wrong_certificate_is_not_spoken_to(tmp_path: Path, pki: Pki, reason: str) -> None:
    shown = {"expired": pki.expired, "unknown-ca": pki.stranger, "wrong-name": pki.misnamed}[reason]
    with database(tmp_path, shown) as ovs, client(ovs, TLS, pki.controller) as asking:
        assert asking.next() == {"refused": reason, "channel": "ovsdb"}
        assert REASONS[reason] in asking.until("lost")
        assert ovs.vsctl("--no-wait", "--bare", "--columns=name", "find", "Bridge", "external_ids:seen=yes") == ""


@pytest.mark.parametrize("wrong", ["expired", "stranger"])
def test_a_server_that_does_not_accept_our_certificate_is_counted(ovs: PrivateOvs, pki: Pki, wrong: str) -> None:
    with client(ovs, TLS, getattr(pki, wrong)) as asking:
        assert asking.next() == {"refused": "refused-us", "channel": "ovsdb"}
        assert "it refuses us: " in asking.until("lost")


def test_a_server_without_tls_is_told(ovs: PrivateOvs, pki: Pki) -> None:
    """It waits for JSON to begin, and so never answers."""
    with client(ovs, "ssl:127.0.0.1:6640", pki.controller) as asking:
        assert asking.next()["refused"] in ("timeout", "closed")


def test_a_server_that_is_silent_is_given_up_and_does_not_keep_the_client_busy(ovs: PrivateOvs, pki: Pki) -> None:
    ovs_pid = ovs.pid("ovsdb-server")
    with client(ovs, TLS, pki.controller) as asking:
        asking.until("ports")
        # The kernel accepts for a server that hangs.
        ovs.run("kill", "-STOP", str(ovs_pid))
        try:
            with client(ovs, TLS, pki.controller) as silent:
                assert silent.next() == {"refused": "timeout", "channel": "ovsdb"}
                busy, since = cpu_seconds(silent.process.pid), time.monotonic()
                assert silent.until("refused") == "timeout"
                assert cpu_seconds(silent.process.pid) - busy < (time.monotonic() - since) / 2
        finally:
            ovs.run("kill", "-CONT", str(ovs_pid))


def cpu_seconds(pid: int) -> float:
    """What a process has used until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_with_an_authority_for_each_side_a_nodes_certificate_opens_no_other_node(tmp_path: Path, pki: Pki) -> None:
    """`other` signs nodes here, and controllers are `authority`'s."""
    node, controller = pki.other.issue("weft-agent").accepting(pki.authority), pki.controller.accepting(pki.other)
    with database(tmp_path, node) as ovs:
        with client(ovs, TLS, controller) as asking:
            assert asking.next() == {"ports": ["br0", *PORTS]}
        with client(ovs, TLS, pki.other.issue("weft-agent").accepting(pki.other)) as stolen:
            assert stolen.next() == {"refused": "refused-us", "channel": "ovsdb"}


# Certificates that are replaced.


def test_a_certificate_replaced_in_place_is_used_by_the_next_connection(
    tmp_path: Path, ovs: PrivateOvs, pki: Pki
) -> None:
    mounted = pki.stranger.put(tmp_path / "tls")
    with client(ovs, TLS, mounted) as asking:
        assert asking.until("refused") == "refused-us"
        pki.controller.put(tmp_path / "tls")
        assert asking.until("ports") == ["br0", *PORTS]

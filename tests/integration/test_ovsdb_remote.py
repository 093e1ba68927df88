"""Sessions across a network: TCP, and TLS with both ends known by certificate.

The client runs inside the server's namespace, as a process of its own: TLS files are per process, and no traffic of
a test leaves the namespaces that it made.
"""

import subprocess
import sys

import pytest
from ovs_fixture import private_ovs

CLIENT = """
import queue, sys
from ovsdb.changes import Lost, Synced
from ovsdb.loop import OvsdbLoop, use_tls
from ovsdb.schema import OWN
remote, *tls = sys.argv[1:]
if tls:
    use_tls(*tls)
events = queue.Queue()
with OvsdbLoop() as loop:
    session = loop.session(remote, OWN)
    session.start(events.put)
    event = events.get(timeout=10)
    if isinstance(event, Lost):
        sys.exit(event.reason)
    print(sorted(row["name"] for row in event.tables["Port"].values()))
    def work(txn):
        txn.set_keys(txn.find("Bridge", "br0"), "external_ids", {"seen": "yes"})
    session.submit(work).result(10)
"""
# More than a TLS record (16 KiB) of rows, so that bytes wait inside the TLS layer between reads.
PORTS = [f"p{n:03d}" for n in range(200)]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A certificate authority with one certificate, and another authority that signed nothing here."""
    where = tmp_path_factory.mktemp("pki")
    for name in ("ca", "stranger"):
        _openssl(
            where, f"req -x509 -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.pem -days 1"
        )
    _openssl(where, "req -new -newkey rsa:2048 -nodes -subj /CN=node -keyout node.key -out node.csr")
    _openssl(where, "x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out node.pem -days 1")
    return where


def _openssl(where, arguments):
    subprocess.run(["openssl", *arguments.split()], cwd=where, check=True, capture_output=True, timeout=60)


@pytest.fixture
def ovs(tmp_path, pki):
    tls = [f"--private-key={pki}/node.key", f"--certificate={pki}/node.pem", f"--ca-cert={pki}/ca.pem"]
    with private_ovs(tmp_path, start=False) as made:
        made.start_ovsdb("--remote=ptcp:6640:127.0.0.1", "--remote=pssl:6641:127.0.0.1", *tls)
        made.vsctl("--no-wait", "init", "--", "add-br", "br0")
        made.vsctl("--no-wait", *[word for name in PORTS for word in ("--", "add-port", "br0", name)][1:])
        yield made


def client(ovs, *args):
    script = ovs.root / "client.py"
    script.write_text(CLIENT)
    return ovs.run(sys.executable, str(script), *args)


def test_over_tcp(ovs):
    assert client(ovs, "tcp:127.0.0.1:6640").strip() == str(["br0", *PORTS])
    assert ovs.vsctl("--no-wait", "get", "Bridge", "br0", "external_ids:seen").strip() == "yes"


def test_over_tls_with_both_ends_certified(ovs, pki):
    files = (f"{pki}/node.key", f"{pki}/node.pem", f"{pki}/ca.pem")
    assert client(ovs, "ssl:127.0.0.1:6641", *files).strip() == str(["br0", *PORTS])


def test_a_server_of_another_authority_is_not_spoken_to(ovs, pki):
    files = (f"{pki}/node.key", f"{pki}/node.pem", f"{pki}/stranger.pem")
    with pytest.raises(RuntimeError, match="cannot connect"):
        client(ovs, "ssl:127.0.0.1:6641", *files)


def test_a_port_that_nobody_listens_on_is_named(ovs):
    with pytest.raises(RuntimeError, match=r"tcp:127\.0\.0\.1:6699: cannot connect: Connection refused"):
        client(ovs, "tcp:127.0.0.1:6699")


def test_tls_without_files_says_so(ovs):
    with pytest.raises(RuntimeError, match=r"ValueError.*\(use_tls\)"):
        client(ovs, "ssl:127.0.0.1:6641")

"""The whole of a real database, and what is said when there is none."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from ovs_fixture import private_ovs

from ovsdb.dump import read
from ovsdb.errors import OvsdbError


def test_every_table_and_column(tmp_path: Path) -> None:
    with private_ovs(tmp_path) as ovs:
        ovs.vsctl(
            "add-br",
            "br0",
            "--",
            "set",
            "Bridge",
            "br0",
            "other_config:a=b",
            "protocols=OpenFlow15",
            "datapath_type=netdev",
        )
        ovs.vsctl("set-ssl", "/t/key", "/t/crt", "/t/ca", "--", "set-manager", "pssl:6640:127.0.0.1")
        found = read(ovs.db_socket)
    (bridge,) = found["Bridge"].values()
    assert (bridge["name"], bridge["other_config"]) == ("br0", {"a": "b"})
    # A set of one, an empty one, what may be missing and is, and is not.
    assert (bridge["protocols"], bridge["mirrors"], bridge["fail_mode"]) == (["OpenFlow15"], [], None)
    assert [found["Port"][each]["name"] for each in bridge["ports"]] == ["br0"]
    (interface,) = found["Interface"].values()
    assert interface["ofport"] == 65534
    (ssl,) = found["SSL"].values()
    assert (ssl["private_key"], ssl["certificate"], ssl["ca_cert"]) == ("/t/key", "/t/crt", "/t/ca")
    assert [row["target"] for row in found["Manager"].values()] == ["pssl:6640:127.0.0.1"]
    assert found["sFlow"] == {}


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(OvsdbError, match=r"db.sock: no such socket; is ovsdb-server running\?"):
        read(tmp_path / "db.sock")


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"id":0,"result":null,"error":"no"}', b"HTTP/1.1 400 Bad Request\r\n"]
)
def test_something_else_answers(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "db.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_say, args=(listening, answer))
        thread.start()
        with pytest.raises(OvsdbError, match="what answers is no Open vSwitch database"):
            read(path, timeout=5)
        thread.join()


def test_nobody_answers_in_time(tmp_path: Path) -> None:
    path = tmp_path / "db.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with pytest.raises(OvsdbError, match="no answer in time"):
            read(path, timeout=0.2)


def _say(listening: socket.socket, answer: bytes) -> None:
    peer, _ = listening.accept()
    with peer:
        peer.recv(1000)
        peer.sendall(answer)

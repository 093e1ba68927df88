"""A server that does not speak OVSDB: the session says so, tries again, and leaves its neighbours in peace."""

import queue
import socket
import threading

import pytest
from ovs_fixture import private_ovs

from ovsdb.changes import Lost, Synced
from ovsdb.errors import OvsdbUnavailable
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import WATCH

WAIT = 10

ANSWERS = {
    "no JSON": b"hello\n",
    "not an object": b"[1,2,3]",
    "not JSON-RPC": b'{"a":1}',
    "half a message, then nothing": b'{"id":',
    "a result of another shape": b'{"id":0,"result":5,"error":null}',
    "rows of a table that nobody asked for": b'{"id":null,"method":"update2","params":[null,{"Nonsense":{}}]}',
    "an update of another shape": b'{"id":null,"method":"update3","params":[1,2,3]}',
    "bytes that are not UTF-8": b'{"\xff\xfe":1}',
}


class Impostor:
    """Accepts connections, answers each with the same bytes, and hangs up."""

    def __init__(self, path, answer):
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(WAIT)
                peer.recv(65536)
                peer.sendall(self._answer)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_impostor_is_lost_and_its_neighbour_is_not(tmp_path, tmp_path_factory, answer):
    path = tmp_path_factory.mktemp("s") / "db.sock"
    impostor = Impostor(path, answer)
    try:
        with private_ovs(tmp_path, start=False) as ovs, OvsdbLoop() as loop:
            ovs.start_ovsdb()
            heard, neighbour = queue.Queue(), queue.Queue()
            session = loop.session(f"unix:{path}", WATCH)
            session.start(heard.put)
            assert isinstance(heard.get(timeout=WAIT), Lost)
            with pytest.raises(OvsdbUnavailable):
                session.submit(lambda txn: None, timeout_s=0.2).result(WAIT)
            loop.session(ovs.remote, WATCH).start(neighbour.put)
            assert isinstance(neighbour.get(timeout=WAIT), Synced)
    finally:
        impostor.close()

"""An ovs-vswitchd of another version, as far as anybody can ask: its control socket is answered by the test."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NOBODY = 4194305  # above the largest process id there is (proc(5), pid_max)


@contextmanager
def running_version(rundir: Path, version: str) -> Iterator[None]:
    """While in the block, whoever asks the ovs-vswitchd of this run directory for its version hears this one."""
    pidfile, aside = rundir / "ovs-vswitchd.pid", rundir / "ovs-vswitchd.pid.aside"
    control = rundir / f"ovs-vswitchd.{_NOBODY}.ctl"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(control))
        listener.listen()
        thread = threading.Thread(target=_answer, args=(listener, f"ovs-vswitchd (Open vSwitch) {version}"))
        thread.start()
        pidfile.rename(aside)  # the switch holds a lock on the file itself
        try:
            pidfile.write_text(f"{_NOBODY}\n")
            yield
        finally:
            aside.rename(pidfile)
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            control.unlink()


def _answer(listener: socket.socket, version: str) -> None:
    """Until the listener is shut down. Only `version` is a command; anything else is answered with an error."""
    with suppress(OSError):
        while True:
            peer, _ = listener.accept()
            with peer:
                asked = json.loads(peer.recv(65536))
                known = asked["method"] == "version"
                reply = (
                    {"result": version, "error": None} if known else {"result": None, "error": "not a valid command"}
                )
                peer.sendall(json.dumps({"id": asked["id"], **reply}).encode())

"""Target: bytes on the CNI socket, to the answer: server, verbs and attacher over a database that is not there.

Nothing of the host is touched: ADD stops at a node that is not ready, the other verbs at the ledger they cannot read.
"""

import json
import os
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from random import Random

from prometheus_client import generate_latest

from cni.errors import ErrorCode
from cni.frame import Answer, FrameError, Request, RequestParser, decode_answer
from cni.netconf import VERBS
from daemon import logs
from fuzz.laws import demand, demand_error
from fuzz.mutate import Check, Mutate, mutated_request
from node_agent.attach import Attacher, NodeNetwork, Surroundings
from node_agent.bridge import NodeBridge
from node_agent.failures import KEPT, Failures
from node_agent.metrics import Metrics
from node_agent.server import CniServer
from node_agent.verbs import Verbs
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import OWN

LIMIT = 20.0  # seconds until the server counts as hung
MAX_METRICS_BYTES = 64 * 1024
CODES = frozenset(ErrorCode) - {ErrorCode.INTERNAL}  # that one says that Weft has a defect
_SILENT = ("DEL", "GC", "STATUS")  # verbs that may succeed here, printing nothing


@contextmanager
def opened() -> Iterator[Check]:
    """The law, for a server that runs meanwhile. It has to be root, whom alone the server answers."""
    if os.geteuid() != 0:
        raise PermissionError("the target `server` needs root: the agent answers nobody else")
    metrics = Metrics()
    failures = Failures("node", metrics.failures)
    with _logs_to_nowhere(), tempfile.TemporaryDirectory() as directory, OvsdbLoop() as loop:
        path = Path(directory) / "cni.sock"
        server = CniServer(str(path), _verbs(loop, metrics).serve, refused=failures.record)
        server.start()
        try:
            yield lambda data: _check(data, path, lambda: _demand_told(metrics, failures))
        finally:
            server.stop()


def mutate(data: bytes, random: Random, plain: Mutate) -> bytes:
    return plain(data) if random.random() < 0.3 else mutated_request(data, random, plain)


@contextmanager
def _logs_to_nowhere() -> Iterator[None]:
    """Lines are rendered as by the daemon, which must not fail either, and dropped. For a process of its own: there
    is no way back to other logs."""
    with open(os.devnull, "w") as nowhere:
        with redirect_stderr(nowhere):
            logs.configure()
        yield


def _verbs(loop: OvsdbLoop, metrics: Metrics) -> Verbs:
    switch = NodeBridge(loop.session("unix:/nowhere/db.sock", OWN), "br-int")
    around = Surroundings(_no_network, lambda _: None, lambda _: (), lambda _: False, lambda _: {}, lambda _: "")
    return Verbs(Attacher(switch, around, seed=1), lambda: ["this node takes no pods"], lambda: (), metrics)


def _no_network() -> NodeNetwork:
    raise LookupError("no ADD comes this far")


def _check(data: bytes, path: Path, told_elsewhere: Callable[[], None]) -> None:
    """What is no request is told so, what is half a request is not answered, and a request gets its verb's answer."""
    told = _ask(path, data)
    try:
        request = RequestParser().feed(data)
    except FrameError:
        _demand_refused(decode_answer(told), {ErrorCode.IO_FAILURE})
        return
    if request is None:
        demand(told == b"", "half a request gets no answer")
        return
    _check_answer(decode_answer(told), request)
    if request.env.get("CNI_COMMAND") not in VERBS:  # to print them takes ten times as long as to serve a request
        told_elsewhere()


def _demand_told(metrics: Metrics, failures: Failures) -> None:
    demand(len(generate_latest(metrics.registry)) <= MAX_METRICS_BYTES, "requests do not make metrics grow")
    demand(len(json.loads(failures.report())["failures"]) <= KEPT, "failures are kept up to a number")


def _check_answer(answer: Answer, request: Request) -> None:
    if answer.status:
        _demand_refused(answer, CODES)
        return
    demand(request.env.get("CNI_COMMAND") in _SILENT, "a success where nothing can be done")
    demand(answer.stdout == b"", "a success of these verbs prints nothing")


def _demand_refused(answer: Answer, codes: Collection[int]) -> None:
    demand(answer.status == 1, f"a refusal has exit status 1, not {answer.status}")
    demand_error(answer.stdout, codes)


def _ask(path: Path, data: bytes) -> bytes:
    """What comes back until the end. It may answer and close before it has read everything."""
    told = b""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(LIMIT)
        peer.connect(str(path))
        with suppress(BrokenPipeError):
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while chunk := peer.recv(1 << 16):
                told += chunk
    return told

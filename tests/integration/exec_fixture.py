"""A door to a lab that is like a real cluster's: pods of agents, in which the API server executes programs.

The lab's own API serves everything else. An exec runs in the network of the pod's node, by the protocol that kubelets
speak (WebSocket, RFC 6455; sub-protocols v4 and v5 of channel.k8s.io: KEP-4006).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import selectors
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from lab import names
from lab.lab import Lab

ROOT = Path(__file__).parent.parent.parent
SPACE = "weft-system"
FORBIDDEN = "of-somebody-without-rights"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10
_STDIN, _STDOUT, _STDERR, _STATUS, _CLOSING = 0, 1, 2, 3, 255

Obj = dict[str, Any]


@dataclass
class Door:
    """Where it is, the controller's port, and what has been executed. `broken` are pods in which nothing can be."""

    lab: Lab
    tls: Path
    port: int = 0
    health: int = 0
    execs: list[tuple[str, list[str]]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def kubeconfig(self, path: Path, token: str = "of-an-admin", contexts: tuple[str, ...] = ("main",)) -> Path:
        """A kubeconfig whose first context is the current one; the others lead nowhere."""
        servers = dict.fromkeys(contexts, "https://localhost:9") | {contexts[0]: f"https://localhost:{self.port}"}
        authority = str(self.tls / "ca.crt")
        held = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": contexts[0],
            "clusters": [
                {"name": name, "cluster": {"server": server, "certificate-authority": authority}}
                for name, server in servers.items()
            ],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in contexts],
        }
        path.write_text(yaml.safe_dump(held))
        return path


def pods(lab: Lab) -> list[Obj]:
    """The namespace and pods of an installed Weft: an agent on every node, and a controller."""
    space: Obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    agents = [_pod(f"weft-agent-{node.name}", "agent", node.name) for node in lab.config.node_configs()]
    controller = _pod("weft-controller-0", "controller", "node1")
    controller["spec"]["containers"][0]["ports"] = [{"name": "ctrl-health", "containerPort": health_port(lab)}]
    return [space, *agents, controller]


def health_port(lab: Lab) -> int:
    """The port of the controller's health-address."""
    settings = yaml.safe_load(lab.paths.controller_config.read_text())
    return int(settings["health-address"].rpartition(":")[2])


def _pod(name: str, component: str, node: str) -> Obj:
    labels = {"app.kubernetes.io/name": "weft", "app.kubernetes.io/component": component}
    container = {"name": f"weft-{component}", "image": "registry.k8s.io/pause:3.9"}
    spec = {"nodeName": node, "hostNetwork": True, "containers": [container]}
    metadata = {"name": name, "namespace": SPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@contextmanager
def door_to(lab: Lab, tls: Path) -> Iterator[Door]:
    """A door that is open. `tls` is a directory with a certificate for localhost."""
    door = Door(lab, tls, health=health_port(lab))
    handler = type("Handler", (_Handler,), {"door": door})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    door.port = server.server_address[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    door: Door
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.headers.get("Authorization") == f"Bearer {FORBIDDEN}" and path.endswith(("/exec", "/log")):
            self._refuse(403, f'pods "x" is forbidden: User "me" cannot create resource "{path.rsplit("/", 1)[1]}"')
        elif path.endswith("/exec"):
            self._execute(path.split("/")[-2])
        elif path.endswith("/log"):
            self._tell(200, "text/plain", f"the log of {path.split('/')[-2]}: password=s3cr3t\n".encode())
        else:
            self._pass_on()

    def do_POST(self) -> None:
        """kubectl asks for WebSockets by GET, and falls back to SPDY by POST."""
        self._refuse(400, "this door has no SPDY")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""

    def _pass_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.door.lab.api.port, timeout=30)
        headers = {"Accept": self.headers.get("Accept", "application/json")}
        connection.request("GET", self.path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if urlsplit(self.path).path == f"/api/v1/namespaces/{SPACE}/pods":
            body = self._with_arguments(body)
        self._tell(answer.status, answer.headers.get_content_type(), body)
        connection.close()

    def _with_arguments(self, body: bytes) -> bytes:
        """Agents with their command lines, with which the lab's runtime could not start anything."""
        document = json.loads(body)
        for pod in document.get("items", ()):
            node = pod["spec"]["nodeName"]
            if pod["metadata"]["name"].startswith("weft-agent-"):
                config = self.door.lab.paths.node(node).agent_config
                pod["spec"]["containers"][0]["args"] = [f"--config={config}", "--node-name=$(NODE_NAME)"]
        return json.dumps(document).encode()

    def _refuse(self, status: int, message: str) -> None:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
        self._tell(status, "application/json", json.dumps(body).encode())

    def _tell(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _execute(self, pod: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.door.execs.append((pod, query["command"]))
        if pod in self.door.broken:
            self._refuse(500, f"container {query['container'][0]} is not running")
            return
        offered = [each.strip() for each in self.headers["Sec-WebSocket-Protocol"].split(",")]
        protocol = next(each for each in ("v5.channel.k8s.io", "v4.channel.k8s.io") if each in offered)
        digest = hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + _GUID).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.send_header("Sec-WebSocket-Protocol", protocol)
        self.end_headers()
        self.close_connection = True
        _Session(self.connection, self._process(pod, query["command"])).run()

    def _process(self, pod: str, command: list[str]) -> subprocess.Popen[bytes]:
        """The command in the network of the pod's node, with the image's programs: this checkout's."""
        node = next(name for name in ("node1", "node2") if pod.endswith(name) or pod == "weft-controller-0")
        space = names.node_namespace(self.door.lab.config.name, node)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        # The lab's controller is on no node's network.
        on_node = f":{self.door.health}" not in command[-1]
        return subprocess.Popen(
            [*(("nsenter", f"--net=/run/netns/{space}") if on_node else ()), *command],
            env={"PATH": path, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


class _Session:
    """One execution over an upgraded connection. By one thread: two may not read and write one TLS connection at a
    time, with Python before 3.13."""

    def __init__(self, connection: ssl.SSLSocket, process: subprocess.Popen[bytes]) -> None:
        self._connection = connection
        self._process = process

    def run(self) -> None:
        with self._process as process, selectors.DefaultSelector() as selector:
            self._pass_on(selector)
            code = process.wait()
        status: Obj = {"status": "Success"}
        if code:
            cause = {"reason": "ExitCode", "message": str(code)}
            message = f"command terminated with non-zero exit code: exit status {code}"
            status = {"status": "Failure", "message": message, "details": {"causes": [cause]}}
        self._send(_BINARY, bytes([_STATUS]) + json.dumps(status).encode())
        self._send(_CLOSE, struct.pack("!H", 1000))

    def _pass_on(self, selector: selectors.BaseSelector) -> None:
        """Until the process has ended what it writes."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        channels = {self._process.stdout.fileno(): _STDOUT, self._process.stderr.fileno(): _STDERR}
        for fd in (*channels, self._connection.fileno()):
            selector.register(fd, selectors.EVENT_READ)
        hears = True
        while channels:
            # What TLS has decrypted already shows on no socket.
            waiting = hears and self._connection.pending() > 0
            ready = {key.fd for key, _ in selector.select(0 if waiting else None)}
            if hears and (waiting or self._connection.fileno() in ready) and not self._hear():
                hears = False
                selector.unregister(self._connection.fileno())
            for fd in ready & channels.keys():
                data = os.read(fd, 1 << 15)
                if data:
                    self._send(_BINARY, bytes([channels[fd]]) + data)
                else:
                    selector.unregister(fd)
                    del channels[fd]

    def _hear(self) -> bool:
        """Hand on what the client writes. False when it hangs up: the process has the end of its input then."""
        assert self._process.stdin is not None
        with suppress(OSError):
            opcode, data = self._frame()
            if opcode == _PING:
                self._send(_PONG, data)
                return True
            if opcode != _CLOSE and data[:1] != bytes([_CLOSING]):
                if data[:1] == bytes([_STDIN]):
                    self._process.stdin.write(data[1:])
                    self._process.stdin.flush()
                return True
        with suppress(OSError):
            self._process.stdin.close()
        return False

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._take(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        mask = self._take(4)
        data = self._take(size)
        return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._connection.recv(size - len(data))
            if not chunk:
                raise ConnectionError
            data += chunk
        return data

    def _send(self, opcode: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = bytes([0x80 | opcode, size])
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
        with suppress(OSError):  # somebody who has hung up does not keep the process waiting
            self._connection.sendall(head + data)

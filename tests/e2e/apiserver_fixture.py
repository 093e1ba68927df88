"""A real Kubernetes API server with its etcd, in a directory of its own, on loopback addresses only.

Nothing but the API: no controllers, no scheduler, no kubelet. Enough to have objects validated, admitted and
authorized by what will do so in a cluster.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import yaml
from programs_fixture import program

WAIT = 60.0

Obj = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the API server says to one request."""

    status: int
    body: Obj

    @property
    def message(self) -> str:
        """Its words, when it refuses."""
        return str(self.body.get("message", ""))


@dataclass(frozen=True)
class ApiServer:
    """A running API server. `kubeconfig` is its administrator's."""

    directory: Path
    port: int
    kubeconfig: Path
    token: str

    @property
    def authority(self) -> Path:
        """Who has signed its certificate: it makes both itself."""
        return self.directory / "certificates" / "apiserver.crt"

    def kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """kubectl as the administrator; whether it succeeded is the caller's to see."""
        command = [str(program("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments]
        # Its cache of what the API serves is this API's alone.
        env = {**os.environ, "KUBECACHEDIR": str(self.directory / "cache")}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=WAIT, env=env, check=False
        )

    def get(self, path: str) -> Obj:
        """An object by its path, as the administrator."""
        answer = self.request("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def request(
        self, method: str, path: str, body: object = None, *, token: str = "", content: str = "application/json"
    ) -> Answer:
        """One request, as whoever has the token (the administrator)."""
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=WAIT, context=self._tls())
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": content}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read()))
        finally:
            connection.close()

    def create(self, path: str, body: Obj) -> Obj:
        """A new object, as the administrator."""
        answer = self.request("POST", path, body)
        assert answer.status in (200, 201), answer
        return answer.body

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)

    def merge(self, path: str, patch: Obj, token: str) -> Answer:
        """A JSON merge patch, as whoever has the token."""
        return self.request("PATCH", path, patch, token=token, content="application/merge-patch+json")


@contextmanager
def running(directory: Path, services: str = "10.96.0.0/16", advertised: str = "127.0.0.1") -> Iterator[ApiServer]:
    """An API server that keeps all it has in `directory`, until the end of the block.

    `services` is the range of Services' addresses, `advertised` an address of the same family, which nobody needs to
    reach.
    """
    with ExitStack() as stack:
        etcd = _etcd(stack, directory)
        addresses = {"service-cluster-ip-range": services, "advertise-address": advertised}
        server = _apiserver(stack, directory, {"etcd-servers": etcd, **addresses})
        _until_ready(server)
        yield server


def free_port() -> int:
    """A TCP port that nobody uses on 127.0.0.1."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _etcd(stack: ExitStack, directory: Path) -> str:
    """Starts etcd; its URL."""
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    flags = {
        "data-dir": directory / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "unsafe-no-fsync": "true",  # it is gone in a minute
    }
    _start(stack, directory, "etcd", flags)
    return client


def _apiserver(stack: ExitStack, directory: Path, chosen: Mapping[str, object]) -> ApiServer:
    key, tokens, port, token = directory / "accounts.key", directory / "tokens.csv", free_port(), secrets.token_hex()
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True, timeout=WAIT)
    tokens.write_text(f"{token},admin,admin,system:masters\n")
    flags = {
        **chosen,
        "cert-dir": directory / "certificates",
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "token-auth-file": tokens,
        "authorization-mode": "Node,RBAC",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": key,
        "service-account-signing-key-file": key,
        "allow-privileged": "true",
        "endpoint-reconciler-type": "none",
    }
    _start(stack, directory, "kube-apiserver", flags)
    server = ApiServer(directory, port, directory / "kubeconfig", token)
    server.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(port, token, server.authority)))
    return server


def _start(stack: ExitStack, directory: Path, name: str, flags: Mapping[str, object]) -> None:
    """A process that ends with the stack, and with us if we are killed."""
    command = ["setpriv", "--pdeathsig", "KILL", str(program(name))]
    command += [f"--{flag}={value}" for flag, value in flags.items()]
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
    stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def _kubeconfig(port: int, token: str, authority: Path) -> Obj:
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "admin"}}],
        "current-context": "e2e",
    }


def _until_ready(server: ApiServer) -> None:
    deadline = time.monotonic() + WAIT
    while not _ready(server):
        log = server.directory / "kube-apiserver.log"
        assert time.monotonic() < deadline, f"no API server: {log.read_text(errors='replace')[-4000:]}"
        time.sleep(0.2)


def _ready(server: ApiServer) -> bool:
    """Whether all is there that it makes at its start."""
    made = ("/api/v1/namespaces/default", "/api/v1/namespaces/default/services/kubernetes")
    try:
        return all(server.request("GET", path).status == 200 for path in made)
    except OSError:  # nobody listens, or the certificate is not made yet
        return False

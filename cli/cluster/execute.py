"""Runs programs in containers through the Kubernetes API, as `kubectl exec` does.

The official package speaks the protocol (WebSocket, sub-protocols v4 and v5 of channel.k8s.io).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.errors import CliError

TIMEOUT_SECONDS = 90.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Container:
    """A container that runs."""

    namespace: str
    pod: str
    name: str

    def __str__(self) -> str:
        return f"container {self.name} of pod {self.namespace}/{self.pod}"


class Executor:
    """Executes in the containers of one cluster. Any number of threads may use it."""

    def __init__(self, kubeconfig: str, context: str) -> None:
        """`kubeconfig`: a path, or several with colons between, "" for the usual one. CliError: it cannot be used."""
        from kubernetes.client import Configuration
        from kubernetes.config import load_kube_config

        self._configuration = Configuration()
        try:
            load_kube_config(kubeconfig or None, context or None, client_configuration=self._configuration)
        except Exception as e:  # a file of the wrong shape makes the package stumble in any number of ways
            where = f"kubeconfig {kubeconfig or '(default)'}"
            raise CliError(f"{where}: {type(e).__name__}: {' '.join(str(e).split())}") from e

    def start(self, container: Container, argv: Sequence[str]) -> Any:
        """The program's streams, as the package's WSClient, in bytes. CliError: it is not started, and why."""
        from kubernetes.client import ApiClient, CoreV1Api
        from kubernetes.client.exceptions import ApiException
        from kubernetes.stream import stream

        # While it starts one, the package changes the client, so each has its own.
        api = CoreV1Api(ApiClient(self._configuration))
        try:
            return stream(
                api.connect_get_namespaced_pod_exec,
                container.pod,
                container.namespace,
                container=container.name,
                command=list(argv),
                stdin=True,
                stdout=True,
                stderr=True,
                tty=False,
                binary=True,
                _preload_content=False,
            )
        except ApiException as e:
            raise CliError(f"cannot execute in {container}: {reason(e)}") from e

    def run(self, container: Container, argv: Sequence[str], said: bytes, timeout: float = TIMEOUT_SECONDS) -> bytes:
        """What a program prints that is told this line on its standard input. CliError: it fails, in its own words,
        or has not ended after `timeout` seconds."""
        from websocket import WebSocketException

        client = self.start(container, argv)
        try:
            client.write_stdin(said + b"\n")
            out, err = _read(client, time.monotonic() + timeout)
            if client.is_open():
                raise CliError(f"{container} did not answer within {timeout:g} s")
            status = _status(client)
        except (OSError, WebSocketException) as e:
            raise CliError(f"the connection to {container} broke: {e}") from e
        finally:
            client.close()
        if status:
            raise CliError(f"{container}: {err.decode(errors='replace').strip() or status}")
        return out


def _read(client: Any, until: float) -> tuple[bytes, bytes]:
    """What the program writes to its two outputs, to the end or until that time."""
    out, err = [], []
    while client.is_open() and time.monotonic() < until:
        client.update(timeout=_POLL_SECONDS)
        out.append(client.read_stdout(timeout=0))
        err.append(client.read_stderr(timeout=0))
    return b"".join(out), b"".join(err)


def _status(client: Any) -> str:
    """How the program ended: "" when well, else in words (channel 3 has a meta/v1 Status)."""
    from kubernetes.stream.ws_client import ERROR_CHANNEL

    said = client.read_channel(ERROR_CHANNEL)
    try:
        status = json.loads(said)
    except ValueError:
        return "the connection ended before the program did"
    return "" if status.get("status") == "Success" else str(status.get("message") or "it failed")


def reason(error: Any) -> str:
    """Why a WebSocket was refused, in the API's own words: the package keeps them in what its ApiException hides."""
    refusal = error.__context__
    try:
        return str(json.loads(refusal.resp_body)["message"])
    except (AttributeError, ValueError, KeyError, TypeError):
        code = getattr(refusal, "status_code", None)
        if code is not None:
            return f"{code} {getattr(refusal, 'status_message', None) or ''}".strip()
        return " ".join(str(error.reason).split())

"""The kubelet's side of the Container Runtime Interface, as far as a pod's sandbox: gRPC by hand, over curl.

Messages are of k8s.io/cri-api `runtime/v1/api.proto`. Here a message is a mapping from field numbers to a number, to
text, to another message, or to a list of these; an answer has a list for every field. A gRPC message is the body of
an HTTP/2 request behind a head of five bytes, and the outcome is in the trailers `grpc-status` and `grpc-message`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

SECONDS = 60
_VARINT, _BYTES = 0, 2
_HEAD = 5  # a byte that says "not compressed", and the length

Message = Mapping[int, Any]
Answer = dict[int, list[Any]]


class CriError(Exception):
    """A call that the runtime refused, in its own words."""


@dataclass(frozen=True)
class PodSandboxStatus:
    """Of a sandbox; `ready` is what the kubelet looks at, `ips` what it writes into the Pod."""

    ready: bool
    ips: tuple[str, ...]


def sandbox_config(meta: Mapping[str, str], **asked: Message | list[Message]) -> Message:
    """A PodSandboxConfig of the pod with this metadata. `asked`: what `dns`, `port` and `annotations` return."""
    fields = {_ASKED[what]: message for what, message in asked.items()}
    return {1: {1: meta["name"], 2: meta["uid"], 3: meta["namespace"]}, 2: meta["name"], **fields}


_ASKED = {"dns": 4, "port": 5, "annotations": 7}


def dns(servers: list[str], searches: list[str], options: list[str]) -> Message:
    return {1: servers, 2: searches, 3: options}


def port(host: int, container: int) -> Message:
    """A PortMapping, of TCP."""
    return {2: container, 3: host}


def annotations(**values: str) -> list[Message]:
    """Of the Pod; a map is a list of messages with key and value."""
    return [{1: key, 2: value} for key, value in values.items()]


@dataclass(frozen=True)
class Cri:
    """A runtime, by its socket."""

    socket: Path

    def run_pod_sandbox(self, config: Message) -> str:
        """Returns the sandbox's id. `config` is a PodSandboxConfig."""
        return str(self._runtime("RunPodSandbox", {1: config})[1][0].decode())

    def stop_pod_sandbox(self, sandbox: str) -> None:
        self._runtime("StopPodSandbox", {1: sandbox})

    def remove_pod_sandbox(self, sandbox: str) -> None:
        self._runtime("RemovePodSandbox", {1: sandbox})

    def pod_sandbox_status(self, sandbox: str) -> PodSandboxStatus:
        status = decode(self._runtime("PodSandboxStatus", {1: sandbox})[1][0])
        network = decode(status[5][0]) if 5 in status else {}
        more = (decode(each)[1][0] for each in network.get(2, ()))
        ready = status.get(3, [0])[0] == 0  # SANDBOX_READY, which is not sent
        return PodSandboxStatus(ready, tuple(ip.decode() for ip in (*network.get(1, ()), *more)))

    def network_ready(self) -> bool:
        """The condition that makes a Node ready for pods."""
        conditions = map(decode, decode(self._runtime("Status", {})[1][0])[1])
        return any(each[1] == [b"NetworkReady"] and each.get(2) == [1] for each in conditions)

    def has_image(self, name: str) -> bool:
        return 1 in self._call("ImageService", "ImageStatus", {1: {1: name}})

    def _runtime(self, method: str, request: Message) -> Answer:
        return self._call("RuntimeService", method, request)

    def _call(self, service: str, method: str, request: Message) -> Answer:
        body = encode(request)
        framed = bytes(1) + len(body).to_bytes(4, "big") + body
        with TemporaryDirectory() as directory:
            heads = Path(directory, "heads")
            answer = _post(self.socket, f"http://cri/runtime.v1.{service}/{method}", framed, heads)
            trailers = dict(line.partition(": ")[::2] for line in heads.read_text().splitlines())
        if trailers.get("grpc-status") != "0":
            raise CriError(f"{method}: {unquote(trailers.get('grpc-message', 'no answer'))}")
        return decode(answer[_HEAD:])


def _post(socket: Path, url: str, body: bytes, heads: Path) -> bytes:
    argv = ["curl", "-sS", "--http2-prior-knowledge", "--unix-socket", str(socket), "--max-time", str(SECONDS)]
    argv += ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "@-", "-D", str(heads)]
    done = subprocess.run([*argv, url], input=body, capture_output=True, timeout=2 * SECONDS, check=False)
    if done.returncode != 0:
        raise CriError(f"{url}: {done.stderr.decode().strip()}")
    return done.stdout


def encode(message: Message) -> bytes:
    """A message in protobuf's wire format."""
    return b"".join(_field(number, each) for number, value in sorted(message.items()) for each in _each(value))


def decode(data: bytes) -> Answer:
    """The fields of a message: numbers of varints, bytes of texts and messages. ValueError for other wire types."""
    found: Answer = {}
    rest = iter(data)
    for key in _varints(rest):
        found.setdefault(key >> 3, []).append(_value(key & 7, rest))
    return found


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _field(number: int, value: int | str | Message) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    data = value.encode() if isinstance(value, str) else encode(value)
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    high = number >> 7
    return bytes([number & 0x7F | 0x80]) + _varint(high) if high else bytes([number])


def _varints(rest: Iterator[int]) -> Iterator[int]:
    number = shift = 0
    for byte in rest:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0


def _value(kind: int, rest: Iterator[int]) -> int | bytes:
    if kind not in (_VARINT, _BYTES):
        raise ValueError(f"wire type {kind}")
    number = next(_varints(rest))
    return number if kind == _VARINT else bytes(next(rest) for _ in range(number))

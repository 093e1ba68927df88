"""The real weft-controller beside the lab's API and one private Open vSwitch, without the rest of a lab: a test puts
the rows of a pod's port into the database itself, as an agent would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from netns_fixture import Namespace
from ovs_fixture import PrivateOvs
from prometheus_client.parser import text_string_to_metric_families

from lab.api.app import make_app
from lab.api.handle import LabApi
from lab.api.server import ApiServer, local_socket
from lab.client import ApiClient
from ovsdb.rows import AttachmentKey, PodPort, datapath_id, external_ids

WAIT = 30.0  # seconds; a bound on hanging, never the expected time
BRIDGE = "br-int"
NAME = "t-node"
WEB = PodPort("web-1a2b3c", AttachmentKey("weft", "c0ffee", "eth0"), "default", "web", "", "0a:58:0a:4d:00:05",
              (ip_address("10.77.0.5"),), "/run/netns/web")  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]

Obj = dict[str, Any]


def until(ask: Callable[[], Any], what: str) -> Any:
    """The first answer that is true; fails the test when there is none in time."""
    deadline = time.monotonic() + WAIT
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)
    return answer


@dataclass
class Running:
    """A daemon's process: its log and its HTTP answers. `space`: the network namespace that it is in."""

    process: subprocess.Popen[str]
    space: Namespace | None = None
    lines: list[Obj] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)

    def read(self) -> None:
        for line in self.process.stderr or ():
            self.raw.append(line)
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def logged(self, event: str, **fields: Any) -> list[Obj]:
        """Lines of the log that say this."""
        return [line for line in self.lines if line["event"] == event and fields.items() <= line.items()]

    def wait_logged(self, event: str, **fields: Any) -> Obj:
        found: list[Obj] = until(lambda: self.logged(event, **fields), f"{event} {fields} in {self.raw[-5:]}")
        return found[0]

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of an answer of its health server."""
        lines = until(lambda: [line for line in self.lines if "health_port" in line], f"a start in {self.raw[-5:]}")
        url = f"http://127.0.0.1:{lines[0]['health_port']}{path}"
        return _answer(url) if self.space is None else self.space.run(lambda: _answer(url))

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Name and label values → value."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(with_signal)
        return self.process.wait(WAIT)


def _answer(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=WAIT) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        return refused.code, refused.read().decode()


def controller(space: Namespace | None = None, **settings: object) -> AbstractContextManager[Running]:
    """weft-controller with these settings as flags; killed at the end if it still runs."""
    return daemon("controller.main", space, settings)


@contextmanager
def daemon(
    module: str, space: Namespace | None, settings: Mapping[str, object], env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A daemon of this module, in a network namespace if one is given, with these settings as flags."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    inside = ["ip", "netns", "exec", space.name] if space else []
    process = subprocess.Popen(
        [*inside, sys.executable, "-m", module, *flags],
        cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    running = Running(process, space)
    reader = threading.Thread(target=running.read, daemon=True)
    reader.start()
    try:
        yield running
    finally:
        process.kill()
        process.wait(WAIT)
        reader.join(WAIT)
        if process.stderr is not None:
            process.stderr.close()


@contextmanager
def api() -> Iterator[ApiClient]:
    """The lab's API, and a client of it."""
    with ApiServer(make_app(LabApi()), [local_socket()]) as server:
        yield ApiClient(urlsplit(server.urls[0]).port or 0)


def url(client: ApiClient) -> str:
    return f"http://127.0.0.1:{client.port}"


def node(name: str, cidr: str, ovs: PrivateOvs | None = None, **annotations: str) -> Obj:
    """A Node as an agent annotates it; without a switch, that of a node elsewhere."""
    said = {"weft.dev/tunnel-ip": "192.0.2.7", "weft.dev/datapath-id": f"{datapath_id(name):016x}"}
    if ovs is not None:
        said["weft.dev/ovsdb"] = ovs.remote
    said |= {f"weft.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
    spec = {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": said}, "spec": spec}


def pod(name: str, on: str) -> Obj:
    spec = {"nodeName": on, "containers": [{"name": "c", "image": "registry.k8s.io/pause:3.9"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def make_bridge(ovs: PrivateOvs, name: str, target: str, *, claimed: bool = True) -> None:
    """The bridge of node `name` with its tunnel and gateway port, connecting to `target`."""
    ids = f"external_ids:weft-node={name}" if claimed else "external_ids:other=x"
    ovs.vsctl(
        "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=netdev", "protocols=OpenFlow15",
        "fail_mode=secure", f"other_config:datapath-id={datapath_id(name):016x}", ids,
        "--", "add-port", BRIDGE, "weft-tun0", "--", "set", "Interface", "weft-tun0", "type=geneve",
        "options:remote_ip=flow", "options:key=flow",
        "--", "add-port", BRIDGE, "weft-gw0", "--", "set", "Interface", "weft-gw0", "type=internal",
        "--", "set-controller", BRIDGE, target, "--", "set", "Controller", BRIDGE, "max_backoff=1000",
    )  # fmt: skip


def make_port(ovs: PrivateOvs, port: PodPort) -> None:
    """The rows of a pod's port, on a device that Open vSwitch makes itself."""
    ids = [f'external_ids:{key}="{text}"' for key, text in external_ids(port).items()]
    ovs.vsctl("add-port", BRIDGE, port.name, "--", "set", "Interface", port.name, "type=internal", *ids)


def programmed(ovs: PrivateOvs, port: str) -> str:
    """Port.external_ids:weft-programmed; "" while there is none."""
    return ovs.vsctl("--if-exists", "get", "Port", port, "external_ids:weft-programmed").strip().strip('"')

"""Requests that are stopped, each at another of their steps, so that whoever serves or sent them can be killed there.

One ADD and one DEL for every step there is: all stop, side by side, in the one agent, and one kill meets them all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import yaml
from agent_fixture import NETWORK, WAIT, Box, Node
from lab_fixture import NodeState, until, vsctl

from lab.node import agent_spec
from lab.process import parent
from lab.runtime import RuntimeFailure

SCRIPT = Path(__file__).with_name("agent_steps.py")
LIMITS = {"ingressRate": 40_000_000, "ingressBurst": 4_000_000, "egressRate": 24_000_000, "egressBurst": 4_000_000}
VERBS = ("ADD", "DEL")


def limited(node: Node, name: str) -> Box:
    """A container whose attachment has everything that one can have."""
    box = node.box(name, capability_args={"bandwidth": LIMITS})
    return box.speaking("1.1.0", capabilities={"bandwidth": True})


class SteppingAgent:
    """The agent of `agent_steps.py` in place of the node's own."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._directory = node.config.paths.log / "steps"
        self._directory.mkdir()
        self._leftover_seconds = 0

    def start(self, leftover_seconds: int) -> None:
        """Start it anew; the one that ran is killed."""
        spec = agent_spec(self._node.config)
        settings = self._node.config.paths.agent_config
        settings.write_text(
            yaml.safe_dump({**yaml.safe_load(settings.read_text()), "leftover-seconds": leftover_seconds})
        )
        argv = (sys.executable, str(SCRIPT), str(self._directory), "--config", str(settings))
        self._node.kill_agent()
        self._node.lab.processes.start(msgspec.structs.replace(spec, argv=argv))
        self._node.wait_ready()
        self._leftover_seconds = leftover_seconds

    def begin(self, leftover_seconds: int) -> None:
        """A new round, with an agent that has this setting; what was told before is forgotten."""
        for name in ("told", "go-on"):
            (self._directory / name).unlink(missing_ok=True)
        if leftover_seconds != self._leftover_seconds:
            self.start(leftover_seconds)

    def go_on(self) -> None:
        (self._directory / "go-on").touch()

    def told(self, what: str) -> list[dict[str, Any]]:
        """About each request that has stopped, or has ended: verb, container and names of its steps so far."""
        path = self._directory / "told"
        lines = path.read_text().splitlines() if path.exists() else ()
        return [line for line in map(json.loads, lines) if line["what"] == what]

    def steps(self) -> dict[str, list[str]]:
        """What an ADD and a DEL consist of, by name."""
        self.begin(self._leftover_seconds)
        box = limited(self._node, "looked-at")
        stopping(box, 0).add()
        stopping(box, 0).delete()
        until(lambda: len(self.told("ended")) == len(VERBS), "ADD and DEL have told their steps")
        return {told["verb"]: told["steps"] for told in self.told("ended")}


def stopping(box: Box, before: int) -> Box:
    """The same container, whose requests stop before this step."""
    return box.having(args={**box.attachment.args, "STOP_BEFORE": str(before)})


@dataclass(frozen=True)
class Picture:
    """Everything of a node that an attachment could leave something in."""

    state: NodeState
    links: frozenset[tuple[int, str]]
    qdiscs: frozenset[str]
    qos: str
    files: frozenset[str]


def picture(node: Node) -> Picture:
    """The node now. What the runtime itself keeps of an ADD that went well is not Weft's."""
    return Picture(
        node.state(),
        frozenset((link["ifindex"], link["ifname"]) for link in node.show("link")),
        frozenset(node.qdiscs()),
        vsctl(node.lab, node.name, "--columns=_uuid,type,external_ids", "list", "QoS"),
        frozenset(name for name in node.files() if not name.startswith("cni-cache/")),
    )


class Round:
    """A container for each step of ADD and of DEL, and the calls of the runtime that stop there.

    with Round(node, agent, steps) as round:
        round.call()
        round.wait_stopped(round.count)
    """

    def __init__(self, node: Node, agent: SteppingAgent, steps: Mapping[str, Sequence[str]]) -> None:
        numbered = [(verb, n) for verb in VERBS for n in range(1, len(steps[verb]) + 1)]
        self.boxes = {(verb, n): limited(node, f"{verb.lower()}-{n}") for verb, n in numbered}
        self.count = len(self.boxes)
        self._node = node
        self._agent = agent
        self._threads = ThreadPoolExecutor(2 * self.count)
        self._calls: list[Future[Any]] = []

    def __enter__(self) -> Self:
        deleted = (box for (verb, _), box in self.boxes.items() if verb == "DEL")
        list(self._threads.map(Box.add, deleted))
        return self

    def __exit__(self, *_: object) -> None:
        self._agent.go_on()  # should any stand still
        self._threads.shutdown()

    def call(self) -> None:
        calls = {"ADD": Box.add, "DEL": Box.delete}
        for (verb, n), box in self.boxes.items():
            self._calls.append(self._threads.submit(calls[verb], stopping(box, n)))

    def wait_stopped(self, count: int) -> None:
        """When fewer stop, it may be that one did with a lock that the others wait for: `agent_steps._SHARED`."""

        def going() -> list[str]:
            stopped = {told["container"] for told in self._agent.told("stopped")}
            boxes = self.boxes.items()
            return [f"{verb} {n}" for (verb, n), box in boxes if box.attachment.container not in stopped]

        deadline = time.monotonic() + WAIT
        while len(going()) > self.count - count:
            assert time.monotonic() < deadline, f"have not stopped at their steps: {going()}"
            time.sleep(0.05)

    def all_fail(self) -> None:
        """Return when the runtime knows that no answer comes to any of its calls."""
        wait(self._calls, WAIT)
        assert [type(call.exception(0)) for call in self._calls] == [RuntimeFailure] * self.count

    # What may come after it. Each returns what is then to be waited for.

    def delete(self) -> list[Future[Any]]:
        """As containerd and the kubelet do after a failure."""
        return [self._threads.submit(box.delete) for box in self.boxes.values()]

    def collect(self, *valid: Box) -> list[Future[Any]]:
        """As CRI-O does when it starts."""
        pairs = [{"containerID": box.attachment.container, "ifname": box.attachment.ifname} for box in valid]
        conf = {"cniVersion": "1.1.0", "name": NETWORK, "type": "weft", "cni.dev/valid-attachments": pairs}

        def gc() -> None:
            answer = self._node.call("GC", conf)
            assert (answer.status, answer.stdout) == (0, b"")

        return [self._threads.submit(gc)]

    def forget(self) -> list[Future[Any]]:
        """Nothing is asked of the agent; the pods go, some time."""
        for box in self.boxes.values():
            path = f"/api/v1/namespaces/default/pods/{box.attachment.args['K8S_POD_NAME']}?gracePeriodSeconds=0"
            self._node.lab.api.request("DELETE", path)
        return []


def kill_relays() -> None:
    """As libcni does at a deadline: SIGKILL for every plugin that this process waits for."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            ours = (entry / "comm").read_text().strip() == "weft" and parent(pid) == os.getpid()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if ours:
            os.kill(pid, signal.SIGKILL)

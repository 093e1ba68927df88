"""Many pods that come and go at once, while what serves them is killed again and again.

Those who call behave as containerd and the kubelet do: an ADD that fails is followed by its DEL, repeated until it
succeeds, and then the pod is tried again as a new container.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_interface
from itertools import count
from pathlib import Path

from agent_fixture import WAIT, Box, Node
from lab_fixture import until

from lab import names, netns
from lab.process import resident_kib
from lab.runtime import RuntimeFailure, pod_attachment

AT_ONCE = 50
API_AT_ONCE = 8  # connections that the test's client of the API keeps
LONGEST_HOLD = 0.3  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
LOOKS = 5  # one pod in so many tries its network
TRIES = 50
_GATEWAY = "10.244.1.1"

_numbers = count(1)
_DIGITS = re.compile(r"\b(storm-)?[0-9]+(-[0-9a-f]+)*\b")


class Holders:
    """Which container has which address, from the end of its ADD to the beginning of its DEL."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, str] = {}

    @contextmanager
    def having(self, container: str, addresses: Sequence[str]) -> Iterator[None]:
        with self._lock:
            others = {each: self._of[each] for each in addresses if each in self._of}
            assert not others, f"{container} was given addresses that live pods have: {others}"
            self._of.update(dict.fromkeys(addresses, container))
        try:
            yield
        finally:
            with self._lock:
                for each in addresses:
                    del self._of[each]


class Told:
    """How it went: what happened how often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.codes: set[int] = set()
        self.reasons: Counter[str] = Counter()

    def happened(self, what: str, failure: RuntimeFailure | None = None) -> None:
        with self._lock:
            self.counts[what] += 1
            if failure is not None:
                self.codes.add(failure.code)
                self.reasons[f"{what}: {failure.code} {_DIGITS.sub('N', str(failure))}"] += 1


class Storm:
    """Over one node; `told` is what has happened since it was made."""

    def __init__(self, node: Node) -> None:
        self.told = Told()
        self._node = node
        self._runtime = node.runtime()
        self._holders = Holders()
        self._asking = threading.Semaphore(API_AT_ONCE)

    def blow(self, cycles: int, faults: Sequence[Callable[[], None]] = ()) -> float:
        """So many pods, AT_ONCE at a time, with the faults spread evenly among them; how long it took in seconds.
        Raises what the first cycle raises that fails."""
        began, before = time.monotonic(), self.told.counts["pods"]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            pods = [threads.submit(self._pod) for _ in range(cycles)]
            try:
                for n, fault in enumerate(faults, start=1):
                    self._wait(pods, before + n * cycles // (len(faults) + 1))
                    fault()
                self._wait(pods, before + cycles)
            finally:
                for pod in pods:
                    pod.cancel()
        return time.monotonic() - began

    def kill_agent(self) -> None:
        self._kill(self._node.agent)

    def kill_switch(self) -> None:
        self._kill(self._node.vswitchd)

    def _kill(self, process: str) -> None:
        self._node.lab.kill(process)
        self._node.lab.start(process)
        self.told.happened(f"kill -9 of {process}")

    def _wait(self, pods: Sequence[Future[None]], goal: int) -> None:
        while self.told.counts["pods"] < goal:
            for pod in pods:
                if pod.done():
                    pod.result()
            time.sleep(0.02)

    def _pod(self) -> None:
        """One pod from its beginning to its end."""
        name = f"storm-{next(_numbers)}"
        with self._asking:
            meta = self._node.know(name)["metadata"]
        for attempt in range(TRIES):
            if self._sandbox(f"{name}-{attempt}", (meta["namespace"], name, meta["uid"])):
                break
            time.sleep(_pause(attempt))
        else:
            raise AssertionError(f"pod {name} has no network after {TRIES} tries: {self.told.reasons}")
        with self._asking:
            self._node.lab.api.request("DELETE", f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0")
        self.told.happened("pods")

    def _sandbox(self, container: str, identity: tuple[str, str, str]) -> bool:
        """One container of the pod; whether it came to life."""
        space = names.pod_namespace(self._node.lab.config.name, self._node.name, container)
        path = netns.create(space)
        try:
            box = Box(pod_attachment(container, str(path), identity), self._runtime, self._node)
            lived = self._live(box)
            self._delete(box)
            return lived
        finally:
            netns.remove(space)

    def _live(self, box: Box) -> bool:
        try:
            ips = [str(ip_interface(each["address"]).ip) for each in box.add()["ips"]]
        except RuntimeFailure as e:
            self.told.happened("failed ADD", e)
            return False
        self.told.happened("ADD")
        with self._holders.having(box.attachment.container, ips):
            time.sleep(random.uniform(0, LONGEST_HOLD))
            if random.randrange(LOOKS) == 0:
                self._look(box, ips)
        return True

    def _look(self, box: Box, ips: Sequence[str]) -> None:
        """It has its addresses, and traffic; without traffic for a moment when the switch has been killed."""
        assert [each.partition("/")[0] for each in box.addresses()] == ips
        until(lambda: self._answers(box), f"{box.attachment.container} reaches its gateway")
        self.told.happened("pods that were looked at")

    def _answers(self, box: Box) -> bool:
        answered = "1 received" in box.output("ping", "-n", "-c", "1", "-W", "2", _GATEWAY)
        if not answered:
            self.told.happened("pings without an answer")
        return answered

    def _delete(self, box: Box) -> None:
        deadline = time.monotonic() + 2 * WAIT
        for attempt in count():
            try:
                box.delete()
                return
            except RuntimeFailure as e:
                self.told.happened("failed DEL", e)
                if time.monotonic() > deadline:
                    raise
            time.sleep(_pause(attempt))


def _pause(attempt: int) -> float:
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)


@dataclass(frozen=True)
class Needs:
    """What the node's agent needs of the machine: MiB of memory, open files and threads."""

    mib: float
    files: int
    threads: int


def needs(node: Node) -> Needs:
    pid = node.lab.processes.pid(node.agent)
    files, threads = (len(list(Path(f"/proc/{pid}/{what}").iterdir())) for what in ("fd", "task"))
    return Needs(round(resident_kib(pid) / 1024, 1), files, threads)

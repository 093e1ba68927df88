"""A kubelet for one lab node: it makes the pods that the API assigns to the node real, and says so.

It reacts to changes and never polls pods: a watch puts keys into a queue, workers bring one pod at a time from
what it is to what the API says it should be. What the network needs is done by the real CNI executable.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from lab import status
from lab.api.errors import ApiError
from lab.netexec import NetexecServers
from lab.node import NodeConfig
from lab.nodeapi import GONE, NodeApi
from lab.pods import ContainerError, Containers, ContainerState, container
from lab.readiness import Readiness
from lab.sandbox import PodBox, SandboxError, Sandboxes, cni_runtime
from lab.status import ADD_MS, Happening, PodFacts, Reported, Waiting, key_of
from lab.workqueue import WorkQueue

Obj = dict[str, Any]

_WORKERS = 4
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 10.0

log = logging.getLogger(__name__)


def backoff(failures: int) -> float:
    """Seconds to wait after the given number of failures in a row."""
    return min(_FIRST_RETRY_SECONDS * 2.0 ** (failures - 1), _LAST_RETRY_SECONDS)


class Kubelet:
    """Runs the pods of one node from `start` to `close`. Its threads end with it, its pods do not."""

    def __init__(self, api: NodeApi, node: NodeConfig, servers: NetexecServers) -> None:
        self._api = api
        self._node = node
        self._sandboxes = Sandboxes(node, cni_runtime(node))
        self._queue = WorkQueue()
        self._containers = Containers(node.lab, servers, self._queue.add)
        self._keys: set[str] = set()
        self._boxes: dict[str, PodBox] = {}
        self._failures: dict[str, int] = {}
        self._readiness = Readiness(api, node, self._enqueue_all)
        self._stack = ExitStack()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._stack.enter_context(self._api.watch(self._changed))
        self._stack.callback(self._queue.close)
        self._stack.callback(self._readiness.close)
        self._readiness.start()
        for _ in range(_WORKERS):
            thread = threading.Thread(target=self._work, name=f"kubelet-{self._node.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Stop watching and working, and end every container of the node's pods."""
        self._stack.close()
        for thread in self._threads:
            thread.join()
        self._containers.close()

    def _changed(self, key: str) -> None:
        self._keys.add(key)
        self._queue.add(key)

    def _work(self) -> None:
        while (key := self._queue.take()) is not None:
            try:
                self._sync(key)
                self._failures.pop(key, None)
            except Exception as e:
                # One pod's trouble must not end the worker that serves the others.
                self._retry(key, e)
            finally:
                self._queue.done(key)

    def _retry(self, key: str, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        expected = isinstance(error, SandboxError | ApiError | OSError)
        log.warning("pod %s: %s", key, error, exc_info=None if expected else error)
        if isinstance(error, SandboxError):
            verb = "FailedKillPod" if key in self._boxes else "FailedCreatePodSandBox"
            with suppress(ApiError):  # The log has it; and the API may be what fails.
                if (pod := self._find(key)) is not None:
                    self._tell(pod, Happening(verb, str(error)))
        self._queue.add(key, backoff(failures))

    def _sync(self, key: str) -> None:
        """Bring one pod from what it is to what it should be."""
        pod = self._find(key)
        box = self._boxes.get(key)
        if box is not None and (pod is None or pod["metadata"]["uid"] != box.uid or _is_over(pod)):
            self._tear_down(key, box)
            box = None
        if pod is None:
            self._keys.discard(key)
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._finish(pod)
        elif not _is_over(pod) and self._may_start(pod):
            self._run(pod, box)

    def _may_start(self, pod: Obj) -> bool:
        """A kubelet starts no pod before its network has been ready once; pods in the node's network may."""
        return self._readiness.was_ready or bool(pod["spec"].get("hostNetwork"))

    def _enqueue_all(self) -> None:
        for key in tuple(self._keys):
            self._queue.add(key)

    def _run(self, pod: Obj, box: PodBox | None) -> None:
        key = key_of(pod)
        if box is None:
            box = self._boxes[key] = self._sandboxes.create(pod)
            log.info("pod %s: %s, CNI ADD %s ms", key, ", ".join(box.ips), box.add_ms and round(box.add_ms, 1))
        self._report(pod, box, self._run_containers(pod, box))

    def _run_containers(self, pod: Obj, box: PodBox) -> dict[str, Reported]:
        states = self._containers.states(box.sandbox.key)
        return {spec["name"]: self._run_container(pod, box, spec, states) for spec in pod["spec"]["containers"]}

    def _run_container(self, pod: Obj, box: PodBox, spec: Obj, states: Mapping[str, ContainerState]) -> Reported:
        state = states.get(spec["name"])
        if state is not None and not self._is_due(pod, state):
            return state
        try:
            return self._containers.start(box.sandbox, container(spec), state.restarts + 1 if state else 0)
        except ContainerError as e:
            # Only a change of the pod can help, and that will come as a change.
            return self._not_running(pod, Waiting("CreateContainerError", str(e)))
        except OSError as e:
            self._queue.add(box.sandbox.key, _LAST_RETRY_SECONDS)
            return self._not_running(pod, Waiting("RunContainerError", f"container {spec['name']}: {e}"))

    def _not_running(self, pod: Obj, waiting: Waiting) -> Waiting:
        self._tell(pod, Happening("Failed", waiting.message))
        return waiting

    def _is_due(self, pod: Obj, state: ContainerState) -> bool:
        """Whether a container that has ended is to be started again now; if only later, comes back then."""
        if state.exit_code is None or state.finished is None:
            return False
        if not status.restarts(pod["spec"].get("restartPolicy", "Always"), state.exit_code):
            return False
        due = state.finished + timedelta(seconds=backoff(state.restarts + 1))
        wait = (due - datetime.now(UTC)).total_seconds()
        if wait > 0:
            self._queue.add(key_of(pod), wait)
        return wait <= 0

    def _report(self, pod: Obj, box: PodBox, containers: Mapping[str, Reported]) -> None:
        now = datetime.now(UTC)
        started = pod.get("status", {}).get("startTime")
        facts = PodFacts(
            node_ips=status.node_ips(self._node.number, self._node.family),
            pod_ips=box.ips,
            started=datetime.fromisoformat(started) if started else now,
            containers=containers,
        )

        def change(current: Obj) -> Obj:
            if current["metadata"]["uid"] != box.uid:
                return current
            meta = current["metadata"]
            if box.add_ms is not None:
                annotations = (meta.get("annotations") or {}) | {ADD_MS: f"{box.add_ms:.1f}"}
                meta = meta | {"annotations": annotations}
            return current | {"metadata": meta, "status": status.pod_status(current, facts, now)}

        with _unless_gone():  # Then the watch says so too.
            self._api.change_pod(key_of(pod), change)

    def _tear_down(self, key: str, box: PodBox) -> None:
        self._containers.stop(key)
        self._sandboxes.remove(box)
        self._boxes.pop(key, None)
        log.info("pod %s: removed", key)

    def _finish(self, pod: Obj) -> None:
        """Tear down what there is of a deleted pod, then let go of its object."""
        box = self._boxes.get(key_of(pod))
        if box is not None:
            self._tear_down(key_of(pod), box)
        with _unless_gone():
            self._api.remove_pod(key_of(pod), pod["metadata"]["uid"])

    def _find(self, key: str) -> Obj | None:
        """The pod `key` if it is this node's."""
        try:
            pod = self._api.pod(key)
        except ApiError as e:
            if e.code != 404:  # An API that does not answer has not said that the pod is gone.
                raise
            return None
        return pod if pod["spec"].get("nodeName") == self._node.name else None

    def _tell(self, pod: Obj, happening: Happening) -> None:
        """Record an Event, or count the one that says the same."""
        now = datetime.now(UTC)
        with suppress(ApiError):  # The pod's namespace may be going away.
            self._api.tell(status.event_object(pod, happening, self._node.name, now), now)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Lets an object be gone, or be another by now."""
    try:
        yield
    except ApiError as e:
        if e.code not in GONE:
            raise


def _is_over(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")

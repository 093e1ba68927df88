"""The scenarios' world in a lab: policies that come and go, what should get through, and what does."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count, product
from typing import Any

from lab_fixture import bridge_ids, flows, running_lab, until, vsctl
from netpol_oracle import allowed
from netpol_prober import Place, Way, reached
from netpol_scenarios import HOST_PORTS, HOSTS, MARKERS, PODS, PORTS, Obj, block, policy, resolved, world

from lab import names
from lab.lab import Lab
from ovsdb.rows import PROGRAMMED, parse_purging

MERGE = "application/merge-patch+json"
PATIENCE_SECONDS = 20.0
_FIRST_MARK = ip_address("100.64.0.0")

WAYS = (
    *(Way(one, other, *at, v) for one, other, at, v in product((*PODS, *HOSTS), PODS, PORTS, (4, 6))),
    *(Way(one, other, *at, v) for one, other, at, v in product(PODS, HOSTS, HOST_PORTS, (4, 6))),
)
"""All pairs; a pod and itself are one, too."""


@dataclass
class PolicyLab:
    """`ips` are the addresses that ranges are made around: of pods, and of nodes when they talk to pods."""

    lab: Lab
    places: dict[str, Place]
    ips: dict[str, tuple[str, str]]
    probing: float = 0.0
    """Seconds that went into probing, since it was last set to 0."""
    _marks: Iterator[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def in_force(self, *policies: Obj) -> Iterator[list[Obj]]:
        """Applies policies, with the ranges that they are about, and waits; deletes them afterwards."""
        made = resolved(list(policies), self.ips)
        try:
            self.lab.apply(made)
            self.settle()
            yield made
        finally:
            self.lab.delete(made)

    def settle(self) -> None:
        """Returns when the switches have what policies say now, and forward by it.

        The controller hears of policies in the order in which they change, and a switch of flows in the order in
        which they are computed. So when a switch has what a last policy says, it has what those before say.
        """
        mark = _FIRST_MARK + next(self._marks)
        self.lab.apply([policy("w", "marker", ingress=[{"from": [block(f"{mark}/32")]}])])
        for node in MARKERS.values():
            until(lambda of=node: self._says(of, mark.packed), f"{node} has the flows of the last policy")
        self.purged()

    def purged(self) -> None:
        """Returns when no switch has datapath flows any more that are older than its flows: see
        `ovsdb.setup.needs_purge`."""
        for node in MARKERS.values():
            self._all_asked(node)
            until(lambda of=node: self._served(of), f"the agent of {node} has had its switch purged")

    def _all_asked(self, node: str) -> None:
        """Returns when the controller has asked for the purges that changes up to now call for.

        When somebody takes back what it says of a port, it says so again once it waits for nothing of the switch;
        when it does so twice, all that it had to write before the second time was written.
        """
        port, container = self._some_port(node)
        for _ in range(2):
            vsctl(self.lab, node, "remove", "Port", port, "external_ids", PROGRAMMED)
            vsctl(self.lab, node, "wait-until", "Port", port, f'external_ids:{PROGRAMMED}="{container}"')

    def _some_port(self, node: str) -> tuple[str, str]:
        """Name and container of a port that is in service."""
        listed = json.loads(vsctl(self.lab, node, "--format=json", "--columns=name,external_ids", "list", "Port"))
        said = ((name, dict(ids[1]).get(PROGRAMMED)) for name, ids in listed["data"])
        return next((name, container) for name, container in said if container)

    def _served(self, node: str) -> bool:
        purging = parse_purging(bridge_ids(self.lab, node))
        return purging.served == purging.asked

    def _says(self, node: str, what: bytes) -> bool:
        return any(what in key for key in flows(self.lab, node))

    @contextmanager
    def relabelled(self, pods: Labelling, namespaces: Labelling) -> Iterator[None]:
        """Changes labels (None takes one away), and changes them back."""
        paths = {_path(key): labels for key, labels in pods.items()}
        paths |= {f"/api/v1/namespaces/{name}": labels for name, labels in namespaces.items()}
        with ExitStack() as stack:
            for path, labels in paths.items():
                before = self.lab.api.request("GET", path)["metadata"].get("labels") or {}
                stack.callback(self.patch, path, {"labels": {key: before.get(key) for key in labels}})
                self.patch(path, {"labels": dict(labels)})
            yield

    def patch(self, path: str, metadata: Obj) -> None:
        self.lab.api.request("PATCH", path, {"metadata": metadata}, MERGE)

    def expected(self, policies: Sequence[Obj], ways: Iterable[Way] = WAYS) -> set[Way]:
        """Those ways that the reference allows, of pods and namespaces as they are."""
        pods = {_key(each): each for each in self.lab.pods()}
        namespaces = self.lab.api.items("/api/v1/namespaces")
        cluster = {"namespaces": namespaces, "pods": [*pods.values()], "policies": [*policies]}

        def may(way: Way) -> bool:
            return _always(way) or allowed(cluster, *self._ends(way, pods), way.protocol, way.port)

        return {way for way in ways if may(way)}

    def _ends(self, way: Way, pods: Mapping[str, Obj]) -> Iterator[Any]:
        """What the reference takes for source and target: a pod with its address, or (N22) a node's address."""
        which = way.family == 6
        for key, host in ((way.source, HOSTS.get(way.source)), (way.target, way.target in HOSTS and way.target)):
            yield self.ips[host][which] if host else pods[key] | {"using": self.ips[key][which]}

    def probed(self, ways: Collection[Way]) -> set[Way]:
        begun = time.monotonic()
        try:
            return reached(ways, self.places)
        finally:
            self.probing += time.monotonic() - begun

    def agrees(self, wanted: set[Way], ways: Collection[Way] = WAYS) -> None:
        """Of these ways nothing gets through that is not wanted. What is wanted and lost is tried again: a switch
        that forwards in user space loses packets when links come and go."""
        found = self.probed(ways)
        assert found <= wanted, f"gets through: {told(found - wanted)}"
        missing = wanted.intersection(ways) - found
        deadline = time.monotonic() + PATIENCE_SECONDS
        while missing:
            assert time.monotonic() < deadline, f"does not get through: {told(missing)}"
            missing -= self.probed(missing)

    def converges(self, before: set[Way], wanted: set[Way]) -> None:
        """The ways that are to change do so soon, and then all are as wanted."""
        changing = before ^ wanted
        deadline = time.monotonic() + PATIENCE_SECONDS
        while different := self.probed(changing) ^ (wanted & changing):
            assert time.monotonic() < deadline, f"still as before: {told(different)}"
        self.purged()
        self.agrees(wanted)


Labelling = Mapping[str, Mapping[str, str | None]]


@contextmanager
def policy_lab(name: str) -> Iterator[PolicyLab]:
    """Three nodes with the scenarios' world."""
    with running_lab(name, *world(), nodes=3) as lab:
        places = {key: _place(lab, key) for key in (*PODS, *HOSTS)}
        nodes = {f"node{number}": _gateway(lab, number) for number in (1, 2, 3)}
        yield PolicyLab(lab, places, {key: place.ips for key, place in places.items()} | nodes)


def _place(lab: Lab, key: str) -> Place:
    obj = lab.pod(key)
    first, second = (each["ip"] for each in obj["status"]["podIPs"])
    return Place(lab.pod_namespace(key), (first, second), obj["spec"]["hostname"])


def _gateway(lab: Lab, number: int) -> tuple[str, str]:
    """What a node calls itself when it talks to pods: the first address of its ranges."""
    first, second = (str(cidr.network_address + 1) for cidr in names.pod_cidrs(number, lab.config.family))
    return first, second


def _key(obj: Obj) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _path(key: str) -> str:
    namespace, name = key.split("/")
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def _always(way: Way) -> bool:
    """N20: a node reaches its own pods. N21: so does a pod itself, without any network."""
    return way.source == way.target or HOSTS.get(way.source) == PODS.get(way.target, "")


def told(ways: Iterable[Way]) -> list[str]:
    return sorted(map(str, ways))

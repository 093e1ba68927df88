"""A pod that is just being made, watched from inside its network namespace before anything is in there."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import NamedTuple

from netpol_prober import Place
from netpol_scenarios import Obj

from lab import names, netns
from lab.lab import Lab
from node_agent.netns import NotANamespace

PATIENCE_SECONDS = 20.0
PORT = 7100
NEW = "the new one"
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Meeting(NamedTuple):
    """Somebody was heard by somebody, over IPv4 or IPv6."""

    speaker: str
    listener: str
    family: int


@dataclass
class Newcomer:
    """The new pod and some around it. `addresses` of the new one are found from inside, when it gets them."""

    around: Mapping[str, Place]
    addresses: dict[int, str] = field(default_factory=dict)
    met: set[Meeting] = field(default_factory=set)
    _mouths: dict[tuple[str, int], socket.socket] = field(default_factory=dict)
    _ears: dict[tuple[str, int], socket.socket] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def awaited(cls, lab: Lab, pod: Obj, around: Mapping[str, Place]) -> Iterator[Newcomer]:
        """Sockets in the pod's namespace from the moment that there is one; the pod has been applied."""
        key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        path = netns.path_of(names.pod_namespace(lab.config.name, pod["spec"]["nodeName"], key))
        made = cls(around)
        with ExitStack() as stack:
            for name, place in around.items():
                made._equip(stack, name, place.namespace)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (NEW, 6) not in made._ears:
                assert time.monotonic() < deadline, f"{key} gets no namespace"
                with suppress(NotANamespace):
                    made._equip(stack, NEW, path)
            yield made

    def _equip(self, stack: ExitStack, name: str, namespace: Path) -> None:
        for family in _FAMILIES:
            mouth, ear = netns.run_in(namespace, lambda of=family: (_socket(of), _socket(of)))
            ear.bind(("", PORT))
            self._mouths[name, family] = stack.enter_context(mouth)
            self._ears[name, family] = stack.enter_context(ear)

    def meetings(self, friends: Collection[str]) -> set[Meeting]:
        """All that there can be between the new one and these."""
        both = ((one, other) for name in friends for one, other in ((NEW, name), (name, NEW)))
        return {Meeting(*pair, family) for pair, family in product(both, _FAMILIES)}

    def meet(self, goal: set[Meeting]) -> None:
        """Everybody speaks, without a break, until all of these were heard."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not goal <= self.speak():
            assert time.monotonic() < deadline, f"never heard: {sorted(goal - self.met)}"

    def speak(self) -> set[Meeting]:
        """The new one speaks to everybody, and they to him if they can know his address; who was heard until now."""
        for family in _FAMILIES:
            self._look_for_address(family)
            for name, place in self.around.items():
                self._say(NEW, place.ips[family == 6], family)
                if family in self.addresses:
                    self._say(name, self.addresses[family], family)
        for (name, family), ear in self._ears.items():
            with suppress(BlockingIOError):
                while True:
                    self.met.add(Meeting(ear.recv(64).decode(), name, family))
        return set(self.met)

    def _say(self, name: str, target: str, family: int) -> None:
        with suppress(OSError):  # there is no way out of the namespace yet
            self._mouths[name, family].sendto(name.encode(), (target, PORT))

    def _look_for_address(self, family: int) -> None:
        """What the new one would call itself."""
        somebody = next(iter(self.around.values())).ips[family == 6]
        if family not in self.addresses:
            with suppress(OSError):
                self._mouths[NEW, family].connect((somebody, PORT))
                self.addresses[family] = self._mouths[NEW, family].getsockname()[0]


def _socket(family: int) -> socket.socket:
    made = socket.socket(_FAMILIES[family], socket.SOCK_DGRAM)
    made.setblocking(False)
    if family == 6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made

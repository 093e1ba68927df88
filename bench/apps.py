"""What both sides of `policy-ovn` are given: the pods of some apps, and a policy for each app. Pure.

Policy i lets the pods of app i be reached by those of the next app on a range of TCP ports, and by nobody else. Two
more pods, of which no policy speaks, are the ends of a stream; then a policy isolates the one that receives it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]

SENDER, RECEIVER = "client", "server"
_FIRST_PORT, _PORTS = 8000, 100


@dataclass(frozen=True, slots=True)
class AppPolicy:
    """The pods of `app` may be reached from those of `peer` on TCP ports `first` to `last`."""

    app: str
    peer: str
    first: int
    last: int


def labels(pods: int, apps: int) -> Mapping[str, str]:
    """`pods` pods by name, each with its app: two of them are the ends of the stream, the others are dealt out."""
    dealt = {f"pod-{place}": f"app-{place % apps}" for place in range(pods - 2)}
    return {**dealt, SENDER: SENDER, RECEIVER: RECEIVER}


def policies(apps: int) -> Sequence[AppPolicy]:
    """One for each app."""
    starts = (_FIRST_PORT + _PORTS * number for number in range(apps))
    return [
        AppPolicy(f"app-{number}", f"app-{(number + 1) % apps}", first, first + _PORTS - 1)
        for number, first in enumerate(starts)
    ]


def members(labels: Mapping[str, str], app: str) -> Iterator[str]:
    """The names of an app's pods."""
    return (name for name, label in labels.items() if label == app)


def network_policy(policy: AppPolicy) -> Obj:
    """As a Kubernetes user writes it (networking.k8s.io/v1)."""
    ports = [{"protocol": "TCP", "port": policy.first, "endPort": policy.last}]
    peers = [{"podSelector": {"matchLabels": {"app": policy.peer}}}]
    return _ingress(policy.app, policy.app, [{"from": peers, "ports": ports}])


def isolation(name: str, app: str) -> Obj:
    """Nobody may reach the pods of `app`."""
    return _ingress(name, app, [])


def _ingress(name: str, app: str, rules: Sequence[Obj]) -> Obj:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"], "ingress": [*rules]},
    }

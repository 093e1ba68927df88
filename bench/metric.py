"""What a case finds out: metrics, and their form as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.stats import percentile

UNITS: Mapping[str, str] = {
    "p50_ms": "ms", "p99_ms": "ms", "seconds": "s", "peak_mb": "MB", "mbps": "Mbit/s", "per_second": "1/s",
    "count": "",
}  # fmt: skip
"""Every metric there is, with its unit."""

_MORE_IS_BETTER = frozenset(("mbps", "per_second"))


class Peer(NamedTuple):
    """What somebody else needed for the same."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure. `n` counts the samples behind it; `peer` is None where the bar is a number of its own."""

    case: str
    metric: str
    ours: float
    n: int
    peer: Peer | None = None

    def __post_init__(self) -> None:
        if self.metric not in UNITS:
            raise ValueError(f"metric {self.metric!r} of case {self.case}: expected one of {', '.join(UNITS)}")

    @property
    def unit(self) -> str:
        return UNITS[self.metric]

    @property
    def ratio(self) -> float | None:
        """Cost of ours over cost of the peer: below 1 is better, for a throughput too. None without a peer."""
        if self.peer is None:
            return None
        ours, peer = self.ours, self.peer.value
        if self.metric in _MORE_IS_BETTER:
            ours, peer = peer, ours
        return ours / peer if peer else None

    def to_json(self) -> str:
        """One line, the keys in a fixed order."""
        peer_name, peer = self.peer if self.peer else (None, None)
        ratio = self.ratio
        found: dict[str, Any] = {
            "case": self.case,
            "metric": self.metric,
            "unit": self.unit,
            "ours": round(self.ours, 3),
            "peer": peer if peer is None else round(peer, 3),
            "peer_name": peer_name,
            "ratio": None if ratio is None else round(ratio, 3),
            "n": self.n,
        }
        return json.dumps(found)


def from_json(line: str) -> Metric:
    """The inverse of `Metric.to_json`, to three decimals. ValueError, KeyError: not such a line."""
    found = json.loads(line)
    peer = None if found["peer_name"] is None else Peer(found["peer_name"], found["peer"])
    return Metric(found["case"], found["metric"], found["ours"], found["n"], peer)


@dataclass(frozen=True, slots=True)
class Samples:
    """Durations of ours and of the peer, in ms, from one run in turns."""

    ours: Sequence[float]
    peer: Sequence[float] = ()
    peer_name: str = ""

    def metrics(self, case: str) -> tuple[Metric, Metric]:
        """Median and 99th percentile."""
        return self._at(case, "p50_ms", 0.50), self._at(case, "p99_ms", 0.99)

    def _at(self, case: str, metric: str, q: float) -> Metric:
        peer = Peer(self.peer_name, percentile(self.peer, q)) if self.peer else None
        return Metric(case, metric, percentile(self.ours, q), len(self.ours), peer)

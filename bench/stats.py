"""The few statistics that the cases report."""

import math
from collections.abc import Sequence


def percentile(samples: Sequence[float], q: float) -> float:
    """The smallest sample that at least the share `q` (0 to 1) of the samples does not exceed (nearest rank).

    Always one that was measured: with 100 samples p99 is the second largest. ValueError without samples.
    """
    if not samples:
        raise ValueError("no samples")
    if not 0 < q <= 1:
        raise ValueError(f"q={q}: expected a share of more than 0 and at most 1")
    return sorted(samples)[math.ceil(q * len(samples)) - 1]


def median(samples: Sequence[float]) -> float:
    """The p50 of `samples`."""
    return percentile(samples, 0.5)

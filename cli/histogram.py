"""Prometheus histograms, and what they tell of the values they were made of. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values there were up to each of `bounds`, which rise; the last is infinite and has all of them."""

    bounds: tuple[float, ...]
    cumulative: tuple[int, ...]

    @classmethod
    def of(cls, buckets: Mapping[float, float]) -> Histogram:
        """From the values of `_bucket` by their label `le`, infinity among them."""
        bounds = tuple(sorted(buckets))
        return cls(bounds, tuple(int(buckets[bound]) for bound in bounds))

    @property
    def count(self) -> int:
        return self.cumulative[-1]

    @property
    def largest(self) -> float:
        """The last bound that is a number: beyond, nothing is known. 0 without any."""
        return self.bounds[-2] if len(self.bounds) > 1 else 0.0

    def __add__(self, other: Histogram) -> Histogram:
        """Of the values of both: exact at the bounds that both have, and so without those that only one has."""
        mine, others = (dict(zip(each.bounds, each.cumulative, strict=True)) for each in (self, other))
        return Histogram.of({bound: mine[bound] + others[bound] for bound in mine.keys() & others.keys()})

    def quantile(self, share: float) -> float | None:
        """What `share` (0 < share <= 1) of the values do not exceed, estimated like histogram_quantile of Prometheus:
        the values of a bucket are taken to lie evenly in it. None when there are no values; infinite when all that is
        known is that it exceeds `largest`."""
        if not self.count:
            return None
        rank = share * self.count
        at = bisect_left(self.cumulative, rank)
        lower, below = (self.bounds[at - 1], self.cumulative[at - 1]) if at else (0.0, 0)
        return lower + (self.bounds[at] - lower) * (rank - below) / (self.cumulative[at] - below)

"""The output contract: one JSON object a line, and a ratio that is below 1 when we are better."""

from __future__ import annotations

import json

import pytest

from bench.metric import UNITS, Metric, Peer, Samples, from_json


def test_a_line_has_just_the_keys_of_the_contract() -> None:
    line = Metric("cni-add", "p50_ms", 12.3456, 100, Peer("bridge", 15.6)).to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "case": "cni-add",
        "metric": "p50_ms",
        "unit": "ms",
        "ours": 12.346,
        "peer": 15.6,
        "peer_name": "bridge",
        "ratio": 0.791,
        "n": 100,
    }


def test_without_a_peer_there_is_no_ratio() -> None:
    found = json.loads(Metric("reconcile", "count", 0, 5).to_json())
    assert (found["peer"], found["peer_name"], found["ratio"]) == (None, None, None)


@pytest.mark.parametrize("metric", ["seconds", "p50_ms", "p99_ms", "peak_mb", "count"])
def test_costs_compare_ours_over_the_peers(metric: str) -> None:
    assert Metric("x", metric, 1.0, 1, Peer("p", 2.0)).ratio == 0.5


@pytest.mark.parametrize("metric", ["mbps", "per_second"])
def test_throughputs_compare_the_peers_over_ours(metric: str) -> None:
    assert Metric("x", metric, 200.0, 1, Peer("p", 100.0)).ratio == 0.5


def test_a_ratio_to_nothing_is_none() -> None:
    assert Metric("x", "seconds", 1.0, 1, Peer("p", 0.0)).ratio is None
    assert Metric("x", "mbps", 0.0, 1, Peer("p", 5.0)).ratio is None


def test_a_metric_outside_the_contract_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'p95_ms' of case x: expected one of p50_ms"):
        Metric("x", "p95_ms", 1.0, 1)


@pytest.mark.parametrize("metric", sorted(UNITS))
@pytest.mark.parametrize("peer", [None, Peer("somebody", 3.5)])
def test_a_line_reads_back_as_what_was_written(metric: str, peer: Peer | None) -> None:
    written = Metric("case", metric, 1.25, 7, peer)
    assert from_json(written.to_json()) == written


def test_samples_of_both_sides_become_two_metrics() -> None:
    p50, p99 = Samples([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], "peer").metrics("case")
    assert (p50.metric, p50.ours, p50.n, p50.peer) == ("p50_ms", 2.0, 3, Peer("peer", 4.0))
    assert (p99.metric, p99.ours, p99.peer) == ("p99_ms", 3.0, Peer("peer", 6.0))


def test_samples_without_a_peer_have_none() -> None:
    assert all(metric.peer is None for metric in Samples([1.0, 2.0]).metrics("case"))

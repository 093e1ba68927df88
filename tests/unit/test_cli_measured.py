"""What agents have measured of CNI requests, read from their real metrics and added up."""

from __future__ import annotations

from statistics import NormalDist

import pytest
from cni_told_fixture import Agent

from cli.measured import WHOLE, last_failures, read_metrics, together
from cni.errors import ErrorCode


def test_verbs_are_in_the_specifications_order_and_steps_in_the_order_in_which_they_occur() -> None:
    agent = Agent("n1").served("STATUS", 0.1).served("DEL", 0.2, zebra=0.1, ape=0.1).served("ADD", 0.3, b=0.1, a=0.2)
    assert list(agent.told().measured.latencies) == [
        ("ADD", WHOLE), ("ADD", "b"), ("ADD", "a"),
        ("DEL", WHOLE), ("DEL", "zebra"), ("DEL", "ape"),
        ("STATUS", WHOLE),
    ]  # fmt: skip


def test_failures_are_counted_by_verb_and_code() -> None:
    agent = Agent("n1").refused("", ErrorCode.IO_FAILURE).refused("ADD", ErrorCode.INTERNAL)
    for _ in range(3):
        agent.refused("ADD", ErrorCode.TRY_AGAIN_LATER)
    assert list(agent.told().measured.failures.items()) == [(("ADD", 11), 3), (("ADD", 199), 1), (("unknown", 5), 1)]


def test_nodes_are_added_up_and_steps_keep_their_order() -> None:
    one = Agent("n1").served("ADD", 0.3, first=0.1).refused("ADD", ErrorCode.TRY_AGAIN_LATER)
    two = Agent("n2").served("ADD", 3.0, first=1.0, second=2.0).served("DEL", 0.1)
    two.refused("ADD", ErrorCode.TRY_AGAIN_LATER).refused("ADD", ErrorCode.CHECK_FAILED)
    found = together(each.told().measured for each in (one, two))
    counts = {key: histogram.count for key, histogram in found.latencies.items()}
    assert list(counts.items()) == [
        (("ADD", WHOLE), 2), (("ADD", "first"), 2), (("ADD", "second"), 1), (("DEL", WHOLE), 1),
    ]  # fmt: skip
    both = one.served("ADD", 3.0).told().measured.latencies["ADD", WHOLE]
    assert found.latencies["ADD", WHOLE] == both
    assert found.failures == {("ADD", 11): 2, ("ADD", 104): 1}


def test_the_last_failures_of_all_nodes_are_the_newest_first() -> None:
    one, two = Agent("n1"), Agent("n2", later=5)
    for n in range(3):
        one.refused("ADD", ErrorCode.INTERNAL, f"one {n}")
        two.refused("ADD", ErrorCode.INTERNAL, f"two {n}")
    found = [(node, each.message) for node, each in last_failures([one.told(), two.told()])]
    assert found == [(f"n{1 + (n % 2 == 0)}", f"{'two' if n % 2 == 0 else 'one'} {2 - n // 2}") for n in range(6)]


@pytest.mark.parametrize("median", [0.0003, 0.001, 0.0023, 0.0031, 0.01, 0.02])
@pytest.mark.parametrize("spread", [0.1, 0.3, 0.6])
def test_the_agents_buckets_tell_p50_and_p90_to_a_quarter(median: float, spread: float) -> None:
    """Of latencies as they are in life: many near the median, some much longer (log-normal)."""
    agent, normal = Agent("n1"), NormalDist()
    true = [median * 2.718 ** (spread * normal.inv_cdf((n + 0.5) / 1000)) for n in range(1000)]
    for each in true:
        agent.served("ADD", each)
    histogram = agent.told().measured.latencies["ADD", WHOLE]
    for share in (0.5, 0.9):
        assert histogram.quantile(share) == pytest.approx(true[int(share * 1000) - 1], rel=0.25)


def test_an_agent_that_has_served_nothing() -> None:
    found = Agent("n1").told().measured
    assert (dict(found.latencies), dict(found.failures)) == ({}, {})
    assert together([found, found]) == found


def test_other_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        read_metrics("weft_cni_request_seconds_bucket nonsense\n")

"""When the agent asks for a tunnel peer: at once, twice more soon, and before the datapath forgets."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise

from node_agent.peers import EAGER_SECONDS, EAGER_TIMES, REFRESH_SECONDS, Schedule

A, B, C = ip_address("192.0.2.1"), ip_address("192.0.2.2"), ip_address("2001:db8::1")
AGING_SECONDS = 900.0  # of the datapath: tnl/neigh/aging in ovs-vswitchd(8)


def times_asked(schedule: Schedule, seconds: float, step: float = 1.0) -> list[float]:
    """The moments at which peer A is due, when it is looked at every `step` seconds."""
    looks = int(seconds / step) + 1
    return [number * step for number in range(looks) if schedule.due([A], number * step)]


def test_new_peers_are_due_at_once_in_order() -> None:
    assert Schedule().due([C, B, A], 7.0) == [A, B, C]


def test_nobody_is_due_without_peers() -> None:
    assert Schedule().due([], 0.0) == []


def test_a_peer_is_not_due_again_at_once() -> None:
    schedule = Schedule()
    schedule.due([A], 10.0)
    assert schedule.due([A], 10.0) == []
    assert schedule.due([A], 10.0 + EAGER_SECONDS - 0.001) == []


def test_a_new_peer_is_asked_for_eagerly_and_then_regularly() -> None:
    moments = times_asked(Schedule(), 2 * REFRESH_SECONDS + 60)
    eager = [number * EAGER_SECONDS for number in range(EAGER_TIMES)]
    assert moments == [*eager, eager[-1] + REFRESH_SECONDS, eager[-1] + 2 * REFRESH_SECONDS]


def test_a_peer_is_asked_for_before_the_datapath_forgets_it_however_rarely_one_looks() -> None:
    moments = times_asked(Schedule(), 3600.0, step=10.0)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert max(gaps) < AGING_SECONDS / 2


def test_a_peer_that_joins_later_has_its_own_times() -> None:
    schedule = Schedule()
    schedule.due([A], 0.0)
    assert schedule.due([A, B], 1.0) == [B]
    assert schedule.due([A, B], EAGER_SECONDS) == [A]
    assert schedule.due([A, B], 1.0 + EAGER_SECONDS) == [B]


def test_a_peer_that_leaves_and_comes_back_is_new() -> None:
    schedule = Schedule()
    for moment in (0.0, EAGER_SECONDS, 2 * EAGER_SECONDS):
        schedule.due([A], moment)
    assert schedule.due([B], 20.0) == [B]
    assert schedule.due([A, B], 20.0) == [A]


def test_a_peer_that_is_named_twice_is_asked_for_once() -> None:
    assert Schedule().due([A, A], 0.0) == [A]


def test_a_peer_is_new_until_it_was_asked_for_and_again_when_it_was_gone() -> None:
    schedule = Schedule()
    assert schedule.new([A, B]) == {A, B}
    schedule.due([A, B], 0.0)
    assert schedule.new([A, B, C]) == {C}
    schedule.due([B], 1.0)
    assert schedule.new([A, B]) == {A}

"""Never two active at once, whatever fails or is late; and when nothing does, soon there is one."""

from __future__ import annotations

from election_world import TIMES, Fate, Process, World
from hypothesis import given, settings
from hypothesis import strategies as st

STRETCH = 1.2  # how much faster one clock may go than another: less than lease / deadline
LONGEST = 90.0
GOOD = Fate()

ways = st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.5, 4.9, 7.0, 12.0, None])
fates = st.one_of(st.just(GOOD), st.builds(Fate, ways, ways))
clocks = st.tuples(st.sampled_from([1.0, STRETCH]), st.floats(0, 1e6))
moments = st.floats(0, LONGEST)
deeds = st.sampled_from(["kill", "release", "start", "touch"])


def newcomer(number: int, clock: tuple[float, float]) -> Process:
    return Process(f"p{number}", *clock)


@settings(max_examples=400)
@given(st.lists(clocks, min_size=2, max_size=5), st.lists(st.tuples(moments, deeds), max_size=6), st.data())
def test_never_two_are_active(
    everybody: list[tuple[float, float]], events: list[tuple[float, str]], data: st.DataObject
) -> None:
    world = World(lambda _: data.draw(fates))
    coming = [newcomer(*each) for each in enumerate(everybody)]

    def happens(deed: str) -> None:
        present = [each for each in world.processes if not each.dead and not each.stopping]
        active = [each for each in present if each.active(world.true)]
        if deed == "touch":
            world.server.touch()
        elif deed == "start" and coming:
            world.start(coming.pop())
        elif deed == "release" and active:
            world.release(active[0])
        elif deed == "kill" and active:
            world.kill(active[0])

    for _ in range(2):
        happens("start")
    for moment, deed in events:
        world.at(moment, lambda deed=deed: happens(deed))
    world.run(LONGEST)  # which judges at every step


@given(st.lists(clocks, min_size=1, max_size=3))
def test_where_nothing_fails_there_is_one_at_once_and_it_stays(everybody: list[tuple[float, float]]) -> None:
    world = World(lambda _: GOOD)
    for each in enumerate(everybody):
        world.start(newcomer(*each))
    world.run(TIMES.retry)
    assert len(world.terms) == 1
    world.run(LONGEST)
    assert world.active() == world.terms
    assert len(world.terms) == 1


@given(clocks, clocks)
def test_who_is_killed_is_followed_when_its_lease_is_over(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    world = World(lambda _: GOOD)
    for each in enumerate((one, other)):
        world.start(newcomer(*each))
    world.run(TIMES.retry)
    killed = next(each for each in world.processes if each.active(world.true))
    world.kill(killed)
    world.run(world.true + TIMES.lease + 2 * TIMES.retry)
    assert world.active() == [each.name for each in world.processes if each is not killed]


@given(clocks, clocks)
def test_who_releases_it_is_followed_within_one_retry(one: tuple[float, float], other: tuple[float, float]) -> None:
    world = World(lambda _: GOOD)
    for each in enumerate((one, other)):
        world.start(newcomer(*each))
    world.run(TIMES.retry)
    gone = next(each for each in world.processes if each.active(world.true))
    world.release(gone)
    assert world.active() == []
    world.run(world.true + TIMES.retry)
    assert world.active() == [each.name for each in world.processes if each is not gone]

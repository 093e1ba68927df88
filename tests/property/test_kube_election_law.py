"""Never two active at once, whatever fails or is late; and when nothing does, soon there is one."""

from __future__ import annotations

from dataclasses import dataclass

from election_world import TIMES, Fate, Process, World
from hypothesis import given, settings
from hypothesis import strategies as st

STRETCH = 1.2  # how much faster one clock may go than another: less than lease / deadline
LONGEST = 60.0
PROCESSES = 5
GOOD = Fate()

ways = st.sampled_from([0.0, 0.0, 0.3, 1.9, 3.0, 4.9, 7.0, 12.0, None])
moments = st.floats(0, LONGEST)
clocks = st.tuples(st.sampled_from([1.0, STRETCH]), st.floats(0, 1e6))
deeds = st.sampled_from(["kill", "kill", "release", "touch", "start"])


@dataclass(frozen=True)
class Trouble:
    """From `begin` on, for `length` seconds, this is what becomes of the requests of one process, or of all."""

    of: int | None
    begin: float
    length: float
    fate: Fate


troubles = st.builds(
    Trouble,
    of=st.one_of(st.none(), st.integers(0, PROCESSES - 1)),
    begin=moments,
    length=st.sampled_from([0.1, 2.0, 5.0, 9.0, 14.0, 30.0]),
    fate=st.builds(Fate, ways, ways),
)


def newcomer(number: int, clock: tuple[float, float]) -> Process:
    return Process(f"p{number}", *clock)


@settings(max_examples=1500)
@given(
    st.lists(clocks, min_size=PROCESSES, max_size=PROCESSES),
    st.lists(st.tuples(moments, deeds), max_size=8),
    st.lists(troubles, max_size=12),
)
def test_never_two_are_active(
    everybody: list[tuple[float, float]], events: list[tuple[float, str]], trouble: list[Trouble]
) -> None:
    coming = [newcomer(*each) for each in enumerate(everybody)]

    def fate(process: Process) -> Fate:
        mine = (None, int(process.name[1:]))
        now = (t for t in reversed(trouble) if t.of in mine and t.begin <= world.true < t.begin + t.length)
        return next(now, Trouble(None, 0, 0, GOOD)).fate

    def happens(deed: str) -> None:
        present = [each for each in world.processes if not each.dead and not each.stopping]
        active = [each for each in present if each.active(world.true)]
        if deed == "touch":
            world.server.touch()
        elif deed == "start" and coming:
            world.start(coming.pop(0))
        elif deed == "release" and active:
            world.release(active[0])
        elif deed == "kill" and active:
            world.kill(active[0])

    world = World(fate)
    for _ in range(3):
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

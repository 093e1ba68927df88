"""Leader election, step by step: what a candidate asks, and what it makes of the answer. The law is
tests/property/test_kube_election_law.py's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kube.election import Candidate, Election, Read, Times, Write
from kube.lease import Lease, Term
from kube.objects import Meta

WALL = datetime(2024, 5, 6, tzinfo=UTC)
LATER = WALL + timedelta(hours=1)
ME = Candidate("me", {"weft.dev/openflow": "unix:/me.sock"})
NEW = Election(ME)


def lease(version: int, holder: str, **term: Any) -> Lease:
    meta = Meta("l", "n", "", str(version), {}, {}, None, deleting=False)
    return Lease(meta, Term(holder, **{"seconds": 15, "acquired": WALL, "renewed": WALL} | term))


def holding(since: float = 0.0) -> Election:
    """Took the Lease by a request that began then and was answered at once."""
    return NEW.found(None, since).wrote(lease(1, "me"), since, since).rested()


def step(state: Election, now: float, *, willing: bool = True) -> Read | Write | None:
    return state.step(now, LATER, willing=willing)


def test_it_looks_first() -> None:
    assert step(NEW, 0) == Read()


def test_where_there_is_none_it_makes_one_with_its_annotation() -> None:
    write = step(NEW.found(None, 0), 0)
    assert isinstance(write, Write)
    assert write.create
    assert write.body["metadata"] == {"annotations": ME.annotations}
    said = write.body["spec"]
    assert (said["holderIdentity"], said["leaseDurationSeconds"], said["leaseTransitions"]) == ("me", 15, 0)
    assert said["acquireTime"] == said["renewTime"] == "2024-05-06T01:00:00.000000Z"


def test_it_is_active_from_the_answer_until_the_deadline_after_the_beginning_of_the_request() -> None:
    asked = NEW.found(None, 0)
    assert not asked.active(1)
    state = asked.wrote(lease(1, "me"), 1, 5)
    assert state.active(5)
    assert state.active(10.9)
    assert not state.active(11)


def test_an_answer_that_comes_after_the_deadline_makes_nobody_active() -> None:
    state = NEW.found(None, 0).wrote(lease(1, "me"), 0, 10)
    assert not state.active(10)
    assert not state.lost
    assert isinstance(step(state, 10), Write)


def test_the_holder_renews_without_looking_and_bound_to_what_it_knows() -> None:
    write = step(holding(), 2)
    assert isinstance(write, Write)
    assert not write.create
    assert write.body["metadata"] == {"annotations": ME.annotations, "resourceVersion": "1"}
    said = write.body["spec"]
    assert (said["acquireTime"], said["renewTime"]) == ("2024-05-06T00:00:00.000000Z", "2024-05-06T01:00:00.000000Z")
    assert said["leaseTransitions"] == 0


def test_another_waits_until_the_record_has_not_changed_for_its_own_seconds() -> None:
    state = NEW.found(lease(5, "other", seconds=30), 100)
    assert step(state, 129.9) is None
    assert step(state.rested(), 129.9) == Read()
    again = state.rested().found(lease(5, "other", seconds=30), 130)
    write = step(again, 130)
    assert isinstance(write, Write)
    assert write.body["metadata"]["resourceVersion"] == "5"
    assert write.body["spec"]["leaseTransitions"] == 1
    assert write.body["spec"]["acquireTime"] == "2024-05-06T01:00:00.000000Z"


def test_times_in_the_record_do_not_matter() -> None:
    """The holder's time of day may be years off."""
    for renewed in (WALL - timedelta(days=3650), WALL + timedelta(days=3650)):
        state = NEW.found(lease(5, "other", renewed=renewed), 0)
        assert step(state, 14.9) is None
        assert isinstance(step(state, 15), Write)


def test_every_renewal_makes_it_wait_anew() -> None:
    state = NEW.found(lease(5, "other"), 0).rested().found(lease(6, "other"), 14)
    assert step(state, 28) is None
    assert isinstance(step(state, 29), Write)


@pytest.mark.parametrize("holder", ["", "me"])
def test_what_nobody_else_holds_is_taken_at_once(holder: str) -> None:
    """Its own name there, though it does not hold it: an earlier write whose answer was lost."""
    assert isinstance(step(NEW.found(lease(5, holder), 0), 0), Write)


def test_who_is_not_willing_takes_nothing_but_keeps_what_it_has() -> None:
    assert step(NEW.found(lease(5, ""), 0), 0, willing=False) is None
    assert step(NEW.found(None, 0), 0, willing=False) is None
    assert isinstance(step(holding(), 2, willing=False), Write)


def test_after_a_conflict_it_looks_and_goes_on_if_the_lease_is_still_its_own() -> None:
    outrun = holding().outrun(2)
    assert step(outrun, 2) == Read()
    assert outrun.active(2)
    assert isinstance(step(outrun.found(lease(9, "me"), 3), 3), Write)


@pytest.mark.parametrize(
    ("found", "why"),
    [(lease(9, "other"), "other holds it now"), (lease(9, ""), "nobody holds it now"), (None, "it was deleted")],
)
def test_a_holder_that_finds_the_lease_to_be_anothers_is_done_for_good(found: Lease | None, why: str) -> None:
    state = holding().outrun(2).found(found, 3)
    assert state.lost == why
    assert not state.active(3)
    assert step(state, 100) is None
    assert not state.wrote(lease(10, "me"), 3, 3).active(3)


def test_a_holder_without_renewal_is_done_for_good() -> None:
    assert holding().expired(9.9) == holding()
    for late in (holding().expired(10), holding().outrun(10), holding().wrote(lease(2, "me"), 9, 10)):
        assert late.lost == "it could not be renewed for 10 s"
        assert not late.active(10)
        assert step(late, 10) is None


def test_a_lease_that_vanishes_may_still_be_held() -> None:
    state = NEW.found(lease(5, "other"), 0).rested().found(None, 2)
    assert step(state, 16.9) is None
    state = state.rested().found(None, 17)
    write = step(state, 17)
    assert isinstance(write, Write)
    assert write.create


def test_releasing_leaves_the_annotation_for_the_agents_and_the_lease_for_the_next() -> None:
    resigned = holding().resigned()
    assert not resigned.active(0)
    write = resigned.release(LATER)
    assert isinstance(write, Write)
    assert write.body["metadata"] == {"resourceVersion": "1"}
    assert (write.body["spec"]["holderIdentity"], write.body["spec"]["leaseDurationSeconds"]) == ("", 1)


@pytest.mark.parametrize("state", [NEW, NEW.found(None, 0), NEW.found(lease(5, "other"), 0)])
def test_who_holds_nothing_releases_nothing(state: Election) -> None:
    assert state.resigned().release(WALL) is None


def test_times_that_would_let_two_be_active_are_refused() -> None:
    for wrong in ({"lease": 10}, {"deadline": 2.0}, {"retry": 0.0}):
        with pytest.raises(ValueError, match="lease > deadline > retry"):
            replace(Times(), **wrong)

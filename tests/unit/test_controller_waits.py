"""How long a switch takes to answer, whatever becomes of it meanwhile."""

from controller.main import Waits
from openflow.codec import Change


class Switch:
    """As much of a session as is waited for."""

    datapath_id = 1

    def dump_flows(self) -> None:
        return

    def apply(self, change: Change) -> None:
        return

    def refuse(self, reason: str) -> None:
        return


def test_the_time_between_question_and_answer() -> None:
    waits, one, other = Waits(), Switch(), Switch()
    waits.begin(one, 10.0)
    waits.begin(other, 11.0)
    assert waits.end(one, 12.5) == 2.5
    assert waits.end(other, 12.5) == 1.5


def test_an_answer_ends_the_wait_and_nobody_waits_for_one_that_was_not_asked_for() -> None:
    waits, switch = Waits(), Switch()
    waits.begin(switch, 10.0)
    waits.end(switch, 11.0)
    assert waits.end(switch, 20.0) == 0.0


def test_a_switch_that_goes_unanswered_charges_nobody_with_its_wait() -> None:
    """Its session is freed, and the next one may get its id, as it does here."""
    waits, ids = Waits(), set()
    for _ in range(100):
        gone = Switch()
        waits.begin(gone, 0.0)
        ids.add(id(gone))
        del gone
        later = Switch()
        ids.add(id(later))
        assert waits.end(later, 60.0) == 0.0
        del later
    assert len(ids) < 200

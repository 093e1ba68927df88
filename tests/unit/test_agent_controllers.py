"""Where an agent has its switch find the controller: as the Lease says, and as it said before when it does not."""

from __future__ import annotations

import pytest

from kube.changes import Applied, Change, Connected, Deleted, Disconnected, Listed, Refused
from kube.lease import Lease, LeaseKey
from kube.objects import Meta
from node_agent.controllers import TAKEOVER_SECONDS, ControllerBook, ControllerView

KEY = LeaseKey("weft-system", "weft-controller")
ONE, TWO = "ssl:192.0.2.1:6653", "ssl:[2001:db8::2]:6653"
MISSING = "there is no Lease weft-system/weft-controller: is weft-controller running, and its setting lease the same?"
SILENT = "Lease weft-system/weft-controller has no annotation weft.dev/openflow: no weft-controller has taken it yet"


def lease(target: str | None) -> Lease:
    said = {} if target is None else {"weft.dev/openflow": target}
    return Lease(Meta(KEY.name, KEY.namespace, "", "1", {}, said, None, deleting=False))


def listed(*leases: Lease, refused: bool = False) -> Listed:
    return Listed("Lease", leases, frozenset([str(KEY)] if refused else []))


def after(*changes: Change, tls: bool = True) -> ControllerView:
    book = ControllerBook(KEY, tls=tls)
    for change in changes:
        book.apply(change, 0.0)
    return book.view()


def test_an_agent_without_certificates_says_that_it_needs_them() -> None:
    view = after(listed(lease(ONE)), tls=False)
    assert view.target is None
    assert "ssl: needs the settings tls-ca, tls-certificate and tls-key" in view.problem
    assert after(listed(lease("unix:/run/weft.sock")), tls=False).problem == ""


def test_before_the_lease_was_read_nothing_is_known() -> None:
    assert after() == ControllerView(None, "Lease weft-system/weft-controller has not been read yet")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([listed(lease(ONE))], ControllerView(ONE, "")),
        ([listed(), Applied(lease(ONE))], ControllerView(ONE, "")),
        ([listed(lease(ONE)), Applied(lease(TWO))], ControllerView(TWO, "")),
        ([listed(lease(ONE)), listed(lease(TWO))], ControllerView(TWO, "")),
        ([listed()], ControllerView(None, MISSING)),
        ([listed(lease(None))], ControllerView(None, SILENT)),
    ],
)
def test_the_switch_connects_to_whom_the_lease_names(changes: list[Change], expected: ControllerView) -> None:
    assert after(*changes) == expected


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (Deleted("Lease", str(KEY)), MISSING),
        (listed(), MISSING),
        (Applied(lease(None)), SILENT),
        (Refused("Lease", str(KEY), "Lease x: spec.y is 1: no"), "Lease x: spec.y is 1: no"),
    ],
)
def test_what_was_known_stays_in_force(change: Change, problem: str) -> None:
    assert after(listed(lease(ONE)), change) == ControllerView(ONE, problem)
    assert after(listed(lease(ONE)), change, Applied(lease(TWO))) == ControllerView(TWO, "")


@pytest.mark.parametrize("bad", ["", "banana", "tcp:192.0.2.1:6653", "ssl:controller:6653", "pssl:6653"])
def test_a_target_that_no_switch_may_have_is_refused_with_its_value(bad: str) -> None:
    first = after(listed(lease(bad)))
    assert first.target is None
    assert first.problem.startswith(f"Lease weft-system/weft-controller: annotation weft.dev/openflow is {bad!r}: ")
    assert after(listed(lease(ONE)), Applied(lease(bad))) == ControllerView(ONE, first.problem)


def test_a_list_of_what_cannot_be_read_does_not_say_that_there_is_none() -> None:
    refused = Refused("Lease", str(KEY), "Lease x: spec.y is 1: no")
    assert after(refused, listed(refused=True)) == ControllerView(None, "Lease x: spec.y is 1: no")


def test_a_controller_is_to_be_expected_once_the_lease_was_followed_for_a_takeover() -> None:
    book = ControllerBook(KEY, tls=True)
    assert not book.expects(1e9)
    book.apply(Connected("Lease"), 100.0)
    assert not book.expects(100.0 + TAKEOVER_SECONDS - 1)
    assert book.expects(100.0 + TAKEOVER_SECONDS)
    book.apply(Disconnected("Lease", "gone"), 500.0)
    assert not book.expects(1e9)
    book.apply(Connected("Lease"), 1000.0)
    assert not book.expects(1001.0)

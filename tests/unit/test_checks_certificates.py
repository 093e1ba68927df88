"""Checks of certificates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from checks_fixture import DAY, NOW, certificate, facts, found, node, only, world
from msgspec.structs import replace as changed

from cli.checks.model import Result, World
from cli.facts import Certificate


def held(**changes: Any) -> World:
    """Alpha has a certificate that is not as it should be."""
    return world(node("alpha", facts=facts("alpha", certificate=certificate(**changes))), node("beta"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"not_after": NOW - DAY}, "/t/tls.crt expired on 2027-01-14 08:00 UTC: new connections fail"),
        ({"ca_not_after": NOW - DAY}, "the last authority in /t/ca.crt expired on 2027-01-14 08:00 UTC"),
        ({"not_before": NOW + DAY}, "/t/tls.crt is not valid before 2027-01-16 08:00 UTC"),
        ({"names": ("somebody",)}, "/t/tls.crt has the DNS names somebody; controllers ask for weft-agent"),
        ({"names": ()}, "/t/tls.crt has the DNS names none"),
        ({"problem": "/t/tls.key: Permission denied"}, "/t/tls.key: Permission denied"),
    ],
)
def test_a_certificate_that_cannot_be_used(changes: dict[str, Any], words: str) -> None:
    assert words in only("certificates", held(**changes)).what


def test_one_that_expires_soon_is_a_warning() -> None:
    (finding,) = found("certificates", held(not_after=NOW + 13.5 * DAY))
    assert finding.result is Result.WARNING
    assert finding.what.endswith("in 13 days")
    assert "tls.generated.renewal" in finding.remedy
    assert found("certificates", held(not_after=NOW + 15 * DAY)) == []


def test_an_authority_that_expires_soon_is_renewed_by_another_value() -> None:
    (finding,) = found("certificates", held(ca_not_after=NOW + 13.5 * DAY))
    assert finding.result is Result.WARNING
    assert "tls.generated.authorityRenewal" in finding.remedy


def test_the_controllers_certificate_expires_soon() -> None:
    made = world(node("alpha"), node("beta"))
    (first, *others) = made.nodes
    probed = tuple(changed(each, not_after=NOW + DAY) if each.not_after else each for each in first.probed)
    (finding,) = found("certificates", replace(made, nodes=(replace(first, probed=probed), *others)))
    assert finding.what.startswith("the certificate of the controller at 192.0.2.9 expires on")


def test_without_tls_there_is_nothing_to_check() -> None:
    state = node("alpha", facts=facts("alpha", certificate=None))
    plain = replace(state, database={**state.database, "SSL": {}})
    assert found("certificates", world(plain, node("beta"))) == []


def test_a_node_that_nobody_could_look_into() -> None:
    state = node("alpha", facts=None, silent={"facts": "not reached"})
    (finding,) = found("certificates", world(state, node("beta")))
    assert (finding.result, finding.what) == (Result.UNKNOWN, "nobody could look at them: not reached")


def test_a_certificate_without_anything_is_not_taken_for_a_good_one() -> None:
    state = node("alpha", facts=facts("alpha", certificate=Certificate()))
    assert {each.result for each in found("certificates", world(state, node("beta")))} == {Result.FAILED}

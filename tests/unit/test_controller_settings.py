"""Settings of weft-controller that depend on each other: the Lease and what it says."""

from __future__ import annotations

import pytest

from controller.settings import ControllerSettings
from daemon.settings import SettingsError, parse

LEASE = "--lease=weft-system/weft-controller"
UNIX = "--advertise=unix:/run/weft/openflow.sock"


def settings(*flags: str) -> ControllerSettings:
    return parse(ControllerSettings, flags, prog="weft-controller")


def test_a_controller_by_itself_stands_for_no_election() -> None:
    assert settings().candidacy is None


def test_with_a_lease_it_is_a_candidate_unlike_all_others() -> None:
    made = settings(LEASE, UNIX).candidacy
    assert made is not None
    assert str(made.key) == "weft-system/weft-controller"
    one, other = made.candidate("host", "01"), made.candidate("host", "02")
    assert (one.identity, other.identity) == ("host_01", "host_02")
    assert one.annotations == {"weft.dev/openflow": "unix:/run/weft/openflow.sock"}
    named = settings(LEASE, UNIX, "--identity=pod-7").candidacy
    assert named is not None
    assert named.candidate("host", "01").identity == "pod-7_01"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--lease=weft-controller", UNIX], "lease 'weft-controller' names no Lease; give NAMESPACE/NAME, such as"),
        ([LEASE], "lease 'weft-system/weft-controller': advertise is missing: agents learn from the Lease"),
        ([UNIX], "advertise 'unix:/run/weft/openflow.sock': this is for the Lease, and lease is not given"),
        (["--identity=x"], "identity 'x': this is for the Lease, and lease is not given"),
        ([LEASE, "--advertise=banana"], "advertise 'banana': give ssl:IP:PORT"),
        ([LEASE, "--advertise=tcp:192.0.2.1:6653"], "without TLS only loopback addresses are allowed"),
        ([LEASE, "--advertise=ssl:0.0.0.0:6653"], "nobody can connect to it"),
        ([LEASE, "--advertise=tcp:127.0.0.1:6653"], "openflow-listen is 'unix:/run/weft/openflow.sock'"),
        ([LEASE, UNIX, "--identity="], "--identity"),
        ([LEASE, UNIX, "--node-name=n1"], "node-name 'n1' exclude each other"),
    ],
)
def test_what_cannot_be_used_together_is_named(flags: list[str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(*flags)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)

"""Checks of the nodes' certificates and of what controllers show. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from cli.checks.model import Finding, NodeState, Result, World
from cli.facts import Certificate, Files, NodeFacts

CERTIFICATES = "certificates"
NAME = "weft-agent"
"""DNS name by which controllers know a node."""
SOON_SECONDS = 14 * 86400.0
_RENEW = "renew it: with the chart's own certificates, upgrade with another tls.generated.{value}; see docs/tls.md"


def certificates(world: World) -> Iterator[Finding]:
    """Whether each node's certificate can be used, is of the right name, and will not expire soon."""
    for state, _ in world.seen():
        files = state.files
        if files is None:
            yield Finding(CERTIFICATES, state.node, Result.OK, "Open vSwitch is set up without TLS")
        elif state.facts is None or state.facts.certificate is None:
            what = f"nobody could look at them: {state.silent.get('facts', 'the node was not asked')}"
            yield Finding(CERTIFICATES, state.node, Result.UNKNOWN, what)
        else:
            found = [*_own(state.node, files, state.facts, state.facts.certificate), *_shown(state, state.facts.now)]
            until = _date(state.facts.certificate.not_after)
            what = f"valid until {until}; names: {', '.join(state.facts.certificate.names)}"
            yield from found or [Finding(CERTIFICATES, state.node, Result.OK, what)]


def _own(node: str, files: Files, facts: NodeFacts, held: Certificate) -> Iterator[Finding]:
    if held.problem:
        remedy = "put usable files there; a Secret has them as ca.crt, tls.crt and tls.key"
        yield Finding(CERTIFICATES, node, Result.FAILED, held.problem, remedy)
        return
    if facts.now < held.not_before:
        what = f"{files.certificate} is not valid before {_date(held.not_before)}, and it is {_date(facts.now)} here"
        yield Finding(CERTIFICATES, node, Result.FAILED, what, "set the node's clock, or wait")
    if NAME not in held.names:
        what = f"{files.certificate} has the DNS names {', '.join(held.names) or 'none'}; controllers ask for {NAME}"
        yield Finding(CERTIFICATES, node, Result.FAILED, what, f"issue it with {NAME} as subjectAltName")
    yield from _expiry(node, files.certificate, held.not_after, facts.now)
    if held.ca_not_after:
        last = f"the last authority in {files.ca}"
        yield from _expiry(node, last, held.ca_not_after, facts.now, "authorityRenewal")


def _shown(state: NodeState, now: float) -> Iterator[Finding]:
    """What controllers show to the node."""
    for each in state.probed:
        if each.not_after:
            what = f"the certificate of the controller at {each.probe.address}"
            yield from _expiry(state.node, what, each.not_after, now)


def _expiry(node: str, what: str, until: float, now: float, value: str = "renewal") -> Iterator[Finding]:
    """`value`: of the chart's tls.generated, which renews it."""
    remedy = _RENEW.format(value=value)
    if now > until:
        text = f"{what} expired on {_date(until)}: new connections fail"
        yield Finding(CERTIFICATES, node, Result.FAILED, text, remedy)
    elif now > until - SOON_SECONDS:
        text = f"{what} expires on {_date(until)}, in {int((until - now) // 86400)} days"
        yield Finding(CERTIFICATES, node, Result.WARNING, text, remedy)


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"

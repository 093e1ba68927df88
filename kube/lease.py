"""A Lease as a checked value, and what its holder writes on it.

A Lease is one record of who holds something, and since when. Who may take it is `kube.election`'s business: the times
in the record are the holder's own clock and for people to read.
Source: Kubernetes API reference, coordination.k8s.io/v1 Lease; meta/v1 MicroTime.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from kube import wire
from kube.errors import ParseError
from kube.objects import Meta, meta_of

_LEASE = msgspec.json.Decoder(wire.WireLease)
_PART = r"[a-z0-9]([a-z0-9.\-]{0,251}[a-z0-9])?"  # RFC 1123 subdomain, as names and namespaces are
_KEY = re.compile(rf"(?P<namespace>{_PART})/(?P<name>{_PART})")


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """Which Lease."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> LeaseKey:
        """`NAMESPACE/NAME`. Raises ValueError."""
        found = _KEY.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} names no Lease; give NAMESPACE/NAME, such as weft-system/weft-controller")
        return cls(found["namespace"], found["name"])

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Term:
    """What the record says: `holder` has it ("" when nobody does) for `seconds` after every renewal.

    `seconds` is 0 where the record says nothing. `transitions` counts the changes of hands.
    """

    holder: str = ""
    seconds: int = 0
    acquired: datetime | None = None
    renewed: datetime | None = None
    transitions: int = 0

    def body(self, annotations: Mapping[str, str], version: str = "") -> dict[str, Any]:
        """A JSON merge patch that makes the record say this, and that is refused (409) unless the Lease still has
        this resourceVersion."""
        metadata: dict[str, Any] = {"annotations": dict(annotations)} if annotations else {}
        if version:
            metadata["resourceVersion"] = version
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.seconds,
            "acquireTime": micro_time(self.acquired),
            "renewTime": micro_time(self.renewed),
            "leaseTransitions": self.transitions,
        }
        return {"metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True)
class Lease:
    """coordination.k8s.io/v1 Lease."""

    meta: Meta
    term: Term = field(default_factory=Term)


def parse_lease(raw: bytes | msgspec.Raw) -> Lease:
    """A Lease from its JSON. Raises ParseError."""
    lease = wire.decode("Lease", _LEASE, raw)
    meta = meta_of("Lease", lease.metadata)
    fail = functools.partial(ParseError, "Lease", meta.key)
    spec = lease.spec or wire.LeaseSpec()
    term = Term(
        holder=spec.holder_identity or "",
        seconds=spec.lease_duration_seconds or 0,
        acquired=spec.acquire_time,
        renewed=spec.renew_time,
        transitions=spec.lease_transitions or 0,
    )
    for name, number in (("leaseDurationSeconds", term.seconds), ("leaseTransitions", term.transitions)):
        if number < 0:
            raise fail(f"spec.{name}", number, "a number of 0 or more is needed")
    return Lease(meta, term)


def micro_time(moment: datetime | None) -> str | None:
    """As the API wants it: UTC, with exactly six digits of a second."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

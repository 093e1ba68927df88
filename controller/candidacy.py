"""What the settings of several controllers say, of which one is to be active. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kube.annotations import OPENFLOW, openflow_target
from kube.election import Candidate
from kube.lease import LeaseKey


@dataclass(frozen=True, slots=True)
class Candidacy:
    """The Lease, what it is to say of where switches connect to, and what it calls this controller (None: by the
    host's name)."""

    key: LeaseKey
    advertise: str
    identity: str | None = None

    def candidate(self, host: str, unique: str) -> Candidate:
        """`unique` is another text in every process: two may have one identity, or one starts while the other that it
        follows still runs."""
        return Candidate(f"{self.identity or host}_{unique}", {OPENFLOW: self.advertise})


def candidacy(lease: str | None, advertise: str | None, identity: str | None, listen: str) -> Candidacy | None:
    """From the settings `lease`, `advertise`, `identity` and `openflow-listen`; None: there is no Lease. ValueError:
    they cannot be used together."""
    if lease is None:
        for setting, text in (("advertise", advertise), ("identity", identity)):
            if text is not None:
                raise ValueError(f"{setting} {text!r}: this is for the Lease, and lease is not given")
        return None
    try:
        key = LeaseKey.parse(lease)
    except ValueError as e:
        raise ValueError(f"lease {e}") from None
    if advertise is None:
        raise ValueError(
            f"lease {lease!r}: advertise is missing: agents learn from the Lease where switches connect to"
        )
    try:
        openflow_target(advertise)
    except ValueError as e:
        raise ValueError(f"advertise {advertise!r}: {e}") from None
    if advertise.partition(":")[0] != listen.partition(":")[0]:
        raise ValueError(
            f"advertise {advertise!r}: no switch gets in that way, because openflow-listen is {listen!r}"
        )
    return Candidacy(key, advertise, identity)

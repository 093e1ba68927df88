"""Leases as the API server takes them: what it refuses, an elector must not write.

Source: Kubernetes API reference, coordination.k8s.io/v1 LeaseSpec; meta/v1 MicroTime.
"""

import re

from lab.api.errors import Obj, bad_request, invalid

_KIND = "Lease.coordination.k8s.io"
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


def checked(lease: Obj) -> Obj:
    """The Lease itself. Raises ApiError: 400 for a time that is no MicroTime, 422 for a number out of range."""
    spec, name = lease.get("spec") or {}, lease["metadata"]["name"]
    for field in ("acquireTime", "renewTime"):
        value = spec.get(field)
        if value is not None and not (isinstance(value, str) and _MICRO_TIME.fullmatch(value)):
            raise bad_request(f"Lease: spec.{field} {value!r}: a time with six digits of a second is needed")
    for field, least in (("leaseDurationSeconds", 1), ("leaseTransitions", 0)):
        value = spec.get(field)
        if value is not None and (not isinstance(value, int) or value < least):
            raise invalid(_KIND, name, f"spec.{field}", f"must be {least} or greater, got {value!r}")
    return lease

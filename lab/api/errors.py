"""Refusals of the API, as the Status objects that Kubernetes clients parse.

Source: Kubernetes API conventions, "Response Status Kind"; messages follow k8s.io/apimachinery/pkg/api/errors.
"""

from typing import Any

Obj = dict[str, Any]


class ApiError(Exception):
    """A refused request: HTTP status `code`, machine-readable `reason`, and what to tell the user."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> Obj:
        """The Status object (meta/v1) that goes on the wire, as a body or inside a watch ERROR event."""
        body: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body |= {"message": self.message, "reason": self.reason, "code": self.code}
        return body | {"details": self.details} if self.details else body


def not_found(what: str, name: str) -> ApiError:
    """`what` is the plural with its group, as in `leases.coordination.k8s.io`."""
    return ApiError(404, "NotFound", f'{what} "{name}" not found', _details(what, name))


def no_such_path() -> ApiError:
    """The words are the ones kubectl recognises as "this resource type is not served here"."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(what: str, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{what} "{name}" already exists', _details(what, name))


def conflict(what: str, name: str, why: str) -> ApiError:
    """A stale resourceVersion or an unmet precondition: read the object again, then retry."""
    message = f'Operation cannot be fulfilled on {what} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(what, name))


def forbidden(what: str, name: str, why: str) -> ApiError:
    return ApiError(403, "Forbidden", f'{what} "{name}" is forbidden: {why}', _details(what, name))


def invalid(kind: str, name: str, field: str, why: str) -> ApiError:
    """A value the API understands but refuses; `field` is its path, as in `metadata.name`."""
    cause = {"reason": "FieldValueInvalid", "message": why, "field": field}
    details = {"name": name, "kind": kind, "causes": [cause]}
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {field}: {why}', details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def method_not_allowed(method: str) -> ApiError:
    message = f"the server does not allow this method on the requested resource: {method}"
    return ApiError(405, "MethodNotAllowed", message)


def unsupported_media(got: str, accepted: str) -> ApiError:
    message = f"the body of the request was in an unknown format ({got!r}) - accepted media types include: {accepted}"
    return ApiError(415, "UnsupportedMediaType", message)


def expired(asked: int, oldest: int) -> ApiError:
    """The history no longer reaches back to `asked`: list again and watch from there."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_large(asked: int, current: int) -> ApiError:
    """A version this store has not reached, seen after the API restarted: clients list afresh."""
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Too large resource version: {asked}, current: {current}"
    return ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def _details(what: str, name: str) -> Obj:
    plural, _, group = what.partition(".")
    return {"name": name, "kind": plural} | ({"group": group} if group else {})

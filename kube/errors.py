"""What goes wrong at the border to Kubernetes, told so that an operator can act on it.

Kept apart from the parsers and the client so that pure code can catch these without importing either.
"""

from __future__ import annotations

_SHOWN = 120  # characters of an offending value: enough to recognise it, too few to flood a log


def shown(value: object) -> str:
    """`value` as it may stand in a message: quoted when it is text, and cut to a bounded length."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


class ParseError(ValueError):
    """One field of one object cannot be read.

    `kind` and `key` (`name`, or `namespace/name`) say which object, `field` is its path as in
    `kubectl explain`, `value` is what stood there, `why` says what is wrong and what would be right.
    """

    def __init__(self, kind: str, key: str, field: str, value: object, why: str) -> None:  # the five words
        super().__init__(kind, key, field, value, why)
        self.kind, self.key, self.field, self.value, self.why = kind, key, field, value, why

    def __str__(self) -> str:
        return f"{self.kind} {self.key}: {self.field} is {shown(self.value)}: {self.why}"


class KubeError(Exception):
    """The Kubernetes API could not do what was asked. Subclasses say whether it was reached."""


class ConfigError(KubeError):
    """There is no usable way to the API server: a kubeconfig, token or server URL is missing or wrong."""


class Unreachable(KubeError):  # noqa: N818 - it names a state of the server, which callers wait out
    """No answer: connection refused, reset, timed out, or not HTTP. Trying again later can help."""


class ApiError(KubeError):
    """The API server answered with an error.

    `status` is the HTTP code, `reason` the machine-readable word of the Status object (`NotFound`,
    `Expired`, …), `retry_after` the seconds the server asks to be left alone (0 when it does not).
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(status, reason, message, retry_after)
        self.status, self.reason, self.message, self.retry_after = status, reason, message, retry_after

    def __str__(self) -> str:
        return f"{self.status} {self.reason}: {self.message}"

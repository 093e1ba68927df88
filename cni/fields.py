"""Typed access to decoded JSON, so that every refusal names the key and the value that caused it."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from cni.errors import CniError, ErrorCode, shortened

T = TypeVar("T")
_SHOWN = 120  # characters of a refused value that an error repeats


def show(value: object) -> str:
    """A value for an error message: JSON where it can be, shortened."""
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return shortened(text, _SHOWN)


def invalid(key: str, value: object, expected: str) -> CniError:
    """Error 7 for a configuration key."""
    return CniError(ErrorCode.INVALID_NETWORK_CONFIG, f"network configuration: {key}={show(value)}: {expected}")


def refuse(obj: Mapping[str, Any], advice: Mapping[str, str], *, where: str = "") -> None:
    """Error 2 for a key, in any letter case, that is set and that `advice` (by keys in lower case) says what to do
    about."""
    for key, value in obj.items():
        if value and key.lower() in advice:
            raise CniError(
                ErrorCode.UNSUPPORTED_FIELD,
                f"network configuration: {where}{key}={show(value)}: {advice[key.lower()]}",
            )


def field(obj: Mapping[str, Any], key: str, kind: type[T], default: T, *, where: str = "") -> T:
    """`obj[key]` as `kind`; absent or null gives `default`, as Go's decoder has it. Errors: code 7."""
    value = obj.get(key)
    if value is None:
        return default
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as e:
        raise invalid(where + key, value, str(e)) from e


def fold(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in lower case: containerd sends `HostPort` where the conventions say `hostPort`."""
    return {key.lower(): value for key, value in obj.items()}

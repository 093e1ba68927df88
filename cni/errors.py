"""CNI errors as values, so that every layer of the agent can refuse a request in the runtime's own terms.

Codes are those of the CNI specification 1.1.0, section 5 "Error", plus 50 and 51, which the specification
added for STATUS after the tag. 0-99 belong to the specification, 100 and up to the plugin.

containerd treats a DEL error whose text contains "not found" as success: do not use these words for a
failure that must be retried.
"""

from enum import IntEnum, unique
from typing import Self

import msgspec

_MAX_TEXT = 2000
"""Characters of a message: runtimes copy it into events and logs, and an answer has room for 1 MiB."""


@unique
class ErrorCode(IntEnum):
    """Why a request failed, and what that means; what a runtime does next depends on it."""

    _value_: int
    meaning: str

    INCOMPATIBLE_VERSION = 1, "Weft does not have the configuration's cniVersion"
    UNSUPPORTED_FIELD = 2, "something is asked for that Weft does not have or cannot give"
    UNKNOWN_CONTAINER = 3, "the container does not exist; the runtime need not clean up"
    INVALID_ENVIRONMENT = 4, "a CNI_* variable is missing or wrong"
    IO_FAILURE = 5, "the request could not be read, or its caller is not root"
    DECODE_FAILURE = 6, "the configuration is not JSON"
    INVALID_NETWORK_CONFIG = 7, "the configuration is not valid"
    INVALID_NETNS = 8, "CNI_NETNS is not a container's namespace"  # libcni's code, not the specification's
    TRY_AGAIN_LATER = 11, "not now; the runtime is to try again"
    PLUGIN_NOT_AVAILABLE = 50, "the node takes no new pods"
    LIMITED_CONNECTIVITY = 51, "the node takes no new pods, and those that run may have lost their network"

    ADDRESSES_EXHAUSTED = 100, "every address of the node's range is taken"
    INTERFACE_EXISTS = 101, "the container is attached already, or its interface's name is taken"
    WIRING_FAILED = 102, "a device could not be made or configured"
    SWITCH_FAILED = 103, "Open vSwitch refused a change or did not carry it out"
    CHECK_FAILED = 104, "the attachment is not what ADD made"
    INTERNAL = 199, "a defect of Weft"

    def __new__(cls, value: int, meaning: str) -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class CniError(Exception):
    """A request refused. `msg` says what was wrong and what to do; `details` is for the log."""

    def __init__(self, code: ErrorCode, msg: str, details: str = "") -> None:
        self.code = code
        self.msg = shortened(msg, _MAX_TEXT)
        self.details = shortened(details, _MAX_TEXT)
        super().__init__(f"{self.msg} (CNI error {code.value}, {code.name.lower()})")

    def to_json(self, version: str) -> bytes:
        """The error as a plugin prints it on stdout; `version` is that of the request's configuration."""
        body = {"cniVersion": version, "code": self.code.value, "msg": self.msg, "details": self.details}
        return msgspec.json.encode({k: as_utf8(v) if isinstance(v, str) else v for k, v in body.items()})


def as_utf8(text: str) -> str:
    """`text` with `?` for lone surrogates (an environment that is not UTF-8), which nothing could write out."""
    return text.encode(errors="replace").decode()


def shortened(text: str, most: int) -> str:
    """`text`, cut where it is longer than `most` characters, and marked so."""
    return text if len(text) <= most else text[:most] + "…"

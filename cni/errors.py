"""CNI errors as values, so that every layer of the agent can refuse a request in the runtime's own terms.

Codes are those of the CNI specification 1.1.0, section 5 "Error", plus 50 and 51, which the specification
added for STATUS after the tag. 0-99 belong to the specification, 100 and up to the plugin.

containerd treats a DEL error whose text contains "not found" as success: do not use these words for a
failure that must be retried.
"""

from enum import IntEnum, unique

import msgspec


@unique
class ErrorCode(IntEnum):
    """Why a request failed; what a runtime does next depends on it."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3  # the runtime need not clean up
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODE_FAILURE = 6
    INVALID_NETWORK_CONFIG = 7
    INVALID_NETNS = 8  # libcni's, not the specification's: CNI_NETNS is the plugin's own
    TRY_AGAIN_LATER = 11
    PLUGIN_NOT_AVAILABLE = 50
    LIMITED_CONNECTIVITY = 51  # 50, and pods that already run may have lost connectivity

    ADDRESSES_EXHAUSTED = 100
    INTERFACE_EXISTS = 101
    WIRING_FAILED = 102  # a netlink operation failed
    SWITCH_FAILED = 103  # Open vSwitch refused or did not carry out a change
    CHECK_FAILED = 104  # the attachment is not what ADD made
    INTERNAL = 199  # a defect in Weft


class CniError(Exception):
    """A request refused. `msg` says what was wrong and what to do; `details` is for the log."""

    def __init__(self, code: ErrorCode, msg: str, details: str = "") -> None:
        super().__init__(f"{msg} (CNI error {code.value}, {code.name.lower()})")
        self.code = code
        self.msg = msg
        self.details = details

    def to_json(self, version: str) -> bytes:
        """The error as a plugin prints it on stdout; `version` is that of the request's configuration."""
        body = {"cniVersion": version, "code": self.code.value, "msg": self.msg, "details": self.details}
        # A lone surrogate (an environment that is not UTF-8) must not stop the error from being told.
        printable = {k: v.encode(errors="replace").decode() if isinstance(v, str) else v for k, v in body.items()}
        return msgspec.json.encode(printable)

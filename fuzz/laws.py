"""What holds for every answer to garbage."""

import json
from collections.abc import Collection

from cni.errors import ErrorCode
from cni.result import SUPPORTED_VERSIONS

MAX_ERROR_BYTES = 16 * 1024
"""Of an error as printed: runtimes copy it into events and logs, and a frame has room for 1 MiB."""

REFUSALS = (
    *(ErrorCode.INCOMPATIBLE_VERSION, ErrorCode.UNSUPPORTED_FIELD, ErrorCode.INVALID_ENVIRONMENT),
    *(ErrorCode.DECODE_FAILURE, ErrorCode.INVALID_NETWORK_CONFIG),
)
"""What a parser may say to a request."""


class Violation(Exception):  # noqa: N818 - a finding about the code under test, not an error of the fuzzer
    """The code under test broke a promise; the text says which."""


def demand(holds: bool, promise: str) -> None:
    """Raises Violation, saying what was promised, unless it holds."""
    if not holds:
        raise Violation(promise)


def demand_error(printed: bytes, codes: Collection[int]) -> None:
    """`printed` is one CNI error (SPEC 1.1.0, section 5) with one of `codes`, as the relay hands it on."""
    demand(len(printed) <= MAX_ERROR_BYTES, f"an error has at most {MAX_ERROR_BYTES} bytes, not {len(printed)}")
    demand(printed[:1] == b"{" and printed[-1:] == b"}", "an error is one JSON object")
    body = json.loads(printed.decode("utf-8"))
    demand(set(body) == {"cniVersion", "code", "msg", "details"}, f"an error has four keys, not {sorted(body)}")
    demand(body["cniVersion"] in SUPPORTED_VERSIONS, f"an error of version {body['cniVersion']!r}")
    demand(body["code"] in codes, f"code {body['code']!r} ({body['msg']!r}) is none of {sorted(codes)}")
    demand(isinstance(body["msg"], str) and body["msg"] != "", "an error says what was wrong")
    demand(isinstance(body["details"], str), "details are text")

"""Error results, as a plugin prints them (C17, C18)."""

import json

from cni.errors import CniError, ErrorCode
from cni.frame import MAX_STDOUT_BYTES


def test_c17_an_error_is_json_with_version_code_msg_and_details() -> None:
    error = CniError(ErrorCode.TRY_AGAIN_LATER, "the controller did not answer", "waited 8 s")
    assert json.loads(error.to_json("0.4.0")) == {
        "cniVersion": "0.4.0",
        "code": 11,
        "msg": "the controller did not answer",
        "details": "waited 8 s",
    }


def test_c18_codes_are_the_specifications_and_ours_start_at_100() -> None:
    standard = {code.value for code in ErrorCode if code < 100}
    assert standard == {1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 51}
    assert all(100 <= code < 200 for code in ErrorCode if code.value not in standard)


def test_the_exception_reads_well_in_a_log() -> None:
    text = str(CniError(ErrorCode.UNSUPPORTED_FIELD, 'ipam.type="host-local": remove it'))
    assert text == 'ipam.type="host-local": remove it (CNI error 2, unsupported_field)'


def test_text_that_is_not_utf8_is_still_told() -> None:
    msg = b"/run/\xff".decode(errors="surrogateescape")
    assert json.loads(CniError(ErrorCode.INVALID_ENVIRONMENT, msg).to_json("1.0.0"))["msg"] == "/run/?"


def test_every_code_is_its_number_and_says_what_it_means() -> None:
    assert (ErrorCode(11), int(ErrorCode.TRY_AGAIN_LATER)) == (ErrorCode.TRY_AGAIN_LATER, 11)
    meanings = [code.meaning for code in ErrorCode]
    assert all(meanings)
    assert len(set(meanings)) == len(meanings)


def test_a_text_of_any_length_makes_a_short_error() -> None:
    """Found by `make fuzz`: an error that repeats what it was sent did not fit into an answer, and nobody got one."""
    error = CniError(ErrorCode.IO_FAILURE, "first " + "\x7f" * MAX_STDOUT_BYTES, "\0" * MAX_STDOUT_BYTES)
    body = json.loads(printed := error.to_json("1.1.0"))
    assert body["msg"].startswith("first \x7f")
    assert body["msg"].endswith("\x7f…")
    assert len(printed) < 32 * 1024
    assert len(str(error)) < 4000

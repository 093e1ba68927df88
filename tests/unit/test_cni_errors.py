"""Error results, as a plugin prints them (C17, C18)."""

import json

from cni.errors import CniError, ErrorCode


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

"""Whatever a runtime sends, the answer is a command or a CniError that can be printed."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cni.errors import CniError
from cni.netconf import Add, Check, Command, Del, Gc, Status, error_version, parse
from cni.result import SUPPORTED_VERSIONS, parse_prev_result, render

WORDS = (
    *("cniVersion", "name", "type", "prevResult", "runtimeConfig", "args", "cni", "dns", "ipam", "ips", "mac"),
    *("interfaces", "routes", "dst", "gw", "address", "gateway", "interface", "ip4", "ip6", "ip", "mtu", "scope"),
    *("nameservers", "ipMasq", "cni.dev/attachments", "containerID", "ifname", "weft", "eth0", "a", ""),
    *("10.0.0.5/32", "fd00::5/128", "10.0.0.1", "::/0", "aa:bb:cc:dd:ee:ff", *SUPPORTED_VERSIONS),
)
TEXT = st.sampled_from(WORDS) | st.text(max_size=6)
LEAF = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXT
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4))
VALID = st.fixed_dictionaries({"cniVersion": st.sampled_from(SUPPORTED_VERSIONS), "name": st.just("weft")})
CONFS = st.tuples(st.dictionaries(TEXT, JSON, max_size=5), VALID).map(lambda both: both[0] | both[1])
COMMANDS = st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "", "X"])
VALUES = st.sampled_from(["a", "eth0", "/run/netns/a", "", "A=1;B=2"]) | st.binary(max_size=8).map(
    lambda raw: raw.decode(errors="surrogateescape")
)
ENVS = st.fixed_dictionaries(
    {"CNI_COMMAND": COMMANDS},
    optional={f"CNI_{key}": VALUES for key in ("CONTAINERID", "NETNS", "IFNAME", "ARGS", "PATH")},
)


def attempt(env: dict[str, str], stdin: bytes) -> Command | None:
    try:
        return parse(env, stdin)
    except CniError as error:
        printed = json.loads(error.to_json(error_version(stdin)))
        assert printed["code"] > 0
        assert printed["msg"]
        return None


@settings(max_examples=300)
@given(ENVS, CONFS | JSON)
def test_every_request_is_a_command_or_a_printable_error(env: dict[str, str], conf: object) -> None:
    command = attempt(env, json.dumps(conf).encode())
    if isinstance(command, Add | Check | Del | Gc | Status):
        assert command.conf.cni_version in SUPPORTED_VERSIONS
    if isinstance(command, Add | Check):
        assert command.attachment.netns


@given(ENVS, st.binary(max_size=60))
def test_bytes_that_are_not_json_are_refused(env: dict[str, str], stdin: bytes) -> None:
    attempt(env, stdin)


@settings(max_examples=300)
@given(JSON, st.sampled_from(SUPPORTED_VERSIONS))
def test_a_prev_result_that_is_accepted_can_be_rendered_again(obj: Any, version: str) -> None:
    try:
        result = parse_prev_result(obj, version)
        once = render(result, version)
    except CniError:
        return
    assert render(parse_prev_result(json.loads(once), version), version) == once

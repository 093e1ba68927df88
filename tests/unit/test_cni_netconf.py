"""Requests: which are accepted, and with which code and words the others are refused (C2-C12, C14)."""

import json
from collections.abc import Mapping
from ipaddress import ip_interface

import pytest

from cni.errors import CniError, ErrorCode
from cni.netconf import Add, Attachment, Check, Del, Gc, NetConf, Status, Version, error_version, parse
from cni.requested import PodArgs
from cni.result import SUPPORTED_VERSIONS, Dns, IpConfig, Result

ENV = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "abc123",
    "CNI_NETNS": "/var/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
}
CONF: dict[str, object] = {"cniVersion": "1.1.0", "name": "weft", "type": "weft"}
PREV: dict[str, object] = {"cniVersion": "1.1.0", "ips": [{"address": "10.10.0.5/32"}]}


def env(**changes: str) -> dict[str, str]:
    return ENV | {f"CNI_{key}": value for key, value in changes.items()}


def conf(**changes: object) -> bytes:
    return json.dumps(CONF | changes).encode()


def without(key: str) -> bytes:
    return json.dumps({k: v for k, v in CONF.items() if k != key}).encode()


def parsed_conf(stdin: bytes) -> NetConf:
    command = parse(ENV, stdin)
    assert isinstance(command, Add)
    return command.conf


def refused(environ: Mapping[str, str], stdin: bytes) -> CniError:
    with pytest.raises(CniError) as caught:
        parse(environ, stdin)
    return caught.value


def test_add() -> None:
    command = parse(env(NETNS_OVERRIDE="1"), conf(dns={"domain": "x"}, ipMasq=True, runtimeConfig={"aliases": {}}))
    assert isinstance(command, Add)
    assert command.attachment == Attachment("abc123", "/var/run/netns/x", "eth0", PodArgs(), netns_override=True)
    assert command.conf == NetConf(
        cni_version="1.1.0",
        name="weft",
        type="weft",
        prev_result=None,
        runtime_config={"aliases": {}},
        dns=Dns(domain="x"),
        pools={},
        raw=CONF | {"dns": {"domain": "x"}, "ipMasq": True, "runtimeConfig": {"aliases": {}}},
    )


def test_c21_a_chained_add_has_the_result_before_it() -> None:
    expected = Result(ips=(IpConfig(ip_interface("10.10.0.5/32")),))
    assert parsed_conf(conf(prevResult=PREV)).prev_result == expected


def test_c7_del_works_without_a_namespace() -> None:
    for netns in ("", "/var/run/netns/x"):
        command = parse(env(COMMAND="DEL", NETNS=netns), conf())
        assert isinstance(command, Del)
        assert command.attachment == Attachment("abc123", netns, "eth0", PodArgs())


def test_c26_del_works_without_and_with_an_unreadable_prev_result() -> None:
    command = parse(env(COMMAND="DEL"), conf(prevResult={"ips": "?"}))
    assert isinstance(command, Del)
    assert command.conf.prev_result is None


@pytest.mark.parametrize("args", ["K8S_POD_NAMESPACE=default;K8S_POD_NAME=By_Hand", "K8S_POD_NAME"])
def test_r6_a_del_follows_an_add_that_was_refused_for_its_arguments(args: str) -> None:
    assert refused(env(COMMAND="ADD", ARGS=args), conf()).code is ErrorCode.INVALID_ENVIRONMENT
    command = parse(env(COMMAND="DEL", ARGS=args), conf())
    assert isinstance(command, Del)
    assert command.attachment == Attachment("abc123", "/var/run/netns/x", "eth0", PodArgs())


def test_c29_check_needs_the_result_of_the_add() -> None:
    command = parse(env(COMMAND="CHECK"), conf(prevResult=PREV))
    assert isinstance(command, Check)
    assert command.conf.prev_result is not None
    error = refused(env(COMMAND="CHECK"), conf())
    assert error.code is ErrorCode.INVALID_NETWORK_CONFIG
    assert "prevResult is missing" in error.msg


def test_c7_status_and_gc_come_with_the_attachments_variables_empty() -> None:
    """libcni exports them empty."""
    empty = env(CONTAINERID="", NETNS="", IFNAME="")
    assert isinstance(parse(empty | {"CNI_COMMAND": "STATUS"}, conf()), Status)
    assert isinstance(parse(empty | {"CNI_COMMAND": "GC"}, conf()), Gc)


def test_c1_version_needs_only_the_command() -> None:
    assert parse({"CNI_COMMAND": "VERSION"}, b"") == Version()


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_c2_every_version_is_accepted(version: str) -> None:
    assert parsed_conf(conf(cniVersion=version)).cni_version == version


@pytest.mark.parametrize("stdin", [without("cniVersion"), conf(cniVersion=""), conf(cniVersion=None)])
def test_c2_no_version_means_0_1_0(stdin: bytes) -> None:
    assert parsed_conf(stdin).cni_version == "0.1.0"


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
@pytest.mark.parametrize("version", ["0.3.2", "1.2.0", "01.0.0"])
def test_c3_another_version_is_error_1(command: str, version: str) -> None:
    error = refused(env(COMMAND=command), conf(cniVersion=version))
    assert error.code is ErrorCode.INCOMPATIBLE_VERSION
    assert f'cniVersion="{version}"' in error.msg


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "x", "1.0.0\n"])
def test_c4_a_version_that_is_none_is_error_6_where_versions_are_compared(version: str) -> None:
    for command in ("CHECK", "GC", "STATUS"):
        assert refused(env(COMMAND=command), conf(cniVersion=version)).code is ErrorCode.DECODE_FAILURE
    for command in ("ADD", "DEL"):
        assert refused(env(COMMAND=command), conf(cniVersion=version)).code is ErrorCode.INCOMPATIBLE_VERSION


def test_c4_a_version_that_is_not_text_is_error_6() -> None:
    error = refused(ENV, conf(cniVersion=1.1))
    assert error.code is ErrorCode.DECODE_FAILURE
    assert "cniVersion=1.1" in error.msg


@pytest.mark.parametrize(
    ("command", "version"),
    [("CHECK", "0.1.0"), ("CHECK", "0.3.1"), ("GC", "0.4.0"), ("GC", "1.0.0"), ("STATUS", "1.0.0")],
)
def test_c6_a_command_newer_than_the_configuration_is_error_1(command: str, version: str) -> None:
    error = refused(env(COMMAND=command), conf(cniVersion=version))
    assert error.code is ErrorCode.INCOMPATIBLE_VERSION
    assert f"{command} came with version" in error.msg


@pytest.mark.parametrize(
    ("command", "required"),
    [
        ("ADD", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        ("CHECK", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        ("DEL", ["CNI_CONTAINERID", "CNI_IFNAME"]),
        ("GC", ["CNI_PATH"]),
    ],
)
def test_c7_every_missing_variable_is_named(command: str, required: list[str]) -> None:
    for stripped in ({"CNI_COMMAND": command}, dict.fromkeys(ENV, "") | {"CNI_COMMAND": command}):
        error = refused(stripped, conf())
        assert error.code is ErrorCode.INVALID_ENVIRONMENT
        assert error.msg.endswith(": " + ", ".join(required))


def test_c8_an_unknown_command_is_error_4() -> None:
    error = refused(env(COMMAND="UPDATE"), conf())
    assert error.code is ErrorCode.INVALID_ENVIRONMENT
    assert 'CNI_COMMAND="UPDATE"' in error.msg
    assert "CNI_COMMAND" in refused({}, conf()).msg


@pytest.mark.parametrize("container", ["-a", ".a", "a/b", "a b", "ä", "a\n"])
def test_c9_a_bad_container_id_is_error_4(container: str) -> None:
    error = refused(env(CONTAINERID=container), conf())
    assert error.code is ErrorCode.INVALID_ENVIRONMENT
    assert f"CNI_CONTAINERID={json.dumps(container, ensure_ascii=False)}" in error.msg


@pytest.mark.parametrize(
    "ifname",
    ["a" * 16, ".", "..", "a/b", "a:b", "a b", "ä" * 8, "a\u00a0b", "eth%d", "%", "all", "default"],
)
def test_c10_a_bad_interface_name_is_error_4(ifname: str) -> None:
    error = refused(env(IFNAME=ifname), conf())
    assert error.code is ErrorCode.INVALID_ENVIRONMENT
    assert f'CNI_IFNAME="{ifname}"' in error.msg


@pytest.mark.parametrize(
    "refused_for", [{"IFNAME": "all"}, {"IFNAME": "eth%d"}, {"ARGS": "A=\t"}, {"NETNS": "/x\xa0"}, {"PATH": "\udcff"}]
)
def test_r6_a_del_follows_an_add_that_was_refused_for_its_environment(refused_for: dict[str, str]) -> None:
    assert refused(env(**refused_for), conf()).code is ErrorCode.INVALID_ENVIRONMENT
    assert isinstance(parse(env(COMMAND="DEL", **refused_for), conf()), Del)


@pytest.mark.parametrize("ifname", ["e", "a" * 15, "...", "net1@x"])
def test_c10_odd_interface_names_that_linux_takes_pass(ifname: str) -> None:
    assert isinstance(parse(env(IFNAME=ifname), conf()), Add)


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_c11_a_missing_or_bad_network_name_is_error_7(command: str) -> None:
    for stdin in (without("name"), conf(name=""), conf(name="a b"), conf(name="-a"), conf(name=5), conf(name="a\n")):
        error = refused(env(COMMAND=command), stdin)
        assert error.code is ErrorCode.INVALID_NETWORK_CONFIG
        assert "name" in error.msg


@pytest.mark.parametrize("stdin", [b"", b"{", b"[]", b"5", b'"x"', b"null", b"\xff", b"[" * 100_000, b'{"a":"\xff"}'])
def test_c12_bad_json_is_error_6(stdin: bytes) -> None:
    assert refused(ENV, stdin).code is ErrorCode.DECODE_FAILURE


def test_c13_a_field_that_cannot_be_honoured_is_error_2_with_key_and_value() -> None:
    error = refused(ENV, conf(ipam={"type": "host-local"}))
    assert error.code is ErrorCode.UNSUPPORTED_FIELD
    assert 'ipam.type="host-local"' in error.msg
    assert isinstance(parse(ENV, conf(ipam={})), Add)
    error = refused(ENV, conf(ipMasq=False))
    assert error.code is ErrorCode.UNSUPPORTED_FIELD
    assert "ipMasq=false" in error.msg
    for granted in (True, None):
        assert isinstance(parse(ENV, conf(ipMasq=granted)), Add)


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("mtu", 1400, "the agent's setting mtu"),
        ("MTU", 1400, "the agent's setting mtu"),
        ("ingressRate", 8000, "declare the capability bandwidth"),
        ("egressBurst", 8000, "declare the capability bandwidth"),
    ],
)
def test_c13_what_other_plugins_take_and_weft_does_otherwise_is_refused(key: str, value: int, advice: str) -> None:
    error = refused(ENV, conf(**{key: value}))
    assert error.code is ErrorCode.UNSUPPORTED_FIELD
    assert f"{key}={value}: " in error.msg
    assert advice in error.msg
    assert isinstance(parse(ENV, conf(**{key: 0})), Add)
    assert isinstance(parse(env(COMMAND="DEL"), conf(**{key: value})), Del)


def test_c13_c14_unknown_and_reserved_keys_are_tolerated() -> None:
    extra = {"args": {"cni": {"labels": []}}, "capabilities": {"ips": True}, "cni.dev/x": 1, "another": 9000}
    assert parsed_conf(conf(**extra)).raw == CONF | extra


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"type": 5}, "type=5"),
        ({"dns": {"nameservers": "8.8.8.8"}}, 'dns.nameservers="8.8.8.8"'),
        ({"runtimeConfig": []}, "runtimeConfig=[]"),
        ({"ipMasq": "yes"}, 'ipMasq="yes"'),
        ({"ipam": "x"}, 'ipam="x"'),
        ({"args": {"cni": 5}}, "args.cni=5"),
        ({"prevResult": 5}, "prevResult=5"),
    ],
)
def test_c14_a_known_key_of_the_wrong_type_is_error_7(changes: dict[str, object], named: str) -> None:
    error = refused(ENV, conf(**changes))
    assert error.code is ErrorCode.INVALID_NETWORK_CONFIG
    assert named in error.msg


@pytest.mark.parametrize(
    "changes",
    [
        {"ipam": {"type": "host-local"}},
        {"dns": {"nameservers": "8.8.8.8"}},
        {"runtimeConfig": []},
        {"ipMasq": "yes"},
        {"args": {"cni": 5}},
    ],
)
def test_c28_a_del_works_when_the_configuration_was_spoilt_since_the_add(changes: dict[str, object]) -> None:
    refused(ENV, conf(**changes))
    command = parse(env(COMMAND="DEL"), conf(**changes))
    assert isinstance(command, Del)
    assert command.conf.name == CONF["name"]
    assert command.attachment.container == "abc123"


@pytest.mark.parametrize("name", ["CONTAINERID", "NETNS", "IFNAME", "ARGS"])
def test_a_variable_that_is_not_utf8_is_named(name: str) -> None:
    error = refused(env(**{name: "a\udcff"}), conf())
    assert error.code is ErrorCode.INVALID_ENVIRONMENT
    assert f"CNI_{name}=" in error.msg


def gc(**changes: object) -> frozenset[tuple[str, str]] | None:
    command = parse(env(COMMAND="GC"), conf(**changes))
    assert isinstance(command, Gc)
    return command.valid


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_c33_c34_gc_knows_both_spellings(key: str) -> None:
    assert gc(**{key: [{"containerID": "a", "ifname": "eth0"}]}) == frozenset({("a", "eth0")})


def test_c34_both_spellings_together_keep_what_either_lists() -> None:
    one, other = {"containerID": "a", "ifname": "eth0"}, {"containerID": "b", "ifname": "eth0"}
    valid = gc(**{"cni.dev/valid-attachments": [one], "cni.dev/attachments": [one, other]})
    assert valid == frozenset({("a", "eth0"), ("b", "eth0")})


def test_c35_null_is_the_empty_set_and_absence_is_unknown() -> None:
    assert gc(**{"cni.dev/valid-attachments": None}) == frozenset()
    assert gc(**{"cni.dev/valid-attachments": []}) == frozenset()
    assert gc() is None


@pytest.mark.parametrize("entry", [{}, {"containerID": "a"}, {"containerID": "a", "ifname": 0}, "a"])
def test_c33_an_entry_that_cannot_be_read_fails_the_gc(entry: object) -> None:
    error = refused(env(COMMAND="GC"), conf(**{"cni.dev/valid-attachments": [entry]}))
    assert error.code is ErrorCode.INVALID_NETWORK_CONFIG
    assert "cni.dev/valid-attachments" in error.msg


@pytest.mark.parametrize(
    ("stdin", "version"),
    [
        (conf(cniVersion="0.4.0"), "0.4.0"),
        (without("cniVersion"), "0.1.0"),
        (conf(cniVersion="9.9.9"), "1.0.0"),
        (conf(cniVersion=[]), "0.1.0"),
        (conf(cniVersion=[1]), "1.0.0"),
        (b"{", "1.0.0"),
    ],
)
def test_c17_an_error_echoes_the_version_when_it_can_be_had(stdin: bytes, version: str) -> None:
    assert error_version(stdin) == version


@pytest.mark.parametrize(
    "changes",
    [
        {"runtimeConfig": {"ips": ["\x7f" * 200_000]}},
        {"prevResult": {"ips": [{"address": "/" * 1_000_000}]}},
        {"prevResult": {"ips": [{"address": "10.0.0.5/32", "gateway": "'" * 1_000_000}]}},
    ],
)
def test_a_value_of_any_length_makes_a_short_error(changes: dict[str, object]) -> None:
    refusal = refused(ENV, conf(**changes))
    assert refusal.code == ErrorCode.INVALID_NETWORK_CONFIG
    assert len(refusal.to_json("1.1.0")) < 16 * 1024

"""CNI_ARGS, args.cni and runtimeConfig (C44-C47, R1)."""

import json
from ipaddress import ip_interface

import pytest

from cni.errors import CniError, ErrorCode
from cni.requested import (
    Bandwidth,
    Limit,
    PodArgs,
    Requested,
    parse_args,
    parse_bandwidth,
    parse_pod,
    parse_requested,
)
from cni.result import Dns

CONTAINERD = {
    "IgnoreUnknown": "1",
    "K8S_POD_NAMESPACE": "default",
    "K8S_POD_NAME": "web-0",
    "K8S_POD_INFRA_CONTAINER_ID": "abc",
    "K8S_POD_UID": "8f2c",
}
WEB = PodArgs("default", "web-0", "8f2c", "abc")


def code(call: object) -> ErrorCode:
    with pytest.raises(CniError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


@pytest.mark.parametrize("backwards", [False, True])
def test_c47_pairs_come_in_any_order(backwards: bool) -> None:
    pairs = sorted(CONTAINERD.items(), reverse=backwards)
    assert parse_pod(parse_args(";".join(f"{k}={v}" for k, v in pairs)), {}) == WEB


def test_c47_unknown_keys_empty_pairs_and_equals_signs_in_values_are_tolerated() -> None:
    assert parse_args(";A=b=c;;Unknown==;") == {"A": "b=c", "Unknown": "="}
    assert parse_args("") == {}
    assert parse_pod({"FOO": "BAR"}, {}) == PodArgs()


def test_c47_a_pair_without_equals_sign_is_error_4() -> None:
    assert code(lambda: parse_args("A=1;B")) is ErrorCode.INVALID_ENVIRONMENT


@pytest.mark.parametrize("name", ["Web", "web_0", "-web", "web-", "a/b", "a" * 254])
def test_a_pod_name_kubernetes_does_not_know_is_error_4(name: str) -> None:
    for key in ("K8S_POD_NAME", "K8S_POD_NAMESPACE"):
        assert code(lambda key=key: parse_pod({key: name}, {})) is ErrorCode.INVALID_ENVIRONMENT


def test_args_cni_names_the_pod_where_the_runtime_does_not() -> None:
    conf = {"args": {"cni": {"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "web-1", "other": {}}}}
    assert parse_pod({"IgnoreUnknown": "1"}, conf) == PodArgs("default", "web-1", "", "")
    same = {"args": {"cni": {"K8S_POD_NAME": CONTAINERD["K8S_POD_NAME"]}}}
    assert parse_pod(CONTAINERD, same) == parse_pod(CONTAINERD, {})


@pytest.mark.parametrize("key", ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID"])
def test_a_configuration_makes_no_pod_another_one(key: str) -> None:
    """Multus puts what a Pod's annotation says into args.cni: who may make Pods would choose whose policies count."""
    with pytest.raises(CniError, match=rf'args\.cni\.{key}="victim": CNI_ARGS says') as caught:
        parse_pod(CONTAINERD, {"args": {"cni": {key: "victim"}}})
    assert caught.value.code is ErrorCode.INVALID_ENVIRONMENT


@pytest.mark.parametrize("key", ["K8S_POD_UID", "K8S_POD_INFRA_CONTAINER_ID"])
def test_what_no_database_can_hold_is_error_4(key: str) -> None:
    with pytest.raises(CniError, match=rf"{key}=.*expected printable text") as caught:
        parse_pod({}, {"args": {"cni": {key: "\0x"}}})
    assert caught.value.code is ErrorCode.INVALID_ENVIRONMENT


def test_c46_addresses_and_mac_come_from_the_strongest_source() -> None:
    args = {"IP": "10.0.0.1/24,fd00::1/64", "MAC": "00:00:00:00:00:01"}
    conf = {"args": {"cni": {"ips": ["10.0.0.2/24"], "mac": "00:00:00:00:00:02"}}}
    runtime = {"ips": ["10.0.0.3/24"], "mac": "00:00:00:00:00:03"}
    legacy = Requested((ip_interface("10.0.0.1/24"), ip_interface("fd00::1/64")), "00:00:00:00:00:01")
    assert parse_requested(args, {}, {}) == legacy
    assert parse_requested(args, conf, {}) == Requested((ip_interface("10.0.0.2/24"),), "00:00:00:00:00:02")
    assert parse_requested(args, conf, runtime) == Requested((ip_interface("10.0.0.3/24"),), "00:00:00:00:00:03")


def test_c45_runtime_config_keys_match_in_any_case() -> None:
    runtime = {"IPs": ["10.0.0.3/24"], "Mac": "AA:BB:CC:DD:EE:FF"}
    assert parse_requested({}, {}, runtime) == Requested((ip_interface("10.0.0.3/24"),), "aa:bb:cc:dd:ee:ff")


def test_nothing_asked_for_is_nothing() -> None:
    assert parse_requested({}, {}, {}) == Requested()
    assert parse_requested({}, {"args": None}, {"ips": None, "mac": ""}) == Requested()


@pytest.mark.parametrize(
    ("runtime", "named"),
    [
        ({"ips": ["10.0.0.300"]}, 'runtimeConfig.ips=["10.0.0.300"]'),
        ({"ips": "10.0.0.3"}, 'runtimeConfig.ips="10.0.0.3"'),
        ({"ips": [167772163]}, "runtimeConfig.ips=[167772163]"),
        ({"mac": "xx"}, 'runtimeConfig.mac="xx"'),
        ({"mac": 5}, "runtimeConfig.mac=5"),
    ],
)
def test_c44_malformed_requests_are_refused_by_key_and_value(runtime: dict[str, object], named: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_requested({}, {}, runtime)
    assert caught.value.code is ErrorCode.INVALID_NETWORK_CONFIG
    assert named in caught.value.msg


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("portMappings", [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}], "chain the portmap plugin"),
        ("PortMappings", [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp"}], "chain the portmap plugin"),
        ("infinibandGUID", "c2:11:22:33:44:55:66:77", "no InfiniBand device"),
        ("deviceID", "0000:01:00.1", "no device of the host's"),
        ("aliases", ["db"], "gives pods no names"),
    ],
)
def test_c13_c44_c45_a_capability_that_weft_does_not_have_is_refused_by_key_and_value(key, value, advice):
    with pytest.raises(CniError) as caught:
        parse_requested({}, {}, {key: value})
    assert caught.value.code == 2
    assert f"runtimeConfig.{key}={json.dumps(value, separators=(',', ':'))[:100]}" in caught.value.msg
    assert advice in caught.value.msg
    assert parse_requested({}, {}, {key: type(value)()}) == Requested()


@pytest.mark.parametrize("key", ["cgroupPath", "CNIDeviceInfoFile", "x"])
def test_c44_what_only_informs_is_left_alone(key):
    assert parse_requested({}, {}, {key: {"a": "b"}}) == Requested()


def test_c44_c45_dns_of_the_runtime_beats_that_of_the_configuration():
    conf = {"dns": {"nameservers": ["10.96.0.10"], "domain": "local", "search": ["svc"], "options": ["ndots:5"]}}
    assert parse_requested({}, conf, {}).dns == Dns(("10.96.0.10",), "local", ("svc",), ("ndots:5",))
    asked = {"DNS": {"Servers": ["10.0.0.1"], "Searches": ["a", "b"], "Options": ["edns0"]}}
    assert parse_requested({}, conf, asked).dns == Dns(("10.0.0.1",), "", ("a", "b"), ("edns0",))


def test_c44_dns_that_cannot_be_read_is_refused():
    with pytest.raises(CniError, match=r"runtimeConfig\.dns\.servers=7"):
        parse_requested({}, {}, {"dns": {"servers": 7}})
    with pytest.raises(
        CniError, match=r"runtimeConfig\.dns\.nameservers=.*expected one of servers, searches, options"
    ):
        parse_requested({}, {}, {"dns": {"nameservers": ["10.0.0.1"]}})


@pytest.mark.parametrize("key", ["shapedSubnets", "unshapedSubnets"])
def test_c44_what_is_not_to_be_shaped_is_refused(key):
    asked = {"ingressRate": 8000, "ingressBurst": 16000, key: ["10.0.0.0/8"]}
    with pytest.raises(CniError, match=rf'runtimeConfig\.bandwidth\.{key}=\["10\.0\.0\.0/8"\]') as caught:
        parse_bandwidth({"bandwidth": asked})
    assert caught.value.code is ErrorCode.UNSUPPORTED_FIELD
    assert parse_bandwidth({"bandwidth": {**asked, key: []}}).ingress == Limit(8000, 16000)


def test_c44_c45_limits_in_each_direction():
    asked = {"IngressRate": 8000, "ingressBurst": 16000, "egressRate": 0, "EgressBurst": 0}
    assert parse_requested({}, {}, {"Bandwidth": asked}).bandwidth == Bandwidth(ingress=Limit(8000, 16000))
    both = {"ingressRate": 8, "ingressBurst": 8, "egressRate": 16, "egressBurst": 24}
    assert parse_bandwidth({"bandwidth": both}) == Bandwidth(Limit(8, 8), Limit(16, 24))
    assert parse_bandwidth({"bandwidth": None}) == parse_bandwidth({}) == Bandwidth()


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"ingressRate": 8}, "runtimeConfig.bandwidth.ingressBurst=0"),
        ({"egressBurst": 8}, "runtimeConfig.bandwidth.egressRate=0"),
        ({"egressRate": 7, "egressBurst": 8}, "runtimeConfig.bandwidth.egressRate=7"),
        ({"EgressRate": "1M", "egressBurst": 8}, 'runtimeConfig.bandwidth.egressRate="1M"'),
        ({"ingressRate": 8, "ingressBurst": 2**35}, f"runtimeConfig.bandwidth.ingressBurst={2**35}"),
        ({"ingressRate": 2**63, "ingressBurst": 8}, f"runtimeConfig.bandwidth.ingressRate={2**63}"),
        ("1M", 'runtimeConfig.bandwidth="1M"'),
    ],
)
def test_c44_a_limit_that_cannot_be_read_is_refused_by_key_and_value(asked, named):
    with pytest.raises(CniError) as caught:
        parse_bandwidth({"bandwidth": asked})
    assert caught.value.code is ErrorCode.INVALID_NETWORK_CONFIG
    assert named in caught.value.msg

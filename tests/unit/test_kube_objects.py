"""Kubernetes objects are parsed once, and what cannot be used is refused by name."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest

from kube.objects import NamedPort, ParseError, parse_namespace, parse_node, parse_pod


def encode(tree: dict[str, Any]) -> bytes:
    return msgspec.json.encode(tree)


def node(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> bytes:
    return encode({"metadata": {"name": "w1"}, "spec": spec or {}, "status": status or {}})


def pod(**parts: Any) -> bytes:
    return encode({"metadata": {"name": "web", "namespace": "shop"}} | parts)


def refused(parse: Any, raw: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse(raw)
    return caught.value


class TestMeta:
    def test_every_field_we_read(self) -> None:
        meta = parse_namespace(
            encode(
                {
                    "kind": "Namespace",
                    "metadata": {
                        "name": "shop",
                        "uid": "u-1",
                        "resourceVersion": "42",
                        "labels": {"a": "b"},
                        "annotations": {"weft.dev/x": "y"},
                        "creationTimestamp": "2026-11-23T10:00:00Z",
                        "deletionTimestamp": "2026-11-23T11:00:00Z",
                        "managedFields": [{"anything": 1}],
                    },
                }
            )
        ).meta
        assert (meta.name, meta.namespace, meta.uid, meta.resource_version) == ("shop", "", "u-1", "42")
        assert (meta.labels, meta.annotations) == ({"a": "b"}, {"weft.dev/x": "y"})
        assert meta.created == datetime(2026, 11, 23, 10, tzinfo=UTC)
        assert meta.deleting
        assert meta.key == "shop"

    def test_null_is_empty(self) -> None:
        raw = encode({"metadata": {"name": "x", "labels": None, "creationTimestamp": None}})
        meta = parse_namespace(raw).meta
        assert (meta.labels, meta.annotations, meta.created, meta.deleting) == ({}, {}, None, False)

    def test_a_copy_of_the_object_in_an_annotation_is_not_kept(self) -> None:
        blob = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 1000, "keep": "me"}
        meta = parse_namespace(encode({"metadata": {"name": "x", "annotations": blob}})).meta
        assert meta.annotations == {"keep": "me"}

    def test_a_namespaced_key(self) -> None:
        assert parse_pod(pod()).meta.key == "shop/web"


class TestNode:
    def test_dual_stack(self) -> None:
        parsed = parse_node(
            node(
                {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00:1::/64"]},
                {
                    "addresses": [
                        {"type": "Hostname", "address": "w1"},
                        {"type": "InternalIP", "address": "192.0.2.1"},
                        {"type": "InternalIP", "address": "2001:db8::1"},
                    ]
                },
            )
        )
        assert parsed.pod_cidrs == (ip_network("10.1.0.0/24"), ip_network("fd00:1::/64"))
        assert parsed.internal_ips == (ip_address("192.0.2.1"), ip_address("2001:db8::1"))

    def test_falls_back_to_the_single_field(self) -> None:
        assert parse_node(node({"podCIDR": "10.1.0.0/24"})).pod_cidrs == (ip_network("10.1.0.0/24"),)

    def test_without_pod_cidrs_is_valid(self) -> None:
        assert parse_node(encode({"metadata": {"name": "w1"}})).pod_cidrs == ()

    @pytest.mark.parametrize(
        ("cidr", "hint"),
        [
            ("10.1.0.5/24", "did you mean 10.1.0.0/24?"),
            ("fd00::1/64", "did you mean fd00::/64?"),
            ("10.1.0.0", "did you mean 10.1.0.0/32?"),
            ("10.1.0.0/33", "not a network"),
            ("banana", "not a network"),
            ("0.0.0.0/0", "private range"),
            ("224.0.0.0/8", "private range"),
            ("127.0.0.0/8", "private range"),
        ],
    )
    def test_bad_cidrs_name_object_field_value_and_cure(self, cidr: str, hint: str) -> None:
        error = refused(parse_node, node({"podCIDRs": [cidr]}))
        assert (error.kind, error.key, error.field, error.value) == ("Node", "w1", "spec.podCIDRs[0]", cidr)
        assert hint in str(error)
        assert str(error).startswith(f"Node w1: spec.podCIDRs[0] is {cidr!r}: ")

    @pytest.mark.parametrize(
        "cidrs", [["10.1.0.0/24", "10.2.0.0/24"], ["fd00:1::/64", "fd00:2::/64"], ["10.1.0.0/24", "fd00::/64"] * 2]
    )
    def test_one_cidr_per_family(self, cidrs: list[str]) -> None:
        assert "at most one per family" in str(refused(parse_node, node({"podCIDRs": cidrs})))

    def test_bad_internal_ip(self) -> None:
        error = refused(parse_node, node(status={"addresses": [{"type": "InternalIP", "address": "1.2.3"}]}))
        assert (error.field, error.value) == ("status.addresses[0].address", "1.2.3")


class TestPod:
    def test_every_field_we_read(self) -> None:
        parsed = parse_pod(
            pod(
                spec={
                    "nodeName": "w1",
                    "hostNetwork": True,
                    "containers": [
                        {"ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81}]},
                        {"ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
                    ],
                },
                status={"phase": "Running", "podIP": "10.1.0.2", "podIPs": [{"ip": "10.1.0.2"}, {"ip": "fd00::2"}]},
            )
        )
        assert (parsed.node_name, parsed.host_network, parsed.phase) == ("w1", True, "Running")
        assert parsed.ips == (ip_address("10.1.0.2"), ip_address("fd00::2"))
        assert parsed.ports == (NamedPort("http", 80, "TCP"), NamedPort("dns", 53, "UDP"))

    def test_a_new_pod_has_nothing_yet(self) -> None:
        parsed = parse_pod(pod(spec={}))
        assert (parsed.node_name, parsed.host_network, parsed.phase) == ("", False, "Pending")
        assert (parsed.ips, parsed.ports) == ((), ())

    def test_falls_back_to_the_single_address(self) -> None:
        assert parse_pod(pod(status={"podIP": "10.1.0.2"})).ips == (ip_address("10.1.0.2"),)

    def test_ports_of_sidecars_count_and_of_other_init_containers_do_not(self) -> None:
        init = [
            {"restartPolicy": "Always", "ports": [{"name": "proxy", "containerPort": 15001}]},
            {"ports": [{"name": "setup", "containerPort": 1}]},
        ]
        assert [port.name for port in parse_pod(pod(spec={"initContainers": init})).ports] == ["proxy"]

    @pytest.mark.parametrize(
        ("phase", "finished"),
        [("Pending", False), ("Running", False), ("Unknown", False), ("Succeeded", True), ("Failed", True)],
    )
    def test_finished(self, phase: str, finished: bool) -> None:
        assert parse_pod(pod(status={"phase": phase})).finished is finished

    @pytest.mark.parametrize(
        ("parts", "field", "value"),
        [
            ({"status": {"podIPs": [{"ip": "x"}]}}, "status.podIPs[0].ip", "x"),
            ({"status": {"podIP": "10.0.0.1/32"}}, "status.podIP", "10.0.0.1/32"),
            ({"status": {"podIPs": [{"ip": "1.1.1.1"}] * 2}}, "status.podIPs", ["1.1.1.1", "1.1.1.1"]),
            (
                {"spec": {"containers": [{"ports": [{"name": "a", "containerPort": 70000}]}]}},
                "spec.containers[].ports[a].containerPort",
                70000,
            ),
            (
                {"spec": {"containers": [{"ports": [{"name": "a", "containerPort": 7, "protocol": "ICMP"}]}]}},
                "spec.containers[].ports[a].protocol",
                "ICMP",
            ),
        ],
    )
    def test_bad_values(self, parts: dict[str, Any], field: str, value: object) -> None:
        error = refused(parse_pod, pod(**parts))
        assert (error.key, error.field, error.value) == ("shop/web", field, value)

    def test_a_pod_needs_a_namespace(self) -> None:
        assert refused(parse_pod, encode({"metadata": {"name": "web"}})).field == "metadata.namespace"


class TestBrokenObjects:
    def test_a_wrong_type_is_named_by_path_and_value(self) -> None:
        error = refused(parse_node, node({"podCIDRs": ["10.0.0.0/24", 7]}))
        assert (error.key, error.field, error.value) == ("w1", "spec.podCIDRs[1]", 7)
        assert "str" in error.why

    def test_a_wrong_member_of_a_map_shows_the_map(self) -> None:
        error = refused(parse_namespace, encode({"metadata": {"name": "x", "labels": {"a": 1}}}))
        assert error.key == "x"
        assert error.value == {"a": 1}

    @pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
    def test_not_json(self, raw: bytes) -> None:
        assert "not JSON" in str(refused(parse_pod, raw))

    @pytest.mark.parametrize("raw", [b"[]", b"3", b"null", b'{"metadata":{}}', b'{"metadata":[]}', b"{}"])
    def test_not_an_object(self, raw: bytes) -> None:
        assert refused(parse_pod, raw).key in ("(unnamed)", "(unreadable)")

    def test_an_empty_name(self) -> None:
        assert refused(parse_namespace, encode({"metadata": {"name": ""}})).field == "metadata.name"

    def test_a_huge_value_is_cut_in_the_message(self) -> None:
        assert len(str(refused(parse_node, node({"podCIDR": "9" * 10_000})))) < 400

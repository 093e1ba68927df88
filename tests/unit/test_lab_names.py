"""Names and addresses of labs: no two things share one, and nothing of one lab looks like another's."""

from __future__ import annotations

import itertools

import pytest

from lab import names
from lab.names import Family, LabNameError, LabPaths, Underlay


@pytest.mark.parametrize("name", ["lab", "a", "demo-2", "node1", "x" * 20])
def test_lab_names_that_can_be_used(name: str) -> None:
    assert names.check_lab_name(name) == name


@pytest.mark.parametrize("name", ["", "Lab", "-lab", "lab-", "a--b", "a/b", "..", "x" * 21, "lab\n"])
def test_lab_names_that_cannot_be_used_are_quoted_in_the_error(name: str) -> None:
    with pytest.raises(LabNameError) as error:
        names.check_lab_name(name)
    assert repr(name) in str(error.value)


def test_a_lab_may_not_be_called_like_a_node_of_another_lab() -> None:
    with pytest.raises(LabNameError, match="-node<number>"):
        names.check_lab_name("lab-node3")


def test_the_pattern_of_a_lab_matches_its_namespaces_only() -> None:
    pattern = names.namespace_pattern("lab")
    own = [
        names.underlay_namespace("lab"),
        names.node_namespace("lab", "node12"),
        names.pod_namespace("lab", "node12", "default/web"),
    ]
    others = [
        names.underlay_namespace("lab2"),
        names.underlay_namespace("lab-b"),
        names.node_namespace("lab-b", "node1"),
        names.pod_namespace("a-lab", "node1", "default/web"),
        "lab",
        "weft-lab-other",
    ]
    assert all(pattern.fullmatch(name) for name in own)
    assert not any(pattern.fullmatch(name) for name in others)


def test_pod_namespaces_differ_by_pod_and_fit_a_file_name() -> None:
    keys = [f"{namespace}/{'p' * 253}{i}" for namespace, i in itertools.product(("a", "b"), range(50))]
    found = {names.pod_namespace("lab", "node1", key) for key in keys}
    assert len(found) == len(keys)
    assert max(map(len, found)) < 64


@pytest.mark.parametrize("underlay", list(Underlay))
def test_every_node_has_its_own_addresses(underlay: Underlay) -> None:
    hosts = [
        interface.address
        for number in range(1, names.MAX_NODES + 1)
        for interface in names.host_interfaces(underlay, number, Family.DUAL)
    ]
    gateway = [interface.address for interface in names.gateway_interfaces(Family.DUAL)]
    assert len({*hosts, *gateway}) == 2 * names.MAX_NODES + 2


@pytest.mark.parametrize(("family", "versions"), [("dual", (4, 6)), ("ipv4", (4,)), ("ipv6", (6,))])
def test_a_family_decides_what_addresses_there_are(family: str, versions: tuple[int, ...]) -> None:
    chosen = Family(family)
    assert tuple(net.version for net in names.pod_cidrs(3, chosen)) == versions
    for underlay in Underlay:
        assert tuple(i.address.version for i in names.host_interfaces(underlay, 3, chosen)) == versions


def test_pod_cidrs_do_not_overlap() -> None:
    cidrs = [net for number in range(1, names.MAX_NODES + 1) for net in names.pod_cidrs(number, Family.DUAL)]
    pairs = itertools.combinations(cidrs, 2)
    assert not any(a.version == b.version and a.overlaps(b) for a, b in pairs)


def test_addresses_are_those_of_the_documentation() -> None:
    management = names.host_interfaces(Underlay.MANAGEMENT, 2, Family.DUAL)
    assert [f"{i.address}/{i.prefix_length}" for i in management] == ["198.18.0.2/24", "fd57:e0::2/64"]
    assert [str(net) for net in names.pod_cidrs(2, Family.DUAL)] == ["10.244.2.0/24", "fd57:244:0:2::/64"]
    assert names.api_address(Family.DUAL) == "198.18.0.254:6443"
    assert names.api_address(Family.IPV6) == "[fd57:e0::fe]:6443"


def test_unix_sockets_fit_the_kernels_limit_with_the_longest_names() -> None:
    paths = LabPaths("x" * 20)
    node = paths.node(names.node_name(names.MAX_NODES))
    sockets = [paths.openflow_socket, node.ovsdb_socket, node.cni_socket, node.ovs / "ovs-vswitchd.1234567.ctl"]
    assert max(len(str(path)) for path in sockets) <= 107


def test_everything_of_a_lab_is_under_its_directory() -> None:
    paths = LabPaths("lab")
    node = paths.node("node1")
    found = [paths.state, paths.kubeconfig, paths.relay, paths.log, node.database, node.agent_config, node.cni_conf]
    assert all(path.is_relative_to("/run/weft-lab") for path in found)

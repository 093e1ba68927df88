"""What the containers may do on a node: no more than is written here, with the reason in the templates."""

from __future__ import annotations

import pytest
from chart_fixture import Obj, case_names, containers, rendered

CAPABILITIES = {
    "weft-controller": [],
    "weft-install": [],
    "weft-agent": ["NET_ADMIN", "SYS_ADMIN"],
    "weft-ovs": ["NET_ADMIN", "NET_RAW"],
}
# Files of the node that a container can change.
WRITABLE = {
    "weft-controller": set(),
    "weft-install": {"/opt/cni/bin", "/etc/cni/net.d"},
    "weft-agent": {"/run/weft", "/run/weft/openvswitch", "/var/run/netns", "/proc/sys/net"},
    "weft-ovs": {"/var/lib/weft/openvswitch", "/run/weft/openvswitch"},
}


def pods(case: str, *arguments: str) -> list[Obj]:
    return [each["spec"]["template"] for each in rendered(case, *arguments) if "template" in each.get("spec", {})]


@pytest.mark.parametrize("case", case_names())
def test_no_container_is_privileged_or_can_become_so(case: str) -> None:
    for pod in pods(case):
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "hostPID" not in pod["spec"]
        for container in containers(pod):
            context = container["securityContext"]
            assert "privileged" not in context
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"]["drop"] == ["ALL"]


def test_the_controller_is_not_root() -> None:
    (pod,) = (
        each for each in pods("defaults") if each["metadata"]["labels"]["app.kubernetes.io/component"] == "controller"
    )
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["runAsUser"] == 65532


def test_capabilities_are_those_that_are_known_to_be_needed() -> None:
    seen = {
        container["name"]: container["securityContext"]["capabilities"].get("add", [])
        for pod in pods("defaults")
        for container in containers(pod)
    }
    assert seen == CAPABILITIES


def test_a_controller_beside_the_agent_may_write_to_the_switch_s_directory_and_nothing_else() -> None:
    assert dict(entry for pod in pods("node") for entry in writable(pod))["weft-controller"] == {
        "/run/weft/openvswitch"
    }
    capabilities = {
        case: next(
            container["securityContext"]["capabilities"].get("add", [])
            for pod in pods(case)
            for container in containers(pod)
            if container["name"] == "weft-controller"
        )
        for case in ("node", "node-host-ovs")
    }
    # The node's own Open vSwitch may have its directory under another user.
    assert capabilities == {"node": [], "node-host-ovs": ["DAC_OVERRIDE"]}


def test_files_of_the_node_are_those_that_are_known_to_be_needed() -> None:
    assert {name: paths for pod in pods("defaults") for name, paths in writable(pod)} == WRITABLE


def test_only_a_datapath_in_user_space_makes_tap_devices() -> None:
    assert "/dev/net/tun" in dict(entry for pod in pods("netdev") for entry in writable(pod))["weft-ovs"]


def test_only_who_asks_the_api_has_a_token() -> None:
    tokens = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["spec"]["automountServiceAccountToken"]
        for pod in pods("defaults")
    }
    assert tokens == {"controller": True, "agent": True, "ovs": False}


def writable(pod: Obj) -> list[tuple[str, set[str]]]:
    hosts = {each["name"]: each["hostPath"]["path"] for each in pod["spec"]["volumes"] if "hostPath" in each}
    return [
        (
            container["name"],
            {
                hosts[mount["name"]]
                for mount in container["volumeMounts"]
                if mount["name"] in hosts and not mount.get("readOnly")
            },
        )
        for container in containers(pod)
    ]

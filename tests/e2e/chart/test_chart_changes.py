"""What a changed value restarts: the pods it concerns, and Open vSwitch only when there is no way around it."""

from __future__ import annotations

import copy

import pytest
from chart_fixture import Obj, containers, one, rendered, template_of

CONTROLLER = ("Deployment", "weft-controller")
AGENT = ("DaemonSet", "weft-agent")
OVS = ("DaemonSet", "weft-ovs")
WORKLOADS = (CONTROLLER, AGENT, OVS)


def restarted(*arguments: str, case: str = "defaults") -> set[str]:
    """The workloads whose pods an upgrade to these values replaces, or would if they were asked to."""
    before, after = rendered(case), rendered(case, *arguments)
    return {name for kind, name in WORKLOADS if template_of(before, kind, name) != template_of(after, kind, name)}


def without_images(pod: Obj) -> Obj:
    bare = copy.deepcopy(pod)
    for each in containers(bare):
        del each["image"]
    return bare


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("logLevel=debug", {"weft-controller", "weft-agent"}),
        ("controller.auditSeconds=30", {"weft-controller"}),
        ("controller.replicas=3", set()),
        ("agent.leftoverSeconds=60", {"weft-agent"}),
        ('cni.conflist={"plugins":[{"type":"weft"}]}', {"weft-agent"}),
        ("defaultMTU=1400", {"weft-agent"}),
        ("tls.generated.renewal=2030-01-01", {"weft-controller", "weft-agent"}),
        ("metrics.enabled=true", {"weft-controller", "weft-agent"}),
        ("image.controller.tag=2", {"weft-controller"}),
        ("agent.maxUnavailable=5", set()),
        ("ovs.updateStrategy=RollingUpdate", set()),
        ("ovs.podLabels.a=b", {"weft-ovs"}),
    ],
)
def test_a_value_restarts_those_that_it_concerns(value: str, names: set[str]) -> None:
    flag = "--set-literal" if value.startswith(("image.", "tls.", "cni.")) else "--set"
    assert restarted(f"{flag}={value}") == names


@pytest.mark.parametrize("ovs", ["pod", "host"])
def test_another_placement_of_controllers_leaves_open_vswitch_alone(ovs: str) -> None:
    central, node = (
        rendered("defaults", f"--set=placement={each},ovs.placement={ovs}") for each in ("central", "node")
    )
    assert template_of(central, *AGENT) != template_of(node, *AGENT)
    assert [each for each in central if each["metadata"]["name"] == "weft-ovs"] == [
        each for each in node if each["metadata"]["name"] == "weft-ovs"
    ]


def test_of_open_vswitch_a_new_image_changes_the_image_alone() -> None:
    before, after = (rendered("defaults", f"--set-string=image.agent.tag={tag}") for tag in ("1", "2"))
    assert [each["image"] for each in containers(template_of(after, *OVS))] == ["weft/agent:2"]
    for workload in (OVS, AGENT):
        assert template_of(before, *workload) != template_of(after, *workload)
        assert without_images(template_of(before, *workload)) == without_images(template_of(after, *workload))


def test_open_vswitch_waits_until_somebody_deletes_its_pods() -> None:
    assert one(rendered("defaults"), *OVS)["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert one(rendered("netdev"), *OVS)["spec"]["updateStrategy"]["type"] == "RollingUpdate"


def test_selectors_have_nothing_that_an_upgrade_could_change() -> None:
    for workload in WORKLOADS:
        selectors = [one(rendered(case), *workload)["spec"]["selector"] for case in ("defaults", "netdev")]
        assert selectors[0] == selectors[1]
        assert set(selectors[0]["matchLabels"]) == {"app.kubernetes.io/name", "app.kubernetes.io/component"}

"""What a lab can be asked to be; a refusal names the setting, its value and what is allowed."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest
import yaml

from controller.settings import ControllerSettings
from daemon import settings
from lab import node
from lab.config import LabConfig, LabConfigError
from lab.names import Datapath, Family, LabNameError
from node_agent.settings import AgentSettings

S = TypeVar("S", bound=msgspec.Struct)


def test_the_defaults_are_a_two_node_dual_stack_geneve_lab() -> None:
    config = LabConfig().check()
    assert (config.name, config.nodes, config.tunnel, config.family) == ("lab", 2, "geneve", Family.DUAL)
    assert [each.name for each in config.node_configs()] == ["node1", "node2"]


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ({"nodes": 0}, "1 to 20"),
        ({"nodes": 21}, "1 to 20"),
        ({"controllers": 0}, "1 to 3"),
        ({"controllers": 4}, "1 to 3"),
        ({"tunnel": "gre"}, "geneve or vxlan"),
        ({"mtu": 1279}, "1280 to 65535"),
        ({"log_level": "loud"}, "debug, info"),
        ({"kubeconfig": "config"}, "an absolute path"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting: dict[str, Any], allowed: str) -> None:
    with pytest.raises(LabConfigError) as error:
        LabConfig(**setting).check()
    ((key, value),) = setting.items()
    assert f"{key}={value!r}" in str(error.value)
    assert allowed in str(error.value)


def test_a_bad_name_is_refused() -> None:
    with pytest.raises(LabNameError, match=r"'\.\./x'"):
        LabConfig(name="../x").check()


def test_the_agents_of_two_nodes_share_only_the_api_and_the_controller() -> None:
    one, two = (node.agent_settings(each) for each in LabConfig().node_configs())
    shared = {key for key in one if one[key] == two[key]}
    # Health is on a loopback address of each node's own namespace.
    assert {"ovsdb", "cni-socket", "node-name"}.isdisjoint(shared)


def test_agent_and_controller_meet_on_one_socket() -> None:
    config = LabConfig(name="x")
    agent = node.agent_settings(config.node_configs()[0])
    controller = node.controller_settings("x", {}, 2, "info")
    assert controller["openflow-listen"] in str(agent["controllers"])


def test_several_controllers_and_the_agents_meet_on_one_lease() -> None:
    config = LabConfig(name="x", controllers=2).check()
    agent = _parsed(AgentSettings, node.agent_settings(config.node_configs()[0]))
    api = node.api_settings("", "http://127.0.0.1:6443")
    base = node.controller_settings("x", api, 9440, "info")
    found = [_parsed(ControllerSettings, node.candidate_settings("x", n, base)).candidacy for n in (1, 2)]
    assert {str(each.key) for each in found if each} == {agent.controller_lease}
    assert len({(each.advertise, each.identity) for each in found if each}) == 2


def test_several_controllers_are_for_the_labs_own_api() -> None:
    with pytest.raises(LabConfigError, match="controllers=2: expected 1 in a cluster that is joined"):
        LabConfig(kubeconfig="/root/.kube/config", controllers=2).check()


@pytest.mark.parametrize(("datapath", "ovs_type"), [(Datapath.USERSPACE, "netdev"), (Datapath.KERNEL, "system")])
def test_agents_get_the_datapath_that_was_asked_for(datapath: Datapath, ovs_type: str) -> None:
    config = msgspec.json.decode(msgspec.json.encode(LabConfig(datapath=datapath)), type=LabConfig)
    assert [node.agent_settings(each)["datapath-type"] for each in config.node_configs()] == [ovs_type] * 2


def test_the_userspace_datapath_is_the_default() -> None:
    assert {each.datapath for each in LabConfig().node_configs()} == {Datapath.USERSPACE}


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("tunnel", ["geneve", "vxlan"])
def test_the_programs_take_the_settings_that_the_lab_writes(family: Family, tunnel: str) -> None:
    each = LabConfig(family=family, tunnel=tunnel).node_configs()[1]
    agent = _parsed(AgentSettings, node.agent_settings(each))
    assert (agent.node_name, agent.tunnel_type) == ("node2", tunnel)
    api = node.api_settings("", "http://127.0.0.1:6443")
    controller = _parsed(ControllerSettings, node.controller_settings("lab", api, 9440, "debug"))
    assert controller.api_server == "http://127.0.0.1:6443"


def test_the_programs_of_a_lab_that_joins_a_cluster_take_its_kubeconfigs() -> None:
    config = LabConfig(name="x", kubeconfig="/root/.kube/config").check()
    agent = _parsed(AgentSettings, node.agent_settings(config.node_configs()[0]))
    assert (agent.api_server, agent.kubeconfig) == (None, str(config.paths.nodes_kubeconfig))
    api = node.api_settings(str(config.paths.kubeconfig), "https://10.0.0.1")
    controller = _parsed(ControllerSettings, node.controller_settings("x", api, 9440, "info"))
    assert (controller.api_server, controller.kubeconfig) == (None, str(config.paths.kubeconfig))


def _parsed(cls: type[S], written: dict[str, Any]) -> S:
    return settings.parse(cls, ["--config", "lab.yaml"], prog="test", read=lambda _: yaml.safe_dump(written))

"""What the chart tells the daemons, they understand: their own loader reads the files and flags of every case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chart_fixture import Obj, case_names, containers, one, pod_with, rendered, template_of

from controller.settings import ControllerSettings
from daemon.settings import parse
from node_agent.settings import AgentSettings

CASES = pytest.mark.parametrize("case", case_names())


def loaded(cls: type[msgspec.Struct], objects: list[Obj], prog: str, **env: str) -> Any:
    """The settings that a daemon of the chart has, in a pod with these variables."""
    _, container = pod_with(objects, prog)
    text = one(objects, "ConfigMap", prog)["data"][f"{prog.removeprefix('weft-')}.yaml"]
    flags = [substituted(each, env) for each in container["args"]]
    return parse(cls, flags, prog=prog, read=lambda _: text)


def substituted(argument: str, env: dict[str, str]) -> str:
    """As the kubelet does it."""
    for name, value in env.items():
        argument = argument.replace(f"$({name})", value)
    assert "$(" not in argument
    return argument


def controller(case: str) -> Any:
    pod = {"POD_NAME": "weft-controller-1", "POD_IP": "fd00::7" if case == "ipv6" else "192.0.2.7"}
    return loaded(ControllerSettings, rendered(case), "weft-controller", NODE_NAME="node1", **pod)


def agent(case: str) -> Any:
    return loaded(AgentSettings, rendered(case), "weft-agent", NODE_NAME="node1")


@CASES
def test_the_controller_understands_its_settings(case: str) -> None:
    assert controller(case).health_address.rpartition(":")[0] in ("127.0.0.1", "0.0.0.0", "[::]")


@CASES
def test_the_agent_understands_its_settings(case: str) -> None:
    assert agent(case).node_name == "node1"
    assert agent(case).ovsdb == "unix:/run/openvswitch/db.sock"


@CASES
def test_the_file_that_is_named_is_the_one_that_is_mounted(case: str) -> None:
    objects = rendered(case)
    for name in ("weft-controller", "weft-agent"):
        pod, container = pod_with(objects, name)
        (config,) = (Path(each.removeprefix("--config=")) for each in container["args"] if "--config=" in each)
        (mount,) = (each for each in container["volumeMounts"] if Path(each["mountPath"]) == config.parent)
        (volume,) = (each for each in pod["spec"]["volumes"] if each["name"] == mount["name"])
        assert config.name in one(objects, "ConfigMap", volume["configMap"]["name"])["data"]


def test_what_is_not_said_is_left_to_the_daemons() -> None:
    assert agent("defaults").tunnel_port is None
    assert agent("defaults").mtu is None
    assert agent("defaults").transport_interface is None


def test_values_of_the_network_arrive() -> None:
    chosen = agent("netdev")
    assert (chosen.datapath_type, chosen.transport_interface) == ("netdev", "eth1")
    assert (chosen.tunnel_type, chosen.tunnel_port, chosen.mtu) == ("vxlan", 8472, 1400)
    assert agent("host-ovs").bridge == controller("host-ovs").bridge == "br-weft"


def test_a_configuration_list_of_ones_own_is_what_the_nodes_get() -> None:
    objects = rendered("ipv6")
    kept = one(objects, "ConfigMap", "weft-agent")["data"]["10-weft.conflist"]
    assert [each["type"] for each in json.loads(kept)["plugins"]] == ["weft", "portmap"]
    install = next(containers(template_of(objects, "DaemonSet", "weft-agent")))
    assert "--conflist=/etc/weft/config/10-weft.conflist" in install["args"]
    assert "/etc/weft/config" in [each["mountPath"] for each in install["volumeMounts"]]
    assert "10-weft.conflist" not in one(rendered("defaults"), "ConfigMap", "weft-agent")["data"]


def test_large_numbers_arrive_whole() -> None:
    assert controller("ipv6").audit_seconds == agent("ipv6").leftover_seconds == 2_000_000


def test_addresses_of_both_families_are_written_as_they_must_be() -> None:
    v4, v6 = (
        next(containers(template_of(rendered(case), "Deployment", "weft-controller")))["args"]
        for case in ("defaults", "ipv6")
    )
    assert "--advertise=ssl:$(POD_IP):6653" in v4
    assert "--openflow-listen=ssl:$(POD_IP):6653" in v4
    assert "--advertise=ssl:[$(POD_IP)]:16653" in v6
    assert "--openflow-listen=ssl:[$(POD_IP)]:16653" in v6


@pytest.mark.parametrize("case", ["node", "node-host-ovs"])
def test_a_controller_beside_the_agent_and_the_switch_meet_at_one_socket(case: str) -> None:
    chosen, own = controller(case), agent(case)
    assert (chosen.node_name, own.node_name) == ("node1", "node1")
    assert (chosen.candidacy, own.lease, chosen.tls, own.tls, own.listening) == (None, None, None, None, None)
    pod, container = pod_with(rendered(case), "weft-controller")
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "ovs-run")
    (volume,) = (each for each in pod["spec"]["volumes"] if each["name"] == "ovs-run")
    listen = Path(chosen.openflow_listen.removeprefix("unix:"))
    assert listen.parent == Path(mount["mountPath"])
    # The controller takes the database's path from the agent, which is in the same pod.
    (of_agent,) = (
        each for each in pod_with(rendered(case), "weft-agent")[1]["volumeMounts"] if each["name"] == "ovs-run"
    )
    assert of_agent["mountPath"] == mount["mountPath"]
    # The node's own Open vSwitch has the directory where the node has it, its pod where the agent's has.
    seen = volume["hostPath"]["path"] if case == "node-host-ovs" else mount["mountPath"]
    assert own.controllers == (f"unix:{seen}/{listen.name}",)


def test_a_controller_beside_the_agent_needs_nothing_for_others_to_find_or_trust_it() -> None:
    made = {(each["kind"], each["metadata"]["name"]) for each in rendered("node")}
    assert not {kind for kind, _ in made} & {"Deployment", "PodDisruptionBudget", "Secret", "Lease", "Role"}
    assert ("ServiceAccount", "weft-controller") not in made
    binding = one(rendered("node"), "ClusterRoleBinding", "weft-controller")
    assert [each["name"] for each in binding["subjects"]] == ["weft-agent"]
    assert "checksum/controller-config" in pod_with(rendered("node"), "weft-agent")[0]["metadata"]["annotations"]


def test_metrics_are_for_the_node_alone_unless_they_are_enabled() -> None:
    assert agent("defaults").health_address == "127.0.0.1:9443"
    assert controller("defaults").health_address == "127.0.0.1:9440"
    assert agent("metrics").health_address == "[::]:9443"
    assert controller("metrics").health_address == "[::]:9440"


@pytest.mark.parametrize("case", ["metrics", "node"])
def test_metrics_are_found_in_the_pods_that_have_them(case: str) -> None:
    objects = rendered(case)
    for name in ("weft-controller", "weft-agent"):
        spec = one(objects, "Service", f"{name}-metrics")["spec"]
        pod, container = pod_with(objects, name)
        assert spec["selector"].items() <= pod["metadata"]["labels"].items()
        (port,) = spec["ports"]
        target = {each["name"]: each["containerPort"] for each in container["ports"]}[port["targetPort"]]
        assert target == port["port"]
        others = [each for each in pod["spec"]["containers"] if each["name"] != name]
        assert port["targetPort"] not in {each["name"] for other in others for each in other.get("ports", ())}


@CASES
def test_probes_ask_where_the_daemons_answer(case: str) -> None:
    objects = rendered(case)
    for chosen, name, port in (
        (controller(case), "weft-controller", "ctrl-health"),
        (agent(case), "weft-agent", "health"),
    ):
        _, container = pod_with(objects, name)
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert ports[port] == int(chosen.health_address.rpartition(":")[2])
        for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            asked = container[probe]["httpGet"]
            assert (asked["host"], asked["path"], asked["port"]) == ("127.0.0.1", path, port)

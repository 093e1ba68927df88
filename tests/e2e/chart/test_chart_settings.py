"""What the chart tells the daemons, they understand: their own loader reads the files and flags of every case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chart_fixture import Obj, case_names, containers, one, rendered, template_of

from controller.settings import ControllerSettings
from daemon.settings import parse
from node_agent.settings import AgentSettings

CASES = pytest.mark.parametrize("case", case_names())


def loaded(cls: type[msgspec.Struct], objects: list[Obj], kind: str, prog: str, **env: str) -> Any:
    """The settings that a daemon of the chart has, in a pod with these variables."""
    (container,) = (each for each in containers(template_of(objects, kind, prog)) if each["name"] == prog)
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
    return loaded(ControllerSettings, rendered(case), "Deployment", "weft-controller", **pod)


def agent(case: str) -> Any:
    return loaded(AgentSettings, rendered(case), "DaemonSet", "weft-agent", NODE_NAME="node1")


@CASES
def test_the_controller_understands_its_settings(case: str) -> None:
    assert controller(case).health_address.rpartition(":")[0] in ("127.0.0.1", "[::]")


@CASES
def test_the_agent_understands_its_settings(case: str) -> None:
    assert agent(case).node_name == "node1"
    assert agent(case).ovsdb == "unix:/run/openvswitch/db.sock"


@CASES
def test_the_file_that_is_named_is_the_one_that_is_mounted(case: str) -> None:
    objects = rendered(case)
    for kind, name in (("Deployment", "weft-controller"), ("DaemonSet", "weft-agent")):
        pod = template_of(objects, kind, name)
        (container,) = (each for each in containers(pod) if each["name"] == name)
        (config,) = (Path(each.removeprefix("--config=")) for each in container["args"] if "--config=" in each)
        (mount,) = (each for each in container["volumeMounts"] if each["name"] == "config")
        (volume,) = (each for each in pod["spec"]["volumes"] if each["name"] == "config")
        assert config.parent == Path(mount["mountPath"])
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


def test_metrics_are_for_the_node_alone_unless_they_are_enabled() -> None:
    assert agent("defaults").health_address == "127.0.0.1:9443"
    assert controller("defaults").health_address == "127.0.0.1:9440"
    assert agent("metrics").health_address == "[::]:9443"
    assert controller("metrics").health_address == "[::]:9440"


@CASES
def test_probes_ask_where_the_daemons_answer(case: str) -> None:
    objects = rendered(case)
    for chosen, kind, name in (
        (controller(case), "Deployment", "weft-controller"),
        (agent(case), "DaemonSet", "weft-agent"),
    ):
        (container,) = (each for each in containers(template_of(objects, kind, name)) if each["name"] == name)
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert ports["health"] == int(chosen.health_address.rpartition(":")[2])
        for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            asked = container[probe]["httpGet"]
            assert (asked["host"], asked["path"], asked["port"]) == ("127.0.0.1", path, "health")

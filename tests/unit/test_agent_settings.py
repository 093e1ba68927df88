"""Settings of weft-agent: defaults for a real node, and one line for every mistake."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from daemon.settings import SettingsError, parse
from node_agent.settings import TUNNEL_PORTS, AgentSettings

MINIMUM = ["--node-name", "n1"]
TLS = [
    "--tls-ca", "/etc/weft/tls/ca.crt", "--tls-certificate", "/etc/weft/tls/tls.crt",
    "--tls-key", "/etc/weft/tls/tls.key",
]  # fmt: skip


def settings(*flags: str, file: str = "") -> AgentSettings:
    argv = [*(["--config", "agent.yaml"] if file else []), *flags]
    return parse(AgentSettings, argv, prog="weft-agent", read=lambda _: file)


def mistake(*flags: str, file: str = "") -> str:
    """The message for settings that cannot be used, which is one line."""
    with pytest.raises(SettingsError) as caught:
        settings(*flags, file=file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_node_name_is_enough_on_a_node_with_the_kernel_datapath() -> None:
    assert settings(*MINIMUM) == AgentSettings(
        node_name="n1",
        ovsdb="unix:/run/openvswitch/db.sock",
        controllers=("unix:/run/openvswitch/weft-openflow.sock",),
        cni_socket="/run/weft/cni.sock",
        datapath_type="system",
        tunnel_type="geneve",
    )


def test_a_file_and_flags_say_the_same() -> None:
    file = """
        node-name: n1
        controllers: ["tcp:127.0.0.1:6653", "ssl:10.0.0.2:6653"]
        published-ovsdb: ssl:6640
        tls-ca: /etc/weft/tls/ca.crt
        tls-certificate: /etc/weft/tls/tls.crt
        tls-key: /etc/weft/tls/tls.key
        datapath-type: netdev
        transport-interface: eth1
        tunnel-type: vxlan
        tunnel-port: 8472
        tunnel-ip: fd00::7
        mtu: 1400
    """
    flags = [
        *MINIMUM, "--controllers", "tcp:127.0.0.1:6653,ssl:10.0.0.2:6653", "--datapath-type", "netdev",
        *TLS, "--published-ovsdb", "ssl:6640",
        "--transport-interface", "eth1", "--tunnel-type", "vxlan", "--tunnel-port", "8472", "--tunnel-ip", "fd00::7",
        "--mtu", "1400",
    ]  # fmt: skip
    made = settings(file=file)
    assert made == settings(*flags)
    assert (made.tunnel_ip, made.mtu) == (ip_address("fd00::7"), 1400)


def test_tunnel_ports_are_those_of_iana() -> None:
    assert TUNNEL_PORTS == {"geneve": 6081, "vxlan": 4789}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "required and not given: node-name"),
        (["--node-name", ""], "--node-name: empty is not allowed"),
        ([*MINIMUM, "--tunnel-type", "gre"], "--tunnel-type: gre is not allowed; give"),
        ([*MINIMUM, "--tunnel-port", "0"], "--tunnel-port: 0 is not allowed; give a whole number, at least 1"),
        ([*MINIMUM, "--tunnel-port", "65536"], "at most 65535"),
        ([*MINIMUM, "--tunnel-ip", "eth0"], "--tunnel-ip: eth0 is not allowed; give"),
        ([*MINIMUM, "--mtu", "575"], "--mtu: 575 is not allowed; give a whole number, at least 576"),
        ([*MINIMUM, "--datapath-type", "dpdk"], "--datapath-type: dpdk is not allowed"),
        ([*MINIMUM, "--log-level", "loud"], "--log-level: loud is not allowed"),
        ([*MINIMUM, "--node", "n2"], "unrecognized arguments: --node n2"),
        ([*MINIMUM, "--controllers", "10.0.0.1"], "controllers '10.0.0.1': give unix:PATH"),
        ([*MINIMUM, "--controllers", "tcp:[::1]:6653,ptcp:6653"], "controllers 'ptcp:6653': give unix:PATH"),
        (
            [*MINIMUM, "--controllers", "tcp:10.0.0.1:6653"],
            "controllers 'tcp:10.0.0.1:6653': without TLS only loopback addresses are allowed; give ssl:IP:PORT",
        ),
        (
            [*MINIMUM, "--controllers", "ssl:10.0.0.1:6653"],
            "ssl: needs the settings tls-ca, tls-certificate and tls-",
        ),
        ([*MINIMUM, *TLS, "--controllers", "ssl:fd00::1:6653"], "an IPv6 address goes in brackets"),
        ([*MINIMUM, *TLS, "--controllers", "ssl:weft.example:6653"], "'weft.example' is no IP address"),
        ([*MINIMUM, *TLS, "--controllers", "ssl:10.0.0.1:0"], "a port is 1 to 65535"),
        ([*MINIMUM, *TLS[:4]], "tls-ca, tls-certificate without tls-key: give all three, or none"),
        ([*MINIMUM, *TLS[:5], "tls.key"], "tls-key 'tls.key': give an absolute path"),
        ([*MINIMUM, "--ovsdb", "tcp:10.0.0.1:6640"], "ovsdb 'tcp:10.0.0.1:6640': without TLS only loopback"),
        ([*MINIMUM, *TLS, "--ovsdb", "ssl:10.0.0.1:6640"], "ovsdb 'ssl:10.0.0.1:6640': the database is on this node"),
        ([*MINIMUM, "--published-ovsdb", "ssl:6640"], "published-ovsdb 'ssl:6640': ssl: needs the settings tls-ca"),
        ([*MINIMUM, *TLS, "--published-ovsdb", "ssl:0"], "published-ovsdb 'ssl:0': give ssl:PORT or ssl:IP:PORT"),
        ([*MINIMUM, *TLS, "--published-ovsdb", "ssl:x:1"], "'x' is no IP address"),
        ([*MINIMUM, "--published-ovsdb", "tcp:10.0.0.1:6640"], "published-ovsdb 'tcp:10.0.0.1:6640': without TLS"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named_with_its_value(flags: list[str], words: str) -> None:
    assert words in mistake(*flags)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mtu: big", "agent.yaml: mtu: big is not allowed"),
        ("mtu: '1400'", "agent.yaml: mtu: 1400 is not allowed"),
        ("tunnelType: vxlan", "'tunnelType' is not a setting; did you mean tunnel-type?"),
        ("controllers: tcp:10.0.0.1:6653", "agent.yaml: controllers: tcp:10.0.0.1:6653 is not allowed"),
        ("node-name: n2", "node-name is given twice"),
        ("bridge: [br-int", "agent.yaml: not YAML"),
    ],
)
def test_a_line_of_the_file_that_cannot_be_used_is_named_with_its_value(line: str, words: str) -> None:
    assert words in mistake(file=f"node-name: n1\n{line}\n")


def test_settings_that_exclude_each_other_say_so() -> None:
    assert mistake(*MINIMUM, "--api-server", "http://x:1", "--kubeconfig", "/k") == (
        "api-server and kubeconfig exclude each other: give one"
    )


def test_the_userspace_datapath_needs_an_interface_for_its_tunnels() -> None:
    assert mistake(*MINIMUM, "--datapath-type", "netdev").startswith("datapath-type netdev needs transport-interface")


def test_the_lease_takes_the_place_of_controllers() -> None:
    assert settings(*MINIMUM).lease is None
    assert str(settings(*MINIMUM, "--controller-lease", "weft-system/weft-controller").lease) == (
        "weft-system/weft-controller"
    )
    both = mistake(*MINIMUM, "--controller-lease", "a/b", "--controllers", "unix:/run/a.sock")
    assert both == "controllers and controller-lease exclude each other: give one"
    assert "controller-lease 'b' names no Lease; give NAMESPACE/NAME" in mistake(*MINIMUM, "--controller-lease", "b")

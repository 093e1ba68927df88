"""What the attacher decides before it touches anything: identity, own namespace, an unknown ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import cni
from cni.errors import CniError, ErrorCode
from cni.netconf import Add, Check, Del, Gc, parse
from node_agent.attach import (
    COMMIT_SECONDS,
    FORGET_SECONDS,
    PROGRAM_SECONDS,
    Attacher,
    NodeNetwork,
    Surroundings,
    pod_mac,
)
from node_agent.bridge import NodeBridge
from ovsdb.loop import OvsdbLoop
from ovsdb.rows import AttachmentKey
from ovsdb.schema import OWN

MAC = "02:00:00:00:00:01"
REMOTE = "unix:/nowhere/db.sock"
CONF = {"cniVersion": "1.1.0", "name": "weft", "type": "weft", "prevResult": {"cniVersion": "1.1.0"}}
ENV = {
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/proc/thread-self/ns/net",
    "CNI_NETNS_OVERRIDE": "1",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
    "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
}


def command(verb: str, conf: dict[str, object] | None = None, **env: str) -> Add | Del | Check | Gc:
    parsed = parse({**ENV, "CNI_COMMAND": verb, **env}, json.dumps({**CONF, **(conf or {})}).encode())
    assert isinstance(parsed, Add | Del | Check | Gc)
    return parsed


def no_network() -> NodeNetwork:
    raise AssertionError("nothing may be allocated while the ledger is not known")


@pytest.fixture
def attacher() -> Iterator[Attacher]:
    """An attacher whose database has never been reached."""
    with OvsdbLoop() as loop:
        yield Attacher(
            NodeBridge(loop.session(REMOTE, OWN), "br-int"),
            Surroundings(no_network, list, lambda _: (), lambda _: False, lambda _: {}, lambda _: ""),
            seed=1,
        )


def refusal(attacher: Attacher, asked: Add | Del | Check | Gc) -> CniError:
    with pytest.raises(CniError) as caught:
        carry_out(attacher, asked)
    return caught.value


def carry_out(attacher: Attacher, asked: Add | Del | Check | Gc) -> None:
    match asked:
        case Add():
            attacher.add(asked)
        case Del():
            attacher.delete(asked)
        case Check():
            attacher.check(asked)
        case Gc():
            attacher.collect(asked)


@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "GC"])
def test_a_ledger_that_is_not_known_is_not_an_empty_one(attacher: Attacher, verb: str) -> None:
    """A DEL that took it for empty would leave the row, and its address, for ever."""
    refused = refusal(attacher, command(verb, {"cni.dev/valid-attachments": []}))
    assert refused.code == ErrorCode.TRY_AGAIN_LATER
    assert "Open vSwitch's database is not reachable: not connected yet" in refused.msg


def test_gc_without_a_set_needs_no_ledger(attacher: Attacher) -> None:
    asked = command("GC")
    assert isinstance(asked, Gc)
    attacher.collect(asked)


def test_c15_the_agents_own_namespace_is_refused(attacher: Attacher) -> None:
    refused = refusal(attacher, command("ADD", CNI_NETNS_OVERRIDE=""))
    assert refused.code == ErrorCode.INVALID_NETNS
    assert ENV["CNI_NETNS"] in refused.msg


@pytest.mark.parametrize(("path", "found"), [("/nowhere", "missing"), ("/etc/passwd", "a regular file")])
def test_a_path_that_is_no_namespace_is_refused(attacher: Attacher, path: str, found: str) -> None:
    refused = refusal(attacher, command("ADD", CNI_NETNS=path))
    assert refused.code == ErrorCode.INVALID_ENVIRONMENT
    assert refused.msg.startswith(f"CNI_NETNS: {path} is not a network namespace: it is {found}")


@pytest.mark.parametrize("args", ["", "K8S_POD_NAME=web", "K8S_POD_NAMESPACE=default", "IgnoreUnknown=1"])
def test_an_add_that_names_no_pod_is_refused(attacher: Attacher, args: str) -> None:
    refused = refusal(attacher, command("ADD", CNI_ARGS=args))
    assert refused.code == ErrorCode.INVALID_ENVIRONMENT
    assert "K8S_POD_NAMESPACE and K8S_POD_NAME" in refused.msg


def test_a_failed_request_gives_its_turn_back(attacher: Attacher) -> None:
    for _ in range(3):
        assert refusal(attacher, command("DEL")).code == ErrorCode.TRY_AGAIN_LATER


def test_r7_an_answer_comes_before_a_runtime_loses_patience() -> None:
    """CRI-O gives a DEL a minute, and more to an ADD. The agent, whose errors say more, speaks before the relay."""
    source = Path(cni.__file__).with_name("relay.c").read_text()
    (deadline,) = re.findall(r"DEADLINE_MS = (\d+) \* 1000,", source)
    assert PROGRAM_SECONDS + 3 * COMMIT_SECONDS + FORGET_SECONDS < int(deadline) < 60


KEY = AttachmentKey("weft", "c1", "eth0")


def test_a_pods_mac_is_unicast_and_locally_administered() -> None:
    octets = [int(octet, 16) for octet in pod_mac(KEY).split(":")]
    assert len(octets) == 6
    assert octets[0] & 0b11 == 0b10


def test_a_pods_mac_is_the_same_for_the_same_attachment_only() -> None:
    others = [replace(KEY, container="c2"), replace(KEY, ifname="eth1"), replace(KEY, network="x")]
    shifted = [AttachmentKey("weftc", "1", "eth0"), AttachmentKey("weft", "c1e", "th0")]
    assert pod_mac(KEY) == pod_mac(replace(KEY))
    assert len({pod_mac(key) for key in (KEY, *others, *shifted)}) == 6


# What is asked for by runtimeConfig, args.cni and CNI_ARGS.


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_c44_a_mac_that_no_interface_can_have_is_refused_by_key_and_value(mac: str) -> None:
    with pytest.raises(CniError) as caught:
        command("ADD", {"runtimeConfig": {"mac": mac}})
    assert caught.value.code == ErrorCode.INVALID_NETWORK_CONFIG
    assert f'runtimeConfig.mac="{mac}"' in caught.value.msg


@pytest.mark.parametrize("ips", [["10.0.0.5", "10.0.0.6/24"], ["fd00::5", "10.0.0.5", "fd00::6"]])
def test_c44_two_addresses_of_a_family_are_refused_by_key_and_value(ips: list[str]) -> None:
    with pytest.raises(CniError) as caught:
        command("ADD", {"args": {"cni": {"ips": ips}}})
    assert caught.value.code == ErrorCode.INVALID_NETWORK_CONFIG
    assert f"args.cni.ips={json.dumps(ips, separators=(',', ':'))}" in caught.value.msg


@pytest.mark.parametrize(
    ("conf", "args", "keys"),
    [
        ({"runtimeConfig": {"ips": ["10.0.0.5"], "mac": MAC}}, "", ("runtimeConfig.ips", "runtimeConfig.mac")),
        ({"runtimeConfig": {"ips": ["10.0.0.5"]}}, f";MAC={MAC}", ("runtimeConfig.ips", "CNI_ARGS.mac")),
        ({"args": {"cni": {"ips": ["fd00::5"]}}}, ";IP=10.0.0.5", ("args.cni.ips", "mac")),
    ],
)  # fmt: skip
def test_what_was_asked_is_known_by_where_it_was_asked(
    conf: dict[str, object], args: str, keys: tuple[str, str]
) -> None:
    asked = command("ADD", conf, CNI_ARGS=ENV["CNI_ARGS"] + args)
    assert isinstance(asked, Add)
    assert (asked.requested.ips_key, asked.requested.mac_key) == keys

"""NetworkPolicy and what the network needs besides: addresses of Services, which the host translates, errors that
routers and pods answer with, and the question for a neighbour."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from lab_fixture import in_node, run, until
from netpol_lab_fixture import PolicyLab, policy_lab
from netpol_prober import Place, Way
from netpol_scenarios import PODS, Y, policy, port

from lab import netns
from openflow.constants import ROUTER_MAC

NAME = f"t-polhost-{os.getpid()}"
BOTH = ["Ingress", "Egress"]
SERVICE, SERVED = "service", "x/b"
SERVICE_IPS = ("10.96.0.10", "fd57:96::10")
SERVICE_PORT = 8000
CLIENTS = tuple(key for key in PODS if key != SERVED)  # N21: a pod and itself by a Service are nobody's business
OUTSIDE = {4: ("203.0.113.9", "198.18.0.254"), 6: ("2001:db8::9", "fd57:e0::fe")}
"""An address that is nobody's, and the gateway behind which it would be."""
SMALL_MTU = 1280
# ip(7) and ipv6(7); not in the socket module.
_DISCOVER = {4: (socket.IPPROTO_IP, 10, 14), 6: (socket.IPPROTO_IPV6, 23, 24)}
"""Level, IP_MTU_DISCOVER and IP_MTU, or those of IPv6."""
_ALWAYS = 2  # IP_PMTUDISC_DO


@pytest.fixture(scope="module")
def world() -> Iterator[PolicyLab]:
    with policy_lab(NAME) as made:
        yield made


@pytest.fixture
def service(world: PolicyLab) -> Iterator[list[Way]]:
    """A Service as kube-proxy makes one, on all nodes; the ways to it."""
    rules = _translating(dict(zip((4, 6), world.ips[SERVED], strict=True)))
    nodes = [node.name for node in world.lab.config.node_configs()]
    world.places[SERVICE] = Place(world.places[SERVED].namespace, SERVICE_IPS, world.places[SERVED].hostname)
    try:
        for node in nodes:
            _nft(world, node, "-f", "-", rules=rules)
        yield [Way(one, SERVICE, at, SERVICE_PORT, v) for one in CLIENTS for at in ("TCP", "UDP") for v in (4, 6)]
    finally:
        for node in nodes:
            _nft(world, node, "delete", "table", "inet", "services")
        del world.places[SERVICE]


def _nft(world: PolicyLab, node: str, *arguments: str, rules: str = "") -> None:
    call = partial(subprocess.run, ["nft", *arguments], input=rules, text=True, check=True)
    in_node(world.lab, node, call)


def _translating(served: dict[int, str]) -> str:
    four, six = SERVICE_IPS
    return f"""table inet services {{
        chain prerouting {{
            type nat hook prerouting priority dstnat;
            ip daddr {four} meta l4proto {{ tcp, udp }} th dport {SERVICE_PORT} dnat ip to {served[4]}:80
            ip6 daddr {six} meta l4proto {{ tcp, udp }} th dport {SERVICE_PORT} dnat ip6 to [{served[6]}]:80
        }}
    }}"""


@pytest.mark.parametrize(
    ("title", "ingress"),
    [
        ("everybody", [{}]),
        ("nobody", []),
        ("peers", [{"from": [Y]}]),
        ("the pod's port", [{"ports": [port(80)]}]),
        ("not the service's port", [{"ports": [port(SERVICE_PORT), port(SERVICE_PORT, "UDP")]}]),
        ("peers at the pod's port by its name", [{"from": [Y], "ports": [port("http"), port("udp-80", "UDP")]}]),
    ],
)
def test_n23_what_comes_by_a_service_is_judged_by_who_sent_it_and_at_the_pods_port(
    world: PolicyLab, service: list[Way], title: str, ingress: list[dict[str, object]]
) -> None:
    """Ingress. In egress, the address of a Service that the host translates is an address like others (design.md)."""
    with world.in_force(policy("x", ingress=ingress)) as policies:
        direct = world.expected(policies, [way._replace(target=SERVED, port=80) for way in service])
        world.agrees({way._replace(target=SERVICE, port=SERVICE_PORT) for way in direct}, service)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("target", ["y/a", "y/b"])
def test_n24_an_error_comes_back_to_whom_nobody_reaches(world: PolicyLab, target: str, family: int) -> None:
    """That a port is closed, from a pod that reaches nobody: the error belongs to what was allowed."""
    with (
        world.in_force(policy("x", policyTypes=["Ingress"]), policy("y", policyTypes=["Egress"])),
        _sender(world, "x/a", world.ips[target][family == 6], family) as sender,
    ):
        until(lambda: _refused(sender), "the port is said to be closed")


def _refused(sender: socket.socket) -> bool:
    sender.settimeout(0.2)
    try:
        sender.send(b"anybody?")
        sender.recv(64)
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    raise AssertionError("somebody has answered")


@pytest.mark.parametrize("family", [4, 6])
def test_n24_a_pod_that_nobody_reaches_learns_the_path_mtu(world: PolicyLab, family: int) -> None:
    target, gateway = OUTSIDE[family]
    level, discover, mtu = _DISCOVER[family]
    route = (target, "via", gateway, "dev", "eth0", "mtu", "lock", str(SMALL_MTU))
    in_node(world.lab, PODS["x/a"], partial(run, "ip", f"-{family}", "route", "add", *route))
    try:
        with (
            world.in_force(policy("x", policyTypes=["Ingress"])),
            _sender(world, "x/a", target, family) as sender,
        ):
            sender.setsockopt(level, discover, _ALWAYS)
            assert sender.getsockopt(level, mtu) > SMALL_MTU

            def learnt() -> bool:
                with suppress(OSError):  # EMSGSIZE, once it is known
                    sender.send(bytes(SMALL_MTU))
                return sender.getsockopt(level, mtu) == SMALL_MTU

            until(learnt, "the pod knows how small the path is")
    finally:
        in_node(world.lab, PODS["x/a"], partial(run, "ip", f"-{family}", "route", "delete", *route))


def _sender(world: PolicyLab, key: str, target: str, family: int) -> socket.socket:
    """A UDP socket of a pod, connected to a port where nobody listens."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    made = netns.run_in(world.places[key].namespace, lambda: socket.socket(kind, socket.SOCK_DGRAM))
    made.connect((target, 9))
    return made


def test_n24_a_pod_that_may_do_nothing_is_still_told_its_neighbour(world: PolicyLab) -> None:
    namespace = world.places["x/a"].namespace
    gateway, _ = world.ips[PODS["x/a"]]

    def neighbour(*arguments: str) -> str:
        return netns.run_in(namespace, partial(run, "ip", "-4", "neighbour", *arguments))

    known = neighbour("show", gateway).split()
    mac = known[known.index("lladdr") + 1]
    with world.in_force(policy("x", policyTypes=BOTH)), _sender(world, "x/a", gateway, 4) as sender:
        try:
            neighbour("delete", gateway, "dev", "eth0")
            assert neighbour("show", gateway) == ""
            sender.send(b"who has it?")
            until(lambda: ROUTER_MAC in neighbour("show", gateway), "the pod is told the router's MAC")
        finally:
            neighbour("replace", gateway, "lladdr", mac, "dev", "eth0", "nud", "permanent")

"""From a pod to the world outside the cluster and back, through everything that a running cluster has on the way."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_fixture import end, pod, running_lab, settled

from lab import names, netns
from lab.lab import Lab

ON = {"one": 1, "two": 2}  # which pod is on which node
SECONDS = 5.0
_ECHO_REQUEST = {4: 8, 6: 128}  # ICMP types: RFC 792, RFC 4443


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("t-outside", *(pod(name, f"node{number}") for name, number in ON.items())) as lab:
        settled(lab)
        yield lab


@pytest.mark.parametrize("name", ON)
def test_a_pod_reaches_the_outside_in_the_name_of_its_node(lab: Lab, name: str, version: int) -> None:
    outside = _of(names.gateway_interfaces(lab.config.family), version)
    node = _of(names.host_interfaces(names.Underlay.MANAGEMENT, ON[name], lab.config.family), version)
    with _echoes(netns.path_of(names.underlay_namespace(lab.config.name)), version) as heard:
        assert _ping(lab, name, outside) == ""
        assert _next_source(heard, version) == node


def test_a_pod_on_another_node_hears_it_in_its_own_name(lab: Lab, version: int) -> None:
    one, two = (next(ip for ip in end(lab, name).ips if (":" in ip) == (version == 6)) for name in ON)
    with _echoes(end(lab, "two").namespace, version) as heard:
        assert _ping(lab, "one", two) == ""
        assert _next_source(heard, version) == one


def _of(interfaces: tuple[names.Interface, ...], version: int) -> str:
    return next(str(each.address) for each in interfaces if each.address.version == version)


def _ping(lab: Lab, name: str, target: str) -> str:
    """One echo out of a pod and its answer; what is wrong when there is none."""
    argv = ("ping", "-n", "-c", "1", "-W", f"{SECONDS:g}", target)
    space = end(lab, name).namespace
    done = netns.run_in(space, lambda: subprocess.run(argv, capture_output=True, text=True, check=False))
    return "" if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def _echoes(namespace: Path, version: int) -> Iterator[socket.socket]:
    """The ICMP messages that the IP stack of a namespace gets."""
    family, protocol = {
        4: (socket.AF_INET, socket.IPPROTO_ICMP),
        6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
    }[version]
    with netns.run_in(namespace, lambda: socket.socket(family, socket.SOCK_RAW, protocol)) as made:
        yield made


def _next_source(heard: socket.socket, version: int) -> str:
    """Who the next echo request says it is from."""
    deadline = time.monotonic() + SECONDS
    while (left := deadline - time.monotonic()) > 0:
        heard.settimeout(left)
        data, source = heard.recvfrom(2048)
        header = (data[0] & 0xF) * 4 if version == 4 else 0  # IPv4's comes with it, IPv6's does not
        if data[header] == _ECHO_REQUEST[version]:
            return str(source[0])
    raise AssertionError("no echo request was heard")

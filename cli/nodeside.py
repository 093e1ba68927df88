"""The part of weftctl that runs on a node: in its network namespace, or in its agent's pod as
`python3 -m cli.nodeside QUESTION`, which reads the argument and prints the answer.

Questions have names, arguments and answers are JSON. Nothing here changes anything.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path

import msgspec

from cli import home, nodefiles, probes
from cli.facts import Certificate, Files, Link, NodeFacts, Probe, Wanted
from cli.home import HomeWanted
from cli.nodefiles import FilesWanted
from daemon import tls
from node_agent import mtu, rtnl_read
from node_agent.netlink import Netlink

HOME, FACTS, PROBES, FILES = "home", "facts", "probes", "files"
_MODULE = Path("/sys/module/openvswitch")


def answer(question: str, argument: bytes) -> bytes:
    """The answer of the node whose network namespace the caller is in. KeyError: no such question; ValueError: no
    such argument; OSError: the node does not tell."""
    return QUESTIONS[question](argument)


def _facts(argument: bytes) -> bytes:
    return msgspec.json.encode(facts(msgspec.json.decode(argument, type=Wanted)))


def _probes(argument: bytes) -> bytes:
    return msgspec.json.encode(probes.probe_all(msgspec.json.decode(argument, type=tuple[Probe, ...])))


def _home(argument: bytes) -> bytes:
    return msgspec.json.encode(home.look(msgspec.json.decode(argument, type=HomeWanted)))


def _files(argument: bytes) -> bytes:
    return msgspec.json.encode(nodefiles.collect(msgspec.json.decode(argument, type=FilesWanted)))


QUESTIONS: Mapping[str, Callable[[bytes], bytes]] = {HOME: _home, FACTS: _facts, PROBES: _probes, FILES: _files}


def facts(wanted: Wanted) -> NodeFacts:
    """What this node is like. Raises OSError."""
    with Netlink() as netlink:
        links = rtnl_read.links(netlink)
        addresses = rtnl_read.addresses(netlink)
        routes = rtnl_read.routes(netlink)
    uplink, problem = wanted.transport, ""
    if wanted.tunnel_ip and not wanted.transport:
        try:
            uplink = mtu.find_uplink(ip_address(wanted.tunnel_ip), links, addresses, routes).ifname
        except mtu.MtuError as e:
            problem = str(e)
    return NodeFacts(
        kernel=os.uname().release,
        module=_MODULE.is_dir(),
        links=tuple(
            Link(each.name, each.mtu, each.up, tuple(str(a.ip) for a in addresses if a.link == each.index))
            for each in links
        ),
        now=time.time(),
        uplink=uplink,
        uplink_problem=problem,
        certificate=certificate(wanted.files) if wanted.files else None,
    )


def certificate(files: Files) -> Certificate:
    """What TLS files of this node say; what is wrong with them is in `problem`."""
    try:
        found = tls.examine(files.of_daemon)
    except tls.TlsError as e:
        return Certificate(problem=str(e))
    ca_not_after = found.ca_not_after if math.isfinite(found.ca_not_after) else 0.0
    return Certificate(tuple(sorted(found.names)), found.not_before, found.not_after, ca_not_after)


def main() -> None:
    """Answer the question on the command line, with the first line of standard input as its argument. Exit status 1,
    with a sentence on stderr, when it cannot be answered."""
    question = sys.argv[1]
    try:
        sys.stdout.buffer.write(answer(question, sys.stdin.buffer.readline()))
    except KeyError:
        raise SystemExit(f"this release of Weft does not know the question {question!r}") from None
    except (OSError, ValueError) as e:
        raise SystemExit(str(e)) from None


if __name__ == "__main__":
    main()

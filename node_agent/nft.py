"""The node's nftables rules: masquerading of what leaves the cluster, and silence where OVS is in charge or where
pods have no business.

Everything is in one table of ours, `inet weft`, replaced as a whole in one transaction: there is no moment
without rules, and applying twice is applying once.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from node_agent.rtnl import IPNetwork

TABLE = "inet weft"
_TIMEOUT = 30.0  # seconds; nft waits for other users of nftables


class NftError(RuntimeError):
    """nft refused the rules or cannot be run; the message has its own words."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What the rules depend on.

    ``pod_cidrs``: of this node. ``pod_group``: interface group of the pods' host ends (wiring.POD_GROUP).
    ``switched``: further interfaces whose packets belong to Open vSwitch alone (the transport interface when it
    is a port of the userspace datapath).
    """

    gateway_ifname: str
    pod_cidrs: tuple[IPNetwork, ...]
    pod_group: int
    switched: tuple[str, ...] = ()


def render(ruleset: Ruleset) -> str:
    """The text for `nft -f`: drop the table if it is there, and make it anew."""
    body = _chain("prerouting", "type filter hook prerouting priority raw; policy accept;", _drops(ruleset))
    body += _chain("postrouting", "type nat hook postrouting priority srcnat; policy accept;", _masquerades(ruleset))
    # `add` first, because deleting what is not there is an error.
    return f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{body}}}\n"


def apply(text: str) -> None:
    """Put the rules in place, in the caller's network namespace, all or nothing. Raises NftError."""
    _nft(["-f", "-"], text)


def listing() -> str:
    """The table as nft shows it, without its counters; "" when there is none. Raises NftError."""
    done = _run(["-s", "list", "table", *TABLE.split()])
    return done.stdout if done.returncode == 0 else ""


class Rules:
    """Rules that were put in place, and put back when somebody changed them.

    Other tools empty the whole ruleset (`systemctl restart nftables`), and ours guards the node from its pods.
    """

    def __init__(self) -> None:
        self._asked = ""
        self._shown = ""

    def apply(self, ruleset: Ruleset) -> tuple[str, ...]:
        """Put the rules in place unless they are; returns what was changed. Raises NftError."""
        text = render(ruleset)
        if text == self._asked and listing() == self._shown:
            return ()
        apply(text)
        self._asked, self._shown = text, listing()
        return ("replaced the nftables table",)


def remove() -> None:
    """Take the table away; succeeds if there is none."""
    apply(f"add table {TABLE}\ndelete table {TABLE}\n")


def _drops(ruleset: Ruleset) -> Iterable[str]:
    """What the node's own stack is not to see, before it looks for a connection.

    A userspace datapath reads a copy; the kernel's stack still gets the packet, and would act on it. A pod that
    addresses a frame to the MAC of its veth's host end would thus reach the node past all policy.
    """
    yield _rule(f"iifgroup {ruleset.pod_group}", "drop", "from a pod: Open vSwitch has its copy")
    for ifname in sorted(ruleset.switched):
        yield _rule(f"iifname {_quoted(ifname)}", "drop", "a port of the bridge: Open vSwitch has its copy")
    # Who translates addresses here (portmap, kube-proxy) sets route_localnet, and the kernel then lets these in.
    inward = f"iifname {_quoted(ruleset.gateway_ifname)} ip daddr 127.0.0.0/8"
    yield _rule(inward, "drop", "from a pod to the node's own loopback addresses")


def _masquerades(ruleset: Ruleset) -> Iterable[str]:
    inside = f'oifname != {{ {_quoted(ruleset.gateway_ifname)}, "lo" }}'
    for cidr in ruleset.pod_cidrs:
        source = f"{'ip' if cidr.version == 4 else 'ip6'} saddr {cidr}"
        yield _rule(f"{source} {inside}", "masquerade fully-random", "pods to outside the cluster")


def _rule(match: str, verdict: str, comment: str) -> str:
    return f"        {match} counter {verdict} comment {_quoted(comment)}\n"


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    return f"    chain {name} {{\n        {hook}\n{''.join(rules)}    }}\n"


def _quoted(text: str) -> str:
    """nft strings have no escapes; a quote cannot be part of one."""
    if '"' in text or "\n" in text:
        raise NftError(f"{text!r} cannot be written in nftables syntax")
    return f'"{text}"'


def _nft(arguments: list[str], text: str) -> None:
    done = _run(arguments, text)
    if done.returncode != 0:
        raise NftError(f"nft failed with status {done.returncode}: {_first_lines(done.stderr)}")


def _run(arguments: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["nft", *arguments], input=text, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except FileNotFoundError as e:
        raise NftError("the program nft is missing: install the package nftables") from e
    except subprocess.TimeoutExpired as e:
        raise NftError(f"nft did not finish within {_TIMEOUT:.0f} s") from e


def _first_lines(text: str) -> str:
    """The first complaint: after it nft complains about everything that follows."""
    return " ".join(line.strip() for line in text.strip().splitlines()[:2])

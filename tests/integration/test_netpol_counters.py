"""What policies did is counted: by rule in packets and sessions, and denied packets by side. A connection has the
numbers of the rules that allowed it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from lab_fixture import end, metrics, ofctl, pod, running_lab, settled, start_controller, until

from lab import netns
from lab.bringup import CONTROLLER
from lab.lab import Lab
from openflow.tables import Table
from ovsdb import appctl

PORT, CLOSED = 8080, 9
SESSIONS, DENIED = 3, 5

Obj = dict[str, Any]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    pods = [pod("client", "node1"), pod("stranger", "node1"), pod("server", "node2")]
    for each in pods:
        each["metadata"]["labels"] = {"app": each["metadata"]["name"]}
    with running_lab(f"t-count-{os.getpid()}", *pods, nodes=2) as made:
        made.apply(
            [
                policy("serve", "server", "Ingress", "from", "client"),
                policy("ask", "client", "Egress", "to", "server"),
            ]
        )
        until(
            lambda: rules(made, "node1", Table.EGRESS_POLICY) and rules(made, "node2", Table.INGRESS_POLICY), "rules"
        )
        made.kill(CONTROLLER)
        start_controller(made, audit_seconds=1)
        settled(made)
        yield made


def policy(name: str, app: str, direction: str, word: str, peer: str) -> Obj:
    rule = {word: [{"podSelector": {"matchLabels": {"app": peer}}}], "ports": [{"port": PORT}]}
    spec = {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": [direction], direction.lower(): [rule]}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def rules(lab: Lab, node: str, table: Table) -> dict[str, dict[str, int]]:
    """Packets that the only rule of a table has met: by its number, of new connections ("+new") and of known ones."""
    found: dict[str, dict[str, int]] = {}
    for line in ofctl(lab, node, "dump-flows", f"table={table}").splitlines():
        one = re.search(r"n_packets=(\d+).*conj_id=(\d+)", line)
        if one is not None:
            state = "+new" if "+new" in line else "-new"
            found.setdefault(one[2], {})[state] = int(one[1])
    return found


def connections(lab: Lab, node: str) -> list[str]:
    """What the node's conntrack has of connections to the port, one line each."""
    told = appctl.ask(lab.paths.node(node).ovs, "dpctl/dump-conntrack", "zone=65284")
    return [line for line in told.splitlines() if f"dport={PORT}" in line]


@pytest.fixture(scope="module")
def talked(lab: Lab) -> Iterator[Lab]:
    """A lab in which the client has begun some connections, and closed them."""
    server = end(lab, "default/server")
    listening = netns.run_in(server.namespace, lambda: socket.create_server((server.ips[0], PORT)))
    with listening:
        for _ in range(SESSIONS):
            with netns.run_in(
                end(lab, "default/client").namespace, partial(socket.create_connection, (server.ips[0], PORT), 10)
            ):
                pass
        yield lab


@pytest.mark.parametrize(("node", "table"), [("node1", Table.EGRESS_POLICY), ("node2", Table.INGRESS_POLICY)])
def test_a_rule_counts_sessions_and_packets(talked: Lab, node: str, table: Table) -> None:
    (number,) = rules(talked, node, table)
    # Open vSwitch adds up what the datapath has counted twice a second. Each handshake has a last step, at least.
    until(lambda: rules(talked, node, table)[number]["-new"] >= SESSIONS, "packets of known connections are counted")
    until(lambda: rules(talked, node, table)[number]["+new"] >= SESSIONS, "sessions are counted")
    assert rules(talked, node, table)[number]["+new"] == SESSIONS


@pytest.mark.parametrize(
    ("node", "table", "shift"), [("node1", Table.EGRESS_POLICY, 32), ("node2", Table.INGRESS_POLICY, 0)]
)
def test_a_connection_knows_the_rule_that_allowed_it(talked: Lab, node: str, table: Table, shift: int) -> None:
    (number,) = rules(talked, node, table)
    lines = connections(talked, node)
    assert len(lines) == SESSIONS
    for line in lines:
        label = re.search(r"labels=0x([0-9a-f]+)", line)
        assert label is not None, line
        assert int(label[1], 16) == int(number) << shift


@pytest.mark.parametrize(
    ("source", "node", "direction"), [("client", "node1", "egress"), ("stranger", "node2", "ingress")]
)
def test_denied_packets_are_counted_where_they_are_denied(
    talked: Lab, source: str, node: str, direction: str
) -> None:
    def denied() -> dict[tuple[str, ...], float]:
        return {
            key[1:]: value for key, value in metrics(talked).items() if key[0] == "weft_policy_denied_packets_total"
        }

    until(lambda: len(denied()) == 4, "both directions of both nodes are counted")
    before = denied()
    target = end(talked, "default/server").ips[0]
    with netns.run_in(end(talked, f"default/{source}").namespace, udp) as sender:
        for _ in range(DENIED):
            sender.sendto(b"?", (target, CLOSED))
    until(lambda: denied()[direction, node] >= before[direction, node] + DENIED, "they are counted")
    assert denied() == before | {(direction, node): before[direction, node] + DENIED}


def test_what_is_known_of_policies_is_measured(talked: Lab) -> None:
    told = metrics(talked)
    assert (told["weft_policies",], told["weft_policy_rules",], told["weft_policy_identities",]) == (2, 2, 3)
    assert told["weft_table_flows", "EgressPolicy"] == _judging(talked, Table.EGRESS_POLICY)
    assert told["weft_event_seconds_count", "NetworkPolicyListed"] == 1


def _judging(lab: Lab, table: Table) -> int:
    return sum(ofctl(lab, node, "dump-flows", f"table={table}").count("cookie=") for node in ("node1", "node2"))


def udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

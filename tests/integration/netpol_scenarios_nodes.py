"""Nodes, pods in a node's network, a pod and itself, and what has no ports: N20 to N22, N24."""

from netpol_scenarios import A, Scenario, X, Y, around, block, labels, pods, policy, port, spaces

BOTH = ["Ingress", "Egress"]

NODES = (
    Scenario(
        "N20 a node reaches its own pods, whatever isolates them",
        [policy(name, policyTypes=BOTH) for name in "xyz"],
        ["x/h>x/a", "x/h>x/b", "x/h>y/a", "y/h>x/c", "y/h>z/a", "z/h>y/c", "z/h>z/b"],
        ["x/h>x/c", "x/h>z/c", "y/h>x/a", "z/h>y/a", "x/a>x/b"],
    ),
    Scenario(
        "N20 also where rules allow others, at other ports",
        [policy("y", ingress=[{"from": [X], "ports": [port(81)]}])],
        ["x/h>y/a", "y/h>y/b", "z/h>y/c", "x/a>y/a TCP81"],
        ["x/h>y/b", "z/h>y/a", "x/a>y/a TCP80"],
    ),
    Scenario(
        "N21 a pod reaches itself, whatever isolates it",
        [policy("x", policyTypes=BOTH), policy("y", ingress=[{"from": [X]}])],
        ["x/a>x/a", "x/b>x/b", "x/c>x/c", "y/a>y/a", "z/a>z/a"],
        ["x/a>x/b", "z/a>y/a"],
    ),
    Scenario(
        "N22 no policy is about a pod in a node's network",
        [policy("x", policyTypes=BOTH)],
        ["x/h>y/b", "x/h>z/c", "y/a>x/h", "z/c>x/h"],
        ["x/h>x/c", "x/a>x/h", "x/c>x/h"],
    ),
    Scenario(
        "N22 by its own labels neither",
        [policy("x", podSelector=labels(pod="a"), policyTypes=BOTH)],
        ["x/h>y/b", "y/b>x/h", "x/b>x/h"],
        ["x/a>y/b", "x/a>x/h"],
    ),
    Scenario(
        "N22 it is no peer by labels",
        [policy("y", ingress=[{"from": [X | A, spaces({}) | pods(labels(tier="front"))]}])],
        ["x/a>y/b", "z/a>y/b"],
        ["x/h>y/b", "x/h>y/c", "y/h>y/a", "z/h>y/b"],
    ),
    Scenario(
        "N22 nor in egress",
        [policy("x", policyTypes=["Egress"], egress=[{"to": [spaces({})]}])],
        ["x/a>y/a", "x/c>z/b"],
        ["x/a>x/h", "x/a>y/h", "x/c>z/h"],
    ),
    Scenario(
        "N22 as a peer it is its node's address",
        [policy("y", ingress=[{"from": [block(around("node1", 32)), block(around("node1", 128))]}])],
        ["x/h>y/b", "x/h>y/c"],
        ["y/h>y/a", "y/h>y/c", "x/a>y/b"],
    ),
    Scenario(
        "N22 as a target it is another",
        [policy("x", policyTypes=["Egress"], egress=[{"to": [block(around("z/h", 32)), block(around("z/h", 128))]}])],
        ["x/a>z/h", "x/c>z/h", "y/a>x/h"],
        ["x/a>x/h", "x/a>y/h", "x/a>z/a"],
    ),
    Scenario(
        "N24 an echo is let through by peer, where no port is asked for",
        [policy("x", ingress=[{"from": [Y]}])],
        ["y/a>x/a ICMP", "y/c>x/a ICMP"],
        ["z/a>x/a ICMP", "x/b>x/a ICMP"],
    ),
    Scenario(
        "N24 and not by rules about ports",
        [
            policy(
                "x",
                ingress=[{"from": [Y], "ports": [port(protocol="TCP"), port(protocol="UDP"), port(1, end=65535)]}],
            )
        ],
        ["y/a>x/a TCP80 TCP81 UDP80 UDP53"],
        ["y/a>x/a ICMP", "z/a>x/a"],
    ),
    Scenario(
        "N24 its answer comes back to whom nobody reaches",
        [policy("x", policyTypes=["Ingress"]), policy("y", policyTypes=["Egress"])],
        ["x/a>y/a ICMP", "x/a>y/b ICMP", "x/c>y/a ICMP"],
        ["y/a>x/a ICMP", "y/b>x/b ICMP"],
    ),
)

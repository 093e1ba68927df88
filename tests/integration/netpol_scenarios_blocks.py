"""Ranges of addresses: N13, N14, N28."""

from netpol_scenarios import A, Scenario, Y, around, block, policy, port

EVERYBODY, EVERYBODY6 = "0.0.0.0/0", "::/0"
EGRESS = ["Egress"]

BLOCKS = (
    Scenario(
        "N13 N28 everybody's IPv4 is pods' too, and not IPv6",
        [policy("x", ingress=[{"from": [block(EVERYBODY)]}])],
        ["y/a>x/a v4", "x/b>x/a v4"],
        ["y/a>x/a v6", "x/b>x/a v6"],
    ),
    Scenario(
        "N13 N28 everybody's IPv6",
        [policy("x", ingress=[{"from": [block(EVERYBODY6)]}])],
        ["y/a>x/a v6", "x/b>x/a v6"],
        ["y/a>x/a v4"],
    ),
    Scenario(
        "N13 one pod's address",
        [policy("x", ingress=[{"from": [block(around("y/b", 32))]}])],
        ["y/b>x/a v4"],
        ["y/b>x/a v6", "y/a>x/a", "z/a>x/a"],
    ),
    Scenario(
        "N13 N28 both of its addresses",
        [policy("x", ingress=[{"from": [block(around("y/b", 32)), block(around("y/b", 128))]}])],
        ["y/b>x/a", "y/b>x/c"],
        ["y/a>x/a", "z/a>x/a"],
    ),
    Scenario(
        "N13 a node's pods",
        [policy("y", ingress=[{"from": [block(around("z/b", 24)), block(around("z/b", 64))]}])],
        ["z/b>y/a", "z/c>y/c", "y/c>y/a"],
        ["z/a>y/a", "x/a>y/a"],
    ),
    Scenario(
        "N13 everybody but a node's pods",
        [
            policy(
                "y",
                ingress=[
                    {
                        "from": [
                            block(EVERYBODY, around("z/b", 24)),
                            block(EVERYBODY6, around("z/b", 64)),
                        ]
                    }
                ],
            )
        ],
        ["z/a>y/a", "x/a>y/a"],
        ["z/b>y/a", "z/c>y/c", "y/c>y/a"],
    ),
    Scenario(
        "N13 egress to everybody but two pods",
        [policy("x", policyTypes=EGRESS, egress=[{"to": [block(EVERYBODY, around("y/a", 32), around("z/c", 32))]}])],
        ["x/a>y/b v4", "x/a>x/b v4"],
        ["x/a>y/a", "x/a>z/c", "x/a>y/b v6"],
    ),
    Scenario(
        "N13 an exception that takes all",
        [policy("x", ingress=[{"from": [block(EVERYBODY, "0.0.0.0/1", "128.0.0.0/1")]}])],
        ["x/a>y/a"],
        ["y/a>x/a", "x/b>x/a"],
    ),
    Scenario(
        "N13 a range where nobody is",
        [policy("x", policyTypes=EGRESS, egress=[{"to": [block("203.0.113.0/24"), block("2001:db8::/32")]}])],
        ["y/a>x/a"],
        ["x/a>y/a", "x/a>x/b"],
    ),
    Scenario(
        "N13 a range and ports",
        [policy("x", ingress=[{"from": [block(around("y/a", 128))], "ports": [port(81), port(80, "UDP")]}])],
        ["y/a>x/c TCP81 UDP80 v6"],
        ["y/a>x/c TCP80 UDP53 v6", "y/a>x/c v4", "z/a>x/a"],
    ),
    Scenario(
        "N14 an exception, and another block that has it",
        [policy("x", ingress=[{"from": [block(EVERYBODY, around("y/b", 24)), block(around("y/b", 32))]}])],
        ["y/b>x/a v4", "x/a>x/b v4"],
        ["z/a>x/a v4", "x/c>x/a v4", "y/b>x/a v6"],
    ),
    Scenario(
        "N14 an exception, and a selector that has it",
        [policy("x", ingress=[{"from": [block(EVERYBODY, around("y/a", 32)), Y | A]}])],
        ["y/a>x/a", "y/b>x/a v4"],
        ["y/b>x/a v6"],
    ),
    Scenario(
        "N14 an exception, and another policy that has it",
        [
            policy("x", "p", ingress=[{"from": [block(EVERYBODY, around("y/a", 32))]}]),
            policy("x", "q", ingress=[{"from": [Y], "ports": [port(80)]}]),
        ],
        ["y/a>x/a TCP80", "y/b>x/a v4"],
        ["y/a>x/a TCP81", "y/b>x/a TCP81 v6"],
    ),
)

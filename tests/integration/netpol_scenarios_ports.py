"""Which ports: N15 to N18."""

from netpol_scenarios import A, Scenario, Y, labels, policy, port

EGRESS = ["Egress"]

PORT_RULES = (
    Scenario(
        "N15 TCP by default",
        [policy("x", ingress=[{"ports": [port(80)]}])],
        ["y/a>x/a TCP80"],
        ["y/a>x/a UDP80", "y/a>x/a TCP81"],
    ),
    Scenario(
        "N15 all of TCP",
        [policy("x", ingress=[{"ports": [port(protocol="TCP")]}])],
        ["y/a>x/a TCP80 TCP81"],
        ["y/a>x/a UDP80 UDP53"],
    ),
    Scenario(
        "N15 all of UDP",
        [policy("x", policyTypes=EGRESS, egress=[{"ports": [port(protocol="UDP")]}])],
        ["x/a>y/a UDP80 UDP53"],
        ["x/a>y/a TCP80 TCP81"],
    ),
    Scenario(
        "N15 an empty port is all of TCP",
        [policy("x", ingress=[{"ports": [{}]}])],
        ["y/a>x/a TCP80 TCP81"],
        ["y/a>x/a UDP80 UDP53"],
    ),
    Scenario(
        "N16 a name is another port of another pod",
        [policy("x", ingress=[{"ports": [port("http")]}])],
        ["y/a>x/a TCP80", "y/a>x/c TCP81"],
        ["y/a>x/a TCP81", "y/a>x/c TCP80", "y/a>x/a UDP80"],
    ),
    Scenario(
        "N16 in egress it is the target's name",
        [policy("x", policyTypes=EGRESS, egress=[{"to": [Y], "ports": [port("http")]}])],
        ["x/a>y/a TCP80", "x/a>y/c TCP81", "x/c>y/b TCP80"],
        ["x/a>y/a TCP81", "x/a>y/c TCP80", "x/a>z/a"],
    ),
    Scenario(
        "N16 a name that not everybody has",
        [policy("x", ingress=[{"ports": [port("extra")]}])],
        ["y/a>x/a TCP81"],
        ["y/a>x/b", "y/a>x/c", "y/a>x/a TCP80"],
    ),
    Scenario(
        "N16 a name that nobody has",
        [policy("x", ingress=[{"ports": [port("nobodys")]}])],
        ["x/a>y/a"],
        ["y/a>x/a", "x/a>x/b"],
    ),
    Scenario(
        "N16 a name of another protocol",
        [policy("x", ingress=[{"ports": [port("dns"), port("http", "UDP")]}])],
        ["x/a>y/a"],
        ["y/a>x/a", "y/a>x/c"],
    ),
    Scenario(
        "N16 a name of UDP",
        [policy("x", ingress=[{"ports": [port("dns", "UDP")]}])],
        ["y/a>x/a UDP53", "y/a>x/c UDP53"],
        ["y/a>x/a UDP80 TCP80 TCP81"],
    ),
    Scenario(
        "N17 a range of ports, its ends included",
        [policy("x", ingress=[{"ports": [port(80, end=81)]}])],
        ["y/a>x/a TCP80 TCP81"],
        ["y/a>x/a UDP80"],
    ),
    Scenario(
        "N17 a range that ends before",
        [policy("x", ingress=[{"ports": [port(1, end=80)]}])],
        ["y/a>x/a TCP80"],
        ["y/a>x/a TCP81"],
    ),
    Scenario(
        "N17 a range that begins after",
        [policy("x", policyTypes=EGRESS, egress=[{"ports": [port(81, end=65535)]}])],
        ["x/a>y/a TCP81"],
        ["x/a>y/a TCP80"],
    ),
    Scenario(
        "N17 a range of one port, of UDP",
        [policy("x", ingress=[{"ports": [port(53, "UDP", 53)]}])],
        ["y/a>x/a UDP53"],
        ["y/a>x/a UDP80 TCP80"],
    ),
    Scenario(
        "N17 ranges of two policies",
        [
            policy("x", "p", ingress=[{"from": [A], "ports": [port(60, end=80)]}]),
            policy("x", "q", ingress=[{"from": [Y], "ports": [port(81, end=90)]}]),
        ],
        ["x/a>x/b TCP80", "y/a>x/b TCP81"],
        ["x/a>x/b TCP81", "y/a>x/b TCP80"],
    ),
    Scenario(
        "N18 SCTP permits no TCP, and isolates",
        [policy("x", ingress=[{"ports": [port(80, "SCTP")]}])],
        ["x/a>y/a"],
        ["y/a>x/a", "x/b>x/a"],
    ),
    Scenario(
        "N18 neither does all of SCTP in egress",
        [policy("x", policyTypes=EGRESS, egress=[{"ports": [port(protocol="SCTP")]}])],
        ["y/a>x/a"],
        ["x/a>y/a", "x/a>x/b"],
    ),
    Scenario(
        "N18 UDP is not TCP",
        [policy("x", podSelector=labels(pod="b"), ingress=[{"ports": [port(80, "UDP")]}])],
        ["y/a>x/b UDP80", "y/a>x/a"],
        ["y/a>x/b TCP80 TCP81 UDP53"],
    ),
)

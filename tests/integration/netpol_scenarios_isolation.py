"""Who is isolated, in which direction, and what several policies come to: N1 to N8, N19, N28."""

from netpol_scenarios import A, B, C, Scenario, X, Y, Z, labels, policy, port

BOTH = ["Ingress", "Egress"]

ISOLATION = (
    Scenario("N1 no policy", [], ["x/a>y/b", "x/a>x/b", "z/c>x/a"]),
    Scenario(
        "N1 a policy that selects nobody",
        [policy("x", podSelector=labels(pod="none"), policyTypes=BOTH)],
        ["x/a>y/b", "z/c>x/a"],
    ),
    Scenario(
        "N1 a policy in a namespace isolates nobody of others", [policy("x")], ["y/a>y/b", "z/c>y/a"], ["y/a>x/a"]
    ),
    Scenario(
        "N2 N5 ingress of all pods", [policy("x", podSelector={})], ["x/a>y/a"], ["x/a>x/b", "y/a>x/a", "z/c>x/c"]
    ),
    Scenario("N5 a selector that is left out", [policy("z")], ["z/a>x/a"], ["x/a>z/a", "y/c>z/b", "z/a>z/c"]),
    Scenario(
        "N2 ingress of one pod",
        [policy("y", podSelector=labels(pod="b"))],
        ["x/a>y/a", "y/b>x/a", "y/b>y/a"],
        ["x/a>y/b", "y/a>y/b", "z/a>y/b"],
    ),
    Scenario(
        "N2 egress of one pod",
        [policy("y", podSelector=labels(pod="b"), policyTypes=["Egress"])],
        ["x/a>y/b", "y/a>y/b", "y/a>x/a"],
        ["y/b>x/a", "y/b>y/a", "y/b>z/a"],
    ),
    Scenario(
        "N2 N7 egress of a namespace", [policy("x", policyTypes=["Egress"])], ["y/a>x/a"], ["x/a>x/b", "x/c>z/a"]
    ),
    Scenario("N2 both directions", [policy("x", policyTypes=BOTH)], ["y/a>z/b"], ["y/a>x/a", "x/a>y/a", "x/a>x/b"]),
    Scenario(
        "N6 ingress always", [policy("x", ingress=[{"from": [B]}])], ["x/b>x/a", "x/a>y/a"], ["x/a>x/c", "y/b>x/a"]
    ),
    Scenario(
        "N6 egress as well where it has rules",
        [policy("x", ingress=[{}], egress=[{"to": [Y]}])],
        ["x/a>y/a", "z/a>x/a"],
        ["x/a>x/b", "x/c>z/a"],
    ),
    Scenario(
        "N6 rules that are there, but no ingress ones",
        [policy("x", egress=[{"to": [Y]}])],
        ["x/a>y/a"],
        ["y/a>x/a", "z/a>x/a", "x/a>z/a"],
    ),
    Scenario(
        "N6 an egress rule that does not count",
        [policy("x", policyTypes=["Ingress"], ingress=[{"from": [A]}], egress=[{"to": [Y]}])],
        ["x/a>z/a", "x/a>x/b"],
        ["z/a>x/a"],
    ),
    Scenario(
        "N6 an empty list of egress rules is none",
        [policy("x", ingress=[{"from": [A]}], egress=[])],
        ["x/a>x/b", "x/a>y/a", "x/c>z/b"],
        ["y/a>x/a"],
    ),
    Scenario(
        "N7 empty rules deny",
        [policy("x", policyTypes=BOTH, ingress=[], egress=[])],
        ["y/a>z/a"],
        ["x/a>y/a", "y/a>x/a"],
    ),
    Scenario(
        "N7 one empty rule in each direction allows all",
        [policy("x", policyTypes=BOTH, ingress=[{}], egress=[{}])],
        ["y/a>x/a", "x/a>z/a", "x/a>x/b", "x/c>y/h"],
    ),
    Scenario("N7 ingress of one empty rule", [policy("x", ingress=[{}])], ["y/a>x/a", "x/a>z/a", "x/a>x/b"]),
    Scenario(
        "N7 one empty rule in egress, none in ingress",
        [policy("x", policyTypes=BOTH, egress=[{}])],
        ["x/a>y/a", "x/c>z/b"],
        ["y/a>x/a", "x/a>x/b"],
    ),
    Scenario(
        "N3 two policies of the same pods",
        [policy("x", "p", ingress=[{"from": [Y]}]), policy("x", "q", ingress=[{"from": [Z], "ports": [port(80)]}])],
        ["y/a>x/a", "z/a>x/a TCP80"],
        ["z/a>x/a TCP81 UDP80 UDP53", "x/b>x/a"],
    ),
    Scenario(
        "N3 what denies all takes nothing from what allows",
        [policy("x", "a"), policy("x", "b", ingress=[{}]), policy("x", "c")],
        ["y/a>x/a", "x/b>x/a"],
    ),
    Scenario(
        "N3 of pods that overlap",
        [
            policy("x", "p", ingress=[{"from": [A]}]),
            policy("x", "q", podSelector=labels(pod="c"), ingress=[{"from": [B]}]),
        ],
        ["x/a>x/b", "x/a>x/c", "x/b>x/c"],
        ["x/b>x/a", "y/b>x/c"],
    ),
    Scenario(
        "N3 one of each direction",
        [policy("x", "p"), policy("x", "q", policyTypes=["Egress"], egress=[{"to": [Z]}])],
        ["x/a>z/a"],
        ["x/a>y/a", "z/a>x/a"],
    ),
    Scenario(
        "N4 both ends allow, each something else",
        [
            policy("x", policyTypes=["Egress"], egress=[{"to": [Y], "ports": [port(80), port(81)]}]),
            policy("y", ingress=[{"from": [X], "ports": [port(81), port(53, "UDP")]}]),
        ],
        ["x/a>y/a TCP81", "x/c>y/b TCP81"],
        ["x/a>y/a TCP80 UDP53 UDP80", "z/a>y/a", "x/a>z/a"],
    ),
    Scenario(
        "N4 the source alone allows",
        [policy("x", policyTypes=["Egress"], egress=[{"to": [Y]}]), policy("y")],
        ["y/a>z/a"],
        ["x/a>y/a", "x/c>y/b", "x/a>z/a"],
    ),
    Scenario(
        "N4 the target alone allows",
        [policy("x", policyTypes=["Egress"]), policy("y", ingress=[{"from": [X]}])],
        ["y/a>x/a"],
        ["x/a>y/a", "x/c>y/b", "z/a>y/a"],
    ),
    Scenario(
        "N4 within a namespace",
        [policy("x", policyTypes=BOTH, ingress=[{"from": [A]}], egress=[{"to": [C]}])],
        ["x/a>x/c"],
        ["x/a>x/b", "x/b>x/c", "y/a>x/c"],
    ),
    Scenario(
        "N8 ingress from any peer to a port",
        [policy("x", ingress=[{"from": [], "ports": [port(80)]}])],
        ["y/a>x/a TCP80", "x/b>x/a TCP80", "y/h>x/a TCP80", "x/h>x/c TCP80"],
        ["y/a>x/a TCP81 UDP80 UDP53", "y/h>x/a TCP81"],
    ),
    Scenario(
        "N8 peers, but no ports",
        [policy("x", ingress=[{"from": [Y], "ports": []}])],
        ["y/a>x/a", "y/c>x/c"],
        ["z/a>x/a", "x/b>x/a"],
    ),
    Scenario(
        "N8 egress to any peer at a port",
        [policy("x", policyTypes=["Egress"], egress=[{"ports": [port(53, "UDP")]}])],
        ["x/a>y/a UDP53", "x/c>x/a UDP53", "y/a>x/h"],
        ["x/a>y/a UDP80 TCP80 TCP81"],
    ),
    Scenario(
        "N19 replies come back to whom nobody reaches",
        [policy("x", podSelector=labels(pod="a"))],
        ["x/a>y/b", "x/a>x/b", "x/a>z/c"],
        ["y/b>x/a", "x/b>x/a"],
    ),
    Scenario(
        "N19 replies go out from who reaches nobody",
        [policy("x", podSelector=labels(pod="a"), policyTypes=["Egress"])],
        ["y/b>x/a", "x/b>x/a", "z/c>x/a"],
        ["x/a>y/b", "x/a>x/b"],
    ),
    Scenario(
        "N28 pods as peers count by both their addresses",
        [policy("x", podSelector=labels(pod="c"), ingress=[{"from": [Y | B]}])],
        ["y/b>x/c v4", "y/b>x/c v6"],
        ["y/a>x/c v4", "y/a>x/c v6"],
    ),
)

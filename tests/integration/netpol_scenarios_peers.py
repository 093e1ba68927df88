"""Who is a peer: N9 to N12."""

from netpol_scenarios import A, B, C, Scenario, X, Y, Z, expression, labels, named, pods, policy, port, spaces

PEERS = (
    Scenario(
        "N9 peers are alternatives",
        [policy("x", ingress=[{"from": [A, Z, Y | B]}])],
        ["x/a>x/b", "z/c>x/a", "y/b>x/a"],
        ["x/b>x/a", "y/a>x/a"],
    ),
    Scenario(
        "N9 ports are alternatives",
        [policy("x", ingress=[{"ports": [port(81), port(53, "UDP")]}])],
        ["y/a>x/a TCP81 UDP53"],
        ["y/a>x/a TCP80 UDP80"],
    ),
    Scenario(
        "N9 a peer and a port, both of one rule",
        [
            policy(
                "x",
                ingress=[
                    {"from": [Y], "ports": [port(80)]},
                    {"from": [Z], "ports": [port(81)]},
                ],
            )
        ],
        ["y/a>x/a TCP80", "z/a>x/a TCP81"],
        ["y/a>x/a TCP81", "z/a>x/a TCP80", "z/a>x/a UDP80"],
    ),
    Scenario(
        "N9 the same of egress",
        [
            policy(
                "x",
                policyTypes=["Egress"],
                egress=[
                    {"to": [Y, Z | A], "ports": [port(80), port(80, "UDP")]},
                    {"to": [B]},
                ],
            )
        ],
        ["x/a>y/c TCP80 UDP80", "x/a>z/a TCP80", "x/a>x/b"],
        ["x/a>y/c TCP81 UDP53", "x/a>z/b", "x/a>x/c"],
    ),
    Scenario(
        "N10 pods alone are those of the policy's namespace",
        [policy("x", ingress=[{"from": [A]}])],
        ["x/a>x/b", "x/a>x/c"],
        ["y/a>x/b", "z/a>x/a", "x/b>x/a"],
    ),
    Scenario(
        "N10 a namespace alone is all its pods",
        [policy("x", ingress=[{"from": [Y]}])],
        ["y/a>x/b", "y/b>x/b", "y/c>x/a"],
        ["z/a>x/b", "x/a>x/b"],
    ),
    Scenario(
        "N10 pods of a namespace",
        [policy("x", ingress=[{"from": [Y | A]}])],
        ["y/a>x/b"],
        ["y/b>x/b", "x/a>x/b", "z/a>x/b"],
    ),
    Scenario(
        "N10 pods and a namespace as two peers",
        [policy("x", ingress=[{"from": [Y, A]}])],
        ["y/a>x/b", "y/b>x/b", "x/a>x/b"],
        ["z/a>x/b", "x/c>x/b"],
    ),
    Scenario(
        "N10 an empty selector is all pods of the namespace",
        [policy("x", ingress=[{"from": [pods({})]}])],
        ["x/a>x/b", "x/c>x/a"],
        ["y/a>x/b", "z/b>x/b"],
    ),
    Scenario(
        "N10 an empty selector is all namespaces",
        [policy("x", ingress=[{"from": [spaces({})], "ports": [port(80)]}])],
        ["x/a>x/b TCP80", "y/a>x/b TCP80", "z/c>x/c TCP80"],
        ["y/a>x/b TCP81"],
    ),
    Scenario(
        "N10 pods of all namespaces",
        [policy("x", policyTypes=["Egress"], egress=[{"to": [spaces({}) | C]}])],
        ["x/a>x/c", "x/a>y/c", "x/b>z/c"],
        ["x/a>x/b", "x/a>y/a"],
    ),
    Scenario(
        "N11 In",
        [policy("x", ingress=[{"from": [spaces({}) | pods(expression("pod", "In", "a", "b"))]}])],
        ["x/a>x/b", "y/b>x/a", "z/a>x/c"],
        ["y/c>x/a", "x/c>x/a"],
    ),
    Scenario(
        "N11 NotIn, of pods without the label too",
        [policy("x", ingress=[{"from": [spaces({}) | pods(expression("tier", "NotIn", "front"))]}])],
        ["y/b>x/a", "z/c>x/a"],
        ["y/a>x/a", "x/a>x/b"],
    ),
    Scenario(
        "N11 Exists",
        [policy("x", ingress=[{"from": [spaces(expression("team", "Exists"))]}])],
        ["x/a>x/b", "y/c>x/a"],
        ["z/a>x/a"],
    ),
    Scenario(
        "N11 DoesNotExist",
        [policy("x", ingress=[{"from": [spaces({}) | pods(expression("tier", "DoesNotExist"))]}])],
        ["x/c>x/a", "y/c>x/a"],
        ["y/a>x/a", "x/b>x/a"],
    ),
    Scenario(
        "N11 a namespace without a label",
        [policy("x", policyTypes=["Egress"], egress=[{"to": [spaces(expression("team", "DoesNotExist")) | B]}])],
        ["x/a>z/b"],
        ["x/a>z/a", "x/a>y/b", "x/a>x/b"],
    ),
    Scenario(
        "N11 NotIn of a namespace without the label",
        [policy("x", ingress=[{"from": [spaces(expression("team", "NotIn", "red"))]}])],
        ["z/a>x/a"],
        ["y/a>x/a", "x/a>x/b"],
    ),
    Scenario(
        "N11 labels and expressions",
        [policy("x", ingress=[{"from": [spaces(labels(team="red") | expression("level", "NotIn", "1"))]}])],
        ["y/a>x/a"],
        ["x/a>x/b", "z/a>x/a"],
    ),
    Scenario(
        "N11 whom the policy is about, by expression",
        [policy("x", podSelector=expression("tier", "In", "front", "back"))],
        ["y/a>x/c"],
        ["y/a>x/a", "y/a>x/b", "x/c>x/a"],
    ),
    Scenario(
        "N12 a namespace by its name", [policy("x", ingress=[{"from": [named("z")]}])], ["z/a>x/a"], ["y/a>x/a"]
    ),
    Scenario(
        "N12 egress to a namespace by its name",
        [policy("x", policyTypes=["Egress"], egress=[{"to": [named("y") | B]}])],
        ["x/a>y/b"],
        ["x/a>y/a", "x/a>x/b", "x/a>z/b"],
    ),
    Scenario(
        "N12 all but one, by its name",
        [policy("x", ingress=[{"from": [spaces(expression("kubernetes.io/metadata.name", "NotIn", "y"))]}])],
        ["x/a>x/b", "z/a>x/a"],
        ["y/a>x/a"],
    ),
    Scenario("N10 its own namespace by label", [policy("x", ingress=[{"from": [X]}])], ["x/a>x/b"], ["y/a>x/a"]),
)

"""Labels that change while policies are in force: N26."""

from netpol_scenarios import A, Scenario, X, Y, labels, policy, spaces

LIFECYCLE = (
    Scenario(
        "N26 a pod becomes a peer",
        [policy("x", ingress=[{"from": [A]}])],
        ["x/b>x/a", "x/a>x/b"],
        ["x/c>x/a", "y/b>x/a"],
        pod_labels={"x/b": {"pod": "a"}},
    ),
    Scenario(
        "N26 a pod is a peer no more",
        [policy("x", ingress=[{"from": [Y | A]}])],
        ["x/a>y/a"],
        ["y/a>x/a", "y/a>x/c"],
        pod_labels={"y/a": {"pod": None}},
    ),
    Scenario(
        "N26 a pod comes under a policy",
        [policy("x", podSelector=labels(guarded="yes"))],
        ["y/a>x/a", "x/c>y/a"],
        ["y/a>x/c", "x/a>x/c"],
        pod_labels={"x/c": {"guarded": "yes"}},
    ),
    Scenario(
        "N26 a pod leaves a policy",
        [policy("x", podSelector=labels(tier="front"), policyTypes=["Egress"])],
        ["x/a>y/a", "x/a>x/b"],
        pod_labels={"x/a": {"tier": "back"}},
    ),
    Scenario(
        "N26 a namespace becomes a peer",
        [policy("x", ingress=[{"from": [spaces(labels(team="red"))]}])],
        ["z/a>x/a", "y/a>x/a", "x/a>x/b"],
        namespace_labels={"z": {"team": "red"}},
    ),
    Scenario(
        "N26 a namespace is a peer no more",
        [policy("x", policyTypes=["Egress"], egress=[{"to": [Y]}])],
        ["y/a>x/a"],
        ["x/a>y/a", "x/c>y/b", "x/a>z/a"],
        namespace_labels={"y": {"level": "9"}},
    ),
    Scenario(
        "N26 a pod and its namespace at once",
        [policy("y", ingress=[{"from": [X | A]}])],
        ["z/b>y/a"],
        ["z/a>y/a", "x/a>y/a"],
        pod_labels={"z/b": {"pod": "a"}, "z/a": {"pod": "b"}},
        namespace_labels={"z": {"level": "1"}, "x": {"level": "3"}},
    ),
)

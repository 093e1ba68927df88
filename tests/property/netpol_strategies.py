"""Random clusters with random NetworkPolicies, as objects of the API; of few words, so that rules and pods meet."""

from hypothesis import strategies as st

NODES = ("n1", "n2")
NAMESPACES = ("x", "y")
KEYS = ("app", "tier")
VALUES = ("a", "b", "")
PORTS = (80, 81, 443, 65535)
NAMES = ("web", "dns")
PROTOCOLS = ("TCP", "UDP", "SCTP")
BLOCKS = (
    ("0.0.0.0/0", ("10.1.0.0/16", "203.0.113.8/29", "10.1.1.3/32")),
    ("10.1.0.0/16", ("10.1.1.0/24", "10.1.1.3/32")),
    ("203.0.113.9/32", ()),
    ("203.0.113.0/24", ("203.0.113.9/32", "203.0.113.0/28")),
    ("::/0", ("fd00:1::/32", "2001:db8::/64")),
    ("fd00:1::/32", ("fd00:1:1::/64",)),
)
OUTSIDE = {4: ("203.0.113.9", "198.51.100.1"), 6: ("2001:db8::9", "2001:db8:1::1")}

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2)
one_label = st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)).map(lambda pair: dict([pair]))


@st.composite
def requirements(draw):
    operator = draw(st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")))
    made = {"key": draw(st.sampled_from(KEYS)), "operator": operator}
    if operator in ("In", "NotIn"):
        made["values"] = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=2))
    return made


@st.composite
def selectors(draw):
    kind = draw(st.sampled_from(("all", "label", "label", "expressions", "both")))
    made = {}
    if kind in ("label", "both"):
        made["matchLabels"] = draw(one_label)
    if kind in ("expressions", "both"):
        made["matchExpressions"] = draw(st.lists(requirements(), min_size=1, max_size=2))
    return made


@st.composite
def blocks(draw):
    cidr, parts = draw(st.sampled_from(BLOCKS))
    excepted = draw(st.lists(st.sampled_from(parts), max_size=2)) if parts else []
    return {"ipBlock": {"cidr": cidr} | ({"except": excepted} if excepted else {})}


@st.composite
def peers(draw):
    if draw(st.integers(0, 2)) == 0:
        return draw(blocks())
    which = draw(st.sampled_from((("podSelector",), ("namespaceSelector",), ("podSelector", "namespaceSelector"))))
    return {name: draw(selectors()) for name in which}


@st.composite
def ports(draw):
    made = {}
    if draw(st.booleans()):
        made["protocol"] = draw(st.sampled_from(("TCP", *PROTOCOLS)))
    kind = draw(st.sampled_from(("all", "one", "range", "name", "name")))
    if kind == "one":
        made["port"] = draw(st.sampled_from(PORTS))
    elif kind == "range":
        first, last = sorted(draw(st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS))))
        made |= {"port": first, "endPort": last}
    elif kind == "name":
        made["port"] = draw(st.sampled_from(NAMES))
    return made


@st.composite
def rules(draw, word):
    made = {}
    if draw(st.integers(0, 3)):
        made[word] = draw(st.lists(peers(), max_size=2))
    if draw(st.booleans()):
        made["ports"] = draw(st.lists(ports(), max_size=2))
    return made


@st.composite
def policies(draw, name="p"):
    spec = {}
    if draw(st.integers(0, 3)):
        spec["podSelector"] = draw(selectors())
    types = draw(st.sampled_from((None, ["Ingress"], ["Egress"], ["Ingress", "Egress"])))
    if types is not None:
        spec["policyTypes"] = types
    for direction, word in (("ingress", "from"), ("egress", "to")):
        if draw(st.booleans()):
            spec[direction] = draw(st.lists(rules(word), max_size=2))
    return {"metadata": {"name": name, "namespace": draw(st.sampled_from(NAMESPACES))}, "spec": spec}


@st.composite
def containers(draw):
    named = st.tuples(st.sampled_from(NAMES), st.sampled_from(("TCP", "TCP", "UDP")))
    names = draw(st.lists(named, min_size=1, max_size=2, unique=True))
    made = [
        {"name": name, "protocol": protocol, "containerPort": draw(st.sampled_from(PORTS))}
        for name, protocol in names
    ]
    return [{"name": "main", "ports": made}]


@st.composite
def pods(draw, number, phases=("Running", "Running", "Running", "Succeeded")):
    node = draw(st.integers(0, len(NODES) - 1))
    ips = [f"10.1.{node + 1}.{number + 2}", f"fd00:1:{node + 1}::{number + 2:x}"]
    return {
        "metadata": {
            "name": f"pod{number}", "namespace": draw(st.sampled_from(NAMESPACES)), "uid": f"u{number}",
            "labels": draw(labels),
        },
        "spec": {"nodeName": NODES[node], "containers": draw(containers())},
        "status": {"phase": draw(st.sampled_from(phases)), "podIPs": [{"ip": ip} for ip in ips]},
    }  # fmt: skip


@st.composite
def namespaces(draw):
    return [{"metadata": {"name": name, "labels": draw(one_label)}} for name in NAMESPACES]


@st.composite
def clusters(draw, most_policies=4, most_pods=4):
    """Namespaces, pods and policies."""
    count = draw(st.integers(2, most_pods))
    named = [draw(policies(f"p{number}")) for number in range(draw(st.integers(1, most_policies)))]
    return {
        "namespaces": draw(namespaces()),
        "pods": [draw(pods(number)) for number in range(count)],
        "policies": named,
    }


BOUNDARIES = (79, 80, 81, 82, 442, 443, 444, 65534, 65535)
"""Every port at which a rule may begin or end, and its neighbours."""

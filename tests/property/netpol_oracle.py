"""What NetworkPolicy says, as naively as can be, on objects as they come from the API.

Written from the NetworkPolicy reference and its concept page, for the tests; it shares no code with Weft. The numbers
are those of CONFORMANCE's list.
"""

from ipaddress import ip_address, ip_network

FIRST, LAST = 1, 65535


def allowed(cluster, source, target, protocol, port):
    """Whether a new connection gets through. `source` and `target` are pods (objects) or addresses (text);
    `cluster` has lists of objects under "namespaces", "pods" and "policies"; `protocol` may be "ICMP"."""
    # N4: the source's egress and the target's ingress both have to allow it.
    return _judged(cluster, "Egress", source, target, protocol, port, target) and _judged(
        cluster, "Ingress", target, source, protocol, port, target
    )


def _judged(cluster, direction, subject, peer, protocol, port, target):
    if not isinstance(subject, dict) or subject["spec"].get("hostNetwork"):
        return True  # N22
    policies = [each for each in cluster["policies"] if _selects(each, subject) and direction in _types(each)]
    if not policies:
        return True  # N1, N2
    # N3: what any of them allows is allowed.
    return any(
        _rule_allows(cluster, policy, rule, direction, peer, protocol, port, target)
        for policy in policies
        for rule in policy["spec"].get(direction.lower()) or []
    )


def _selects(policy, pod):
    same = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and selected(policy["spec"].get("podSelector") or {}, pod["metadata"].get("labels") or {})


def _types(policy):
    # N6
    given = policy["spec"].get("policyTypes")
    return given or (["Ingress", "Egress"] if policy["spec"].get("egress") else ["Ingress"])


def selected(selector, labels):
    """N11"""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for each in selector.get("matchExpressions") or []:
        key, operator, values = each["key"], each["operator"], each.get("values") or []
        if operator == "In" and labels.get(key) not in values:
            return False
        if operator == "NotIn" and labels.get(key) in values:
            return False
        if operator == "Exists" and key not in labels:
            return False
        if operator == "DoesNotExist" and key in labels:
            return False
    return True


def _rule_allows(cluster, policy, rule, direction, peer, protocol, port, target):
    # N8, N9
    peers, ports = rule.get("from" if direction == "Ingress" else "to"), rule.get("ports")
    if peers and not any(_is_peer(cluster, policy, each, peer) for each in peers):
        return False
    return not ports or any(_is_port(each, protocol, port, target) for each in ports)


def _is_peer(cluster, policy, given, peer):
    if "ipBlock" in given:
        # N13: a block is about addresses, whoever has them.
        addresses = [peer["using"]] if isinstance(peer, dict) else [peer]
        return any(_in_block(given["ipBlock"], each) for each in addresses)
    if not isinstance(peer, dict) or peer["spec"].get("hostNetwork"):
        return False
    if peer["status"]["phase"] in ("Succeeded", "Failed"):
        return False  # N27
    # N10
    namespace = peer["metadata"]["namespace"]
    if given.get("namespaceSelector") is None:
        if namespace != policy["metadata"]["namespace"]:
            return False
    elif not selected(given["namespaceSelector"], _namespace_labels(cluster, namespace)):
        return False
    return selected(given.get("podSelector") or {}, peer["metadata"].get("labels") or {})


def _namespace_labels(cluster, name):
    return next(
        (n["metadata"].get("labels") or {} for n in cluster["namespaces"] if n["metadata"]["name"] == name), {}
    )


def _in_block(block, address):
    def inside(text):
        network = ip_network(text, strict=False)
        return ip_address(address).version == network.version and ip_address(address) in network

    return inside(block["cidr"]) and not any(inside(text) for text in block.get("except") or [])


def _is_port(given, protocol, port, target):
    # N15 to N18
    if (given.get("protocol") or "TCP") != protocol:
        return False
    wanted = given.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return isinstance(target, dict) and port == _named(target, protocol, wanted)
    return wanted <= port <= given.get("endPort", wanted)


def _named(pod, protocol, name):
    """The number that a pod gives the name; its first port of the name counts."""
    for container in pod["spec"].get("containers") or []:
        for port in container.get("ports") or []:
            if port.get("name") == name and port.get("protocol", "TCP") == protocol:
                return port["containerPort"]
    return None

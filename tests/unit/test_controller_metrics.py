"""What the controller counts, where it is more than one more."""

from cluster_fixture import namespace

from controller import commands as c
from controller.flows import denied
from controller.main import event_name
from controller.metrics import Metrics
from kube.changes import Applied, Deleted, Listed
from openflow.codec import encode
from openflow.features import base
from openflow.fields import Disposition

EGRESS, INGRESS = base.DENIED


def count(metrics, node, direction):
    return metrics.registry.get_sample_value(
        "weft_policy_denied_packets_total", {"node": node, "direction": direction}
    )


def test_denied_packets_go_on_where_a_switch_begins_again():
    metrics = Metrics()
    for packets in (5, 7, 7, 2, 3):  # it was restarted after the third reading
        metrics.count_denied("n1", {EGRESS: packets, INGRESS: 0})
    assert count(metrics, "n1", "egress") == 7 + 3
    assert count(metrics, "n1", "ingress") == 0
    assert count(metrics, "n2", "egress") is None


def test_of_a_node_that_is_gone_nothing_is_told_and_nothing_kept():
    metrics = Metrics()
    metrics.count_denied("n1", {EGRESS: 5, INGRESS: 1})
    metrics.forget("n1")
    metrics.forget("n1")
    assert count(metrics, "n1", "egress") is None
    metrics.count_denied("n1", {EGRESS: 6, INGRESS: 1})
    assert count(metrics, "n1", "egress") == 6


def test_what_a_side_denies_is_the_sum_of_its_flows():
    flows = {side: [encode(flow).key for flow in base.denying(side)] for side in Disposition if side}
    packets = {key: 10**place for keys in flows.values() for place, key in enumerate(keys)}
    assert denied(packets) == {EGRESS: 111, INGRESS: 111}
    assert denied({flows[EGRESS][0]: 4, b"another": 9}) == {EGRESS: 4, INGRESS: 0}


def test_events_of_the_api_have_their_kind_in_their_name():
    told = (Applied(namespace("shop")), Deleted("Pod", "shop/web"), Listed("Node", ()), c.Tick(1.0))
    assert [event_name(each) for each in told] == ["NamespaceApplied", "PodDeleted", "NodeListed", "Tick"]

"""Which pods share an identity, and that every replica computes the same."""

from cluster_fixture import pod

from controller.identity import UNKNOWN, identity_of


def test_pods_of_one_namespace_that_nobody_tells_apart_share_an_identity():
    assert identity_of(pod("a", app="web")) == identity_of(pod("b", "n2", uid="u2", app="db"))


def test_namespaces_are_always_told_apart():
    assert identity_of(pod("a", namespace="one")) != identity_of(pod("a", namespace="two"))


def test_only_labels_that_a_selector_mentions_count():
    web, db = pod("a", app="web", tier="x"), pod("b", app="db", tier="x")
    assert identity_of(web, {"app"}) != identity_of(db, {"app"})
    assert identity_of(web, {"tier"}) == identity_of(db, {"tier"})


def test_a_label_with_no_value_is_not_a_missing_label():
    assert identity_of(pod("a", app=""), {"app"}) != identity_of(pod("a"), {"app"})


def test_the_order_of_labels_does_not_matter():
    assert identity_of(pod("a", x="1", y="2"), {"x", "y"}) == identity_of(pod("a", y="2", x="1"), {"y", "x"})


def test_the_id_is_the_same_in_every_process():
    # A literal: replicas of different versions must agree, or flows of one are drift to the other.
    assert identity_of(pod("a", namespace="default")) == 0xFE98B07B1BA6B3A2


def test_no_pod_is_unknown():
    assert identity_of(pod("a")) != UNKNOWN
    assert 0 < identity_of(pod("a")) < 1 << 64

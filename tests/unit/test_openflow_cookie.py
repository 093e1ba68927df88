"""Cookies: every flow says whose it is."""

from openflow import example
from openflow.features import base, node, pod
from openflow.flow import MAGIC, Feature, cookie, is_ours


def test_a_cookie_is_magic_feature_and_digest():
    value = cookie(Feature.POD, "pod/shop/web")
    assert value >> 56 == MAGIC
    assert value >> 48 & 0xFF == Feature.POD
    assert value == 0x5F029E77117C61C3, "a changed digest would make every installed flow foreign"


def test_owners_and_features_do_not_share_cookies():
    owners = [f"pod/shop/web-{number}" for number in range(2000)] + [f"node/n{number}" for number in range(2000)]
    made = {cookie(feature, owner) for owner in owners for feature in (Feature.POD, Feature.NODE)}
    assert len(made) == 2 * len(owners)


def test_ours_are_recognised_by_their_first_byte():
    assert is_ours(cookie(Feature.BASE, "anything"))
    assert not is_ours(0)
    assert not is_ours(MAGIC)
    assert not is_ours(MAGIC + 1 << 56)


def test_every_flow_belongs_to_its_owner():
    assert {flow.cookie for flow in base.flows(example.PORTS)} == {cookie(Feature.BASE, base.OWNER)}
    assert {flow.cookie for flow in pod.flows(example.WEB)} == {cookie(Feature.POD, "pod/shop/web")}
    assert {flow.cookie for flow in node.gateway_flows(example.ALPHA)} == {cookie(Feature.NODE, "node/alpha")}
    assert {flow.cookie for flow in node.remote_flows(example.BETA)} == {cookie(Feature.NODE, "node/beta")}

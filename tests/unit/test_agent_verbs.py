"""From a request to an answer: readiness, error codes, and how many requests there were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from prometheus_client import generate_latest

from cni.errors import CniError, ErrorCode
from cni.frame import Request
from node_agent.attach import Attacher, NodeNetwork, Surroundings
from node_agent.bridge import NodeBridge
from node_agent.metrics import Metrics
from node_agent.status import Reason
from node_agent.verbs import Verbs
from ovsdb.loop import OvsdbLoop
from ovsdb.schema import OWN

CONF = {"cniVersion": "1.1.0", "name": "weft", "type": "weft"}
ENV = {
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/nowhere",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
    "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
}


@dataclass
class Agent:
    """Verbs over an attacher that never reached its database; `reasons` are why the node is not ready,
    `status` what STATUS finds."""

    reasons: list[str] = field(default_factory=list)
    status: list[Reason] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def start(self, loop: OvsdbLoop) -> None:
        switch = NodeBridge(loop.session("unix:/nowhere/db.sock", OWN), "br-int")
        self.verbs = Verbs(
            Attacher(
                switch,
                Surroundings(self.network, list, lambda _: (), lambda _: False, lambda _: {}, lambda _: ""),
                seed=1,
            ),
            lambda: self.reasons,
            lambda: self.status,
            self.metrics,
        )

    def network(self) -> NodeNetwork:
        raise AssertionError("no ADD comes this far")

    def ask(self, verb: str, conf: object = None, **env: str) -> bytes:
        stdin = json.dumps(CONF if conf is None else conf).encode()
        return self.verbs.serve(Request({**ENV, "CNI_COMMAND": verb, **env}, stdin))

    def refusal(self, verb: str, conf: object = None, **env: str) -> CniError:
        with pytest.raises(CniError) as caught:
            self.ask(verb, conf, **env)
        return caught.value

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def agent() -> Iterator[Agent]:
    with OvsdbLoop() as loop:
        made = Agent()
        made.start(loop)
        yield made


def test_c38_status_prints_nothing_when_the_node_is_ready(agent: Agent) -> None:
    assert agent.ask("STATUS") == b""


def test_c38_status_gives_every_reason(agent: Agent) -> None:
    agent.status = [
        Reason(ErrorCode.PLUGIN_NOT_AVAILABLE, "no addresses"),
        Reason(ErrorCode.PLUGIN_NOT_AVAILABLE, "b"),
    ]
    refused = agent.refusal("STATUS")
    assert (refused.code, refused.msg) == (50, "the node's network is not ready: no addresses; b")


def test_c38_status_is_51_as_soon_as_a_reason_concerns_pods_that_run(agent: Agent) -> None:
    agent.status = [Reason(ErrorCode.LIMITED_CONNECTIVITY, "a"), Reason(ErrorCode.PLUGIN_NOT_AVAILABLE, "b")]
    refused = agent.refusal("STATUS")
    assert (refused.code, refused.msg) == (51, "the node's network is not ready: a; b")


def test_an_add_on_a_node_that_is_not_ready_is_to_be_tried_again(agent: Agent) -> None:
    agent.reasons = ["Node n1: spec.podCIDRs is empty"]
    refused = agent.refusal("ADD")
    assert refused.code == ErrorCode.TRY_AGAIN_LATER
    assert "spec.podCIDRs is empty" in refused.msg


def test_an_add_on_a_ready_node_gets_to_the_attacher(agent: Agent) -> None:
    assert agent.refusal("ADD").code == ErrorCode.INVALID_ENVIRONMENT  # whose first question is the namespace


@pytest.mark.parametrize("verb", ["DEL", "CHECK", "GC"])
def test_other_verbs_do_not_wait_for_a_ready_node(agent: Agent, verb: str) -> None:
    """They get to the attacher, and fail for its reasons: a node without a range still frees its pods."""
    agent.reasons = ["Node n1: spec.podCIDRs is empty"]
    conf = {**CONF, "prevResult": {"cniVersion": "1.1.0"}, "cni.dev/valid-attachments": []}
    assert "database is not reachable" in agent.refusal(verb, conf).msg


def test_version_is_not_the_agents_to_answer(agent: Agent) -> None:
    assert agent.refusal("VERSION").code == ErrorCode.INVALID_ENVIRONMENT


@pytest.mark.parametrize(
    ("verb", "conf", "env", "code"),
    [
        ("ADD", {**CONF, "cniVersion": "9.9.9"}, {}, 1),
        ("ADD", {**CONF, "ipam": {"type": "x"}}, {}, 2),
        ("ADD", CONF, {"CNI_IFNAME": ""}, 4),
        ("FROB", CONF, {}, 4),
        ("ADD", [], {}, 6),
        ("ADD", {"cniVersion": "1.0.0"}, {}, 7),
        ("ADD", CONF, {"CNI_NETNS": "/proc/thread-self/ns/net"}, 8),
        ("DEL", CONF, {}, 11),
    ],
)
def test_refusals_have_codes_and_are_counted_as_requests(
    agent: Agent, verb: str, conf: object, env: dict[str, str], code: int
) -> None:
    for _ in range(2):
        assert agent.refusal(verb, conf, **env).code == code
    counted = "unknown" if verb == "FROB" else verb
    assert agent.sample("weft_cni_request_seconds_count", verb=counted) == 2


def test_a_verb_that_is_not_utf8_leaves_the_metrics_readable(agent: Agent) -> None:
    assert agent.refusal(b"AD\xff".decode(errors="surrogateescape")).code == ErrorCode.INVALID_ENVIRONMENT
    assert b'weft_cni_request_seconds_count{verb="unknown"} 1.0' in generate_latest(agent.metrics.registry)


def test_requests_that_succeed_are_counted_as_such(agent: Agent) -> None:
    agent.ask("STATUS")
    agent.ask("GC")
    assert agent.sample("weft_cni_request_seconds_count", verb="STATUS") == 1
    assert agent.sample("weft_cni_request_seconds_count", verb="GC") == 1

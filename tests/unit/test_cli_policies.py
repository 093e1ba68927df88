"""`weftctl policy`: which policies are meant, and what is told of them to people and programs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from policy_objects_fixture import WORLD, Obj, apps, objects, pod, policy, state, wanted

from cli import policies
from cli.errors import CliError
from cli.inforce import Count, NodeState, PolicyState
from cli.layout import plain
from cli.policies import Choice, as_json, chosen, in_force, lines
from controller.policy.names import PolicyObjects
from controller.policy.rules import Origin
from kube.netpol import Direction
from openflow.codec import Encoded
from openflow.tables import Table

NOW = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=3, minutes=5)
KEYS = ("bank/web", "shop/all", "shop/web")
WEB = policy("shop/web", "web", ingress=[{"from": [apps("cart")], "ports": [{"port": "http"}]}])
INGRESS = Origin("shop/web", "Ingress", 0)
COUNT = Count(12, 980, sessions=3)


def _state(made: PolicyObjects, lacking: int = 0) -> PolicyState:
    """A policy with counts, of which alpha lacks some flows."""
    held = wanted(made, "alpha", "beta")
    judging = sorted(key for key in held["alpha"] if key[0] in (Table.INGRESS_IDENTITY, Table.INGRESS_POLICY))
    for key in judging[:lacking]:
        del held["alpha"][key]
    found = state(made, held)["shop/web"]
    return replace(found, total=COUNT, counts=MappingProxyType({**found.counts, **_counts(found)}))


def _counts(found: PolicyState) -> dict[Origin, Count]:
    return {origin: COUNT for origin in found.counts if origin.place == 0}


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (Choice(), ["bank/web", "shop/all", "shop/web"]),
        (Choice(namespace="shop"), ["shop/all", "shop/web"]),
        (Choice(namespace="none"), []),
        (Choice("all"), ["shop/all"]),
        (Choice("bank/web"), ["bank/web"]),
        (Choice("web", "shop"), ["shop/web"]),
        (Choice("shop/web", "shop"), ["shop/web"]),
    ],
)
def test_policies_by_name_and_namespace(choice: Choice, found: list[str]) -> None:
    assert chosen(reversed(KEYS), choice) == found


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        (Choice("web"), "several policies are called web: bank/web, shop/web; give one of these"),
        (Choice("nope"), "there is no NetworkPolicy 'nope': `weftctl policy` lists"),
        (Choice("all", "bank"), "there is no NetworkPolicy 'all' in namespace bank"),
        (Choice("shop/web", "bank"), "shop/web is not in namespace bank: leave -n out"),
    ],
)
def test_a_name_that_none_or_several_have_is_an_error(choice: Choice, complaint: str) -> None:
    with pytest.raises(CliError, match=complaint):
        chosen(KEYS, choice)


def test_a_row_a_policy() -> None:
    found = _state(objects(WEB))
    (row,) = policies.rows([found], NOW)
    flows = str(sum(each.flows for each in found.nodes))
    assert row.cells == ("shop", "web", "Ingress", "2", "1", flows, "3", "12", "980", "all nodes", "3h5m")
    assert [column.title for column in policies.columns()][6:9] == ["SESSIONS", "PACKETS", "BYTES"]


def _node(name: str, *missing: Encoded, unseen: str = "") -> NodeState:
    return NodeState(name, (f"shop/web-{name}",), 11, missing, (), unseen)


GONE = Encoded(b"\x10\x9c\x40", bytes(8))


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ((), "no pods"),
        ((_node("n1"), _node("n2")), "all nodes"),
        ((_node("n1"), _node("n2"), _node("n3", GONE)), "2/3 nodes: missing n3"),
        ((_node("n1", GONE), _node("n2", GONE)), "0/2 nodes: missing n1, n2"),
        ((_node("n1"), _node("n2", unseen="away")), "1/2 nodes: not known of n2"),
        ((_node("n1", GONE), _node("n2", unseen="away")), "0/2 nodes: missing n1; not known of n2"),
    ],
)
def test_where_it_is_in_force_in_words(nodes: tuple[NodeState, ...], text: str) -> None:
    found = _state(objects(WEB))
    assert in_force(replace(found, nodes=nodes)) == text


def test_parts_that_cannot_be_read_are_counted_and_named() -> None:
    spoilt = policy(
        "shop/web", "web", ingress=[{"from": [{"ipBlock": {"cidr": "nonsense"}}], "ports": [{"port": 0}]}]
    )
    found = _state(objects(spoilt))
    assert in_force(found) == "all nodes; 2 parts ignored"
    told = _told(found)
    assert [line.partition(" is ")[0] for line in told if line.startswith("ignored: ")] == [
        "ignored: NetworkPolicy shop/web: spec.ingress[0].from[0].ipBlock.cidr",
        "ignored: NetworkPolicy shop/web: spec.ingress[0].ports[0].port",
    ]
    assert any("no peer that can be read; no port that can be read (allows nothing now)" in line for line in told)


def _told(found: PolicyState, width: int | None = None) -> list[str]:
    return [plain(line) for line in lines(found, {}, NOW, width)]


def test_all_about_a_policy() -> None:
    again = policy("shop/again", "web", ingress=[WEB["spec"]["ingress"][0]])
    found = _state(objects(WEB, again))
    alpha, beta = (each.flows for each in found.nodes)
    assert _told(found) == [
        "shop/web: Ingress of podSelector app=web, for 3h5m",
        "2 pods selected; in force: all nodes",
        "",
        "RULE            SESSIONS  PACKETS  BYTES  WHAT                                 COUNTED WITH",
        "ingress #0             3       12    980  from podSelector app=cart; TCP http  shop/again ingress #0",
        "ingress denied         -        0      0  what no rule allows                  "
        "all policies that isolate these pods",
        "",
        "NODE   FLOWS  IN FORCE  PODS",
        f"alpha     {alpha}  yes       shop/web-1",
        f"beta      {beta}  yes       shop/web-2",
    ]


def test_flows_that_a_node_lacks_are_named() -> None:
    found = _state(objects(WEB), lacking=5)
    flows, told = found.nodes[0].flows, _told(found)
    assert told[1] == "2 pods selected; in force: 1/2 nodes: missing alpha"
    assert told[8] == f"alpha     {flows}  no: 5 missing of {flows} flows  shop/web-1"
    faults = [line for line in told if line.startswith("alpha: missing: ")]
    assert len(faults) == 4
    assert faults[-1] == "alpha: missing: 2 more"
    assert faults[0].startswith("alpha: missing: IngressIdentity 30000 [ip_src=10.1.0.3] (")


def test_pods_that_no_node_runs_yet_and_rules_that_allow_nothing_are_told() -> None:
    waiting: Obj = pod("shop/web-3", "")
    unnamed = policy("shop/web", "web", ingress=[{"ports": [{"port": "nobody"}]}])
    told = _told(_state(objects(unnamed, pods=(*WORLD, waiting))))
    assert told[1] == "3 pods selected; in force: all nodes"
    assert told[4].endswith("from anybody; TCP nobody (allows nothing now)")
    assert told[-1] == "-          -  not yet: no node runs these pods  shop/web-3"


def test_for_programs() -> None:
    again = policy("shop/again", "web", ingress=[WEB["spec"]["ingress"][0]])
    found = _state(objects(WEB, again), lacking=1)
    flows = [each.flows for each in found.nodes]
    (made,) = as_json([found], {})["policies"]
    assert [made[each] for each in ("namespace", "name", "types", "podSelector", "pods", "flows")] == [
        "shop", "web", ["Ingress"], "app=web", 2, sum(flows),
    ]  # fmt: skip
    assert (made["created"], made["ignored"], made["inForce"]) == ("2026-01-01T00:00:00+00:00", [], False)
    assert (made["sessions"], made["packets"], made["bytes"]) == (3, 12, 980)
    assert made["rules"] == [
        {
            "direction": "Ingress",
            "index": 0,
            "text": "from podSelector app=cart; TCP http",
            "allowsNothing": False,
            "sessions": 3,
            "packets": 12,
            "bytes": 980,
            "countedWith": [{"policy": "shop/again", "direction": "Ingress", "index": 0}],
        }
    ]
    assert made["denied"] == {Direction.INGRESS.value: {"packets": 0, "bytes": 0}}
    alpha, beta = made["nodes"]
    assert (alpha["node"], alpha["pods"], alpha["inForce"], alpha["flows"]) == (
        "alpha", ["shop/web-1"], False, flows[0],
    )  # fmt: skip
    assert len(alpha["missing"]) == 1
    assert (beta["inForce"], beta["missing"], beta["different"], beta["unseen"]) == (True, [], [], "")

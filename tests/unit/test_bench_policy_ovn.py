"""The parts of `policy-ovn` that compute: both sides get the same policies, and a stream ends where it does."""

from __future__ import annotations

import json

import pytest

from bench import apps, ovn_acls
from bench.metric import Metric, Peer
from bench.northbound import results
from bench.ovn_acls import Port
from bench.policy_ovn import PATIENCE_SECONDS, elapsed_ms, metrics
from bench.stage import BenchError
from bench.stream import FLOWING, QUIET, Record, Watch
from kube.netpol import Direction, PodPeer, PolicyPort, Rule, parse_network_policy
from kube.selectors import Operator, Requirement, Selector

PODS, APPS = 12, 3
LABELS = apps.labels(PODS, APPS)
PORTS = {name: Port(f"id-{name}", (f"10.0.0.{i}", f"fd00::{i:x}")) for i, name in enumerate(LABELS, start=1)}


def _inserted(operations: list[ovn_acls.Obj], table: str) -> list[ovn_acls.Obj]:
    return [each["row"] for each in operations if each["op"] == "insert" and each["table"] == table]


# The pods and policies.


def test_all_pods_but_the_ends_of_the_stream_are_dealt_out_among_the_apps() -> None:
    assert len(LABELS) == PODS
    assert [len(list(apps.members(LABELS, f"app-{number}"))) for number in range(APPS)] == [4, 3, 3]
    assert list(apps.members(LABELS, apps.RECEIVER)) == [apps.RECEIVER]


def test_every_app_lets_the_next_one_in_on_ports_of_its_own() -> None:
    made = apps.policies(APPS)
    assert [(each.app, each.peer) for each in made] == [("app-0", "app-1"), ("app-1", "app-2"), ("app-2", "app-0")]
    ports = [port for each in made for port in range(each.first, each.last + 1)]
    assert len(set(ports)) == len(ports) == 100 * APPS


def test_kubernetes_takes_the_policies_as_they_are_meant() -> None:
    read, isolating = (
        parse_network_policy(json.dumps(each).encode())
        for each in (apps.network_policy(apps.policies(APPS)[0]), apps.isolation("deny", apps.RECEIVER))
    )
    peer = Selector((Requirement("app", Operator.IN, ("app-1",)),))
    rule = Rule((PodPeer(None, peer),), (PolicyPort("TCP", 8000, 8099),))
    assert (read.rules, read.problems) == ({Direction.INGRESS: (rule,)}, ())
    assert (isolating.rules, isolating.problems) == ({Direction.INGRESS: ()}, ())


# The same for OVN.


def test_a_policy_is_a_port_group_with_an_acl_and_its_peers_are_address_sets() -> None:
    operations = ovn_acls.namespace(LABELS, apps.policies(APPS), PORTS)
    groups = {row["name"]: row for row in _inserted(operations, "Port_Group")}
    sets = {row["name"]: row["addresses"][1] for row in _inserted(operations, "Address_Set")}
    matches = [row["match"] for row in _inserted(operations, "ACL")]
    assert groups.keys() == {ovn_acls.DENY, "app_0", "app_1", "app_2"}
    assert groups["app_1"]["ports"][1] == [["uuid", f"id-pod-{number}"] for number in (1, 4, 7)]
    assert sets["a_app_0_v4"] == [PORTS[f"pod-{number}"].ips[0] for number in (1, 4, 7)]
    assert sets["a_app_0_v6"] == [PORTS[f"pod-{number}"].ips[1] for number in (1, 4, 7)]
    assert (
        "(ip4.src == {$a_app_0_v4} || ip6.src == {$a_app_0_v6}) && tcp && 8000<=tcp.dst<=8099 && outport == @app_0"
    ) in matches


def test_with_addresses_of_one_family_there_is_one_address_set() -> None:
    operations = ovn_acls.app_policy(apps.policies(APPS)[0], ["id"], [Port("peer", ("10.0.0.9",))])
    (acl,) = _inserted(operations, "ACL")
    assert [row["name"] for row in _inserted(operations, "Address_Set")] == ["a_app_0_v4"]
    assert acl["match"].startswith("(ip4.src == {$a_app_0_v4}) && tcp")


def test_everything_but_neighbours_is_dropped_below_what_policies_allow() -> None:
    operations = ovn_acls.namespace(LABELS, apps.policies(APPS), PORTS)
    acls = _inserted(operations, "ACL")
    (drop,) = (row for row in acls if row["action"] == "drop")
    assert all(row["priority"] > drop["priority"] for row in acls if row is not drop)
    assert [row["match"] for row in acls if row["action"] == "allow"] == [f"{drop['match']} && (arp || nd)"]
    isolated = next(row for row in _inserted(operations, "Port_Group") if row["name"] == ovn_acls.DENY)["ports"][1]
    assert len(isolated) == PODS - 2
    assert ["uuid", f"id-{apps.RECEIVER}"] not in isolated


def test_every_acl_that_a_port_group_names_is_in_the_same_transaction() -> None:
    operations = ovn_acls.namespace(LABELS, apps.policies(APPS), PORTS)
    named = [each for row in _inserted(operations, "Port_Group") for each in row["acls"][1]]
    assert sorted(name for _, name in named) == sorted(
        each["uuid-name"] for each in operations if each["table"] == "ACL"
    )


def test_releasing_undoes_what_isolating_did() -> None:
    (made, added), (deleted, taken) = ovn_acls.isolate("a-b", "id"), ovn_acls.release("a-b", "id")
    assert made["row"]["name"] == "a_b"
    assert deleted["where"] == [["name", "==", "a_b"]]
    assert added["mutations"] == [["ports", "insert", ["set", [["uuid", "id"]]]]]
    assert taken["mutations"] == [["ports", "delete", ["set", [["uuid", "id"]]]]]


# Its database.


def test_the_results_of_a_transaction_are_those_of_its_operations() -> None:
    assert results({"id": 1, "error": None, "result": [{"count": 1}, {}]}, 2) == [{"count": 1}, {}]


@pytest.mark.parametrize(
    "reply",
    [
        {"error": "unknown database", "result": None},
        {"error": None, "result": [{}, {"error": "constraint violation"}]},
        {"error": None, "result": [{}, {}, {"error": "referential integrity violation"}]},
        {"error": None, "result": [{"error": "syntax error"}, None]},
    ],
)
def test_a_transaction_that_was_refused_is_an_error(reply: ovn_acls.Obj) -> None:
    with pytest.raises(BenchError, match="refused"):
        results(reply, 2)


# The stream.


def _record(arrived: str) -> Record:
    """A datagram for each letter, sent at 0, 10, 20 ...; those marked `x` arrived."""
    record = Record()
    for number, letter in enumerate(arrived):
        assert record.send(number * 10) == number
        record.arrived[number] = letter == "x"
    return record


@pytest.mark.parametrize(("arrived", "since"), [("xxx...", 30), ("x..x.", 40), ("....", 0), ("xx.x", None)])
def test_silence_begins_with_the_first_that_is_lost_for_good(arrived: str, since: int | None) -> None:
    assert _record(arrived).silent_since() == since


def test_what_a_stream_says() -> None:
    watch = Watch()
    silent = [watch.look(number, -1) for number in range(1000)]
    flows = [watch.look(number, number - 3) for number in range(1000, 2000)]
    ended = [watch.look(number, 1996) for number in range(2000, 5000)]
    assert not any(silent)
    assert [word for word in flows if word] == [FLOWING]
    assert [(at, word) for at, word in enumerate(ended, start=2000) if word] == [(1996 + 1500, QUIET)]


# What comes out.


def test_the_time_from_the_write_to_the_silence() -> None:
    assert elapsed_ms(1_000_000, 3_500_000) == 2.5
    assert elapsed_ms(1_000_000, None) is None


def test_a_stream_that_ended_before_the_write_is_no_measurement() -> None:
    with pytest.raises(BenchError, match="before a policy was written"):
        elapsed_ms(3_000_000, 1_000_000)


def test_rounds_in_which_the_stream_goes_on_count_as_the_longest_time() -> None:
    p50, p99, stale = metrics([2.0, None, 4.0], [8.0, 6.0, 7.0])
    assert p50 == Metric("policy-ovn", "p50_ms", 4.0, 3, Peer("ovn", 7.0))
    assert p99 == Metric("policy-ovn", "p99_ms", PATIENCE_SECONDS * 1000, 3, Peer("ovn", 8.0))
    assert stale == Metric("policy-ovn-stale", "count", 1, 3, Peer("ovn", 0))

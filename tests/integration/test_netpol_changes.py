"""NetworkPolicy while something changes: connections that are under way, pods that come, end and hand on
their addresses, policies that are edited or cannot be read, and Weft's processes and switches that end and come back.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from lab_fixture import Box, agent_problem, box, end, events, flow_mods, problems, remove_pods, settled, until
from netpol_lab_fixture import WAYS, PolicyLab, policy_lab, told
from netpol_newcomer import Newcomer
from netpol_prober import Place, Way
from netpol_scenarios import PODS, PORTS, A, B, Obj, X, Y, Z, block, labels, named, pod, pods, policy, port, spaces
from stream_fixture import stream

from cni.errors import ErrorCode
from lab import netns
from lab.bringup import CONTROLLER, agent, vswitchd
from lab.lab import Lab
from lab.runtime import RuntimeFailure

NAME = f"t-polchange-{os.getpid()}"
NODES = ("node1", "node2", "node3")
BOTH = ["Ingress", "Egress"]
HEARING_SECONDS = 0.4
AFTER = 30
NEWCOMERS = 6
ROUNDS = 20
"""What newcomers and those around them say to each other after all that may be heard was heard."""


@pytest.fixture(scope="module")
def world() -> Iterator[PolicyLab]:
    with policy_lab(NAME) as made:
        yield made


@pytest.mark.parametrize("server", ["x/b", "x/c"])
def test_n19_a_policy_cuts_both_ways_what_is_under_way_and_its_deletion_mends_it(
    world: PolicyLab, server: str
) -> None:
    with conversation(world, "y/a", server) as (asking, answering):
        assert heard(asking, answering)
        assert heard(answering, asking)
        with world.in_force(policy("x", ingress=[{"from": [A]}])):
            assert not heard(asking, answering)
            # The answers of a connection that is open would come through, if it was not cut.
            assert not heard(answering, asking)
        until(lambda: heard(asking, answering), "questions come through again")
        assert heard(answering, asking)


@contextmanager
def conversation(world: PolicyLab, one: str, other: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """UDP sockets in two pods, each connected to the other."""
    with ExitStack() as stack:
        ends = []
        for place in (world.places[one], world.places[other]):
            made = netns.run_in(place.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            stack.enter_context(made)
            made.bind((place.ips[0], 0))
            made.settimeout(HEARING_SECONDS)
            ends.append(made)
        ends[0].connect(ends[1].getsockname())
        ends[1].connect(ends[0].getsockname())
        yield ends[0], ends[1]


def heard(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether a datagram arrives."""
    word = os.urandom(8)
    sender.send(word)
    with suppress(TimeoutError):
        while receiver.recv(64) != word:
            pass
        return True
    return False


def test_n25_a_new_pod_is_isolated_from_its_first_moment(world: PolicyLab) -> None:
    """From before it has an address, let alone a container: what it may do is all that it ever does."""
    peers = [Y | A, Y | B]
    new = policy(
        "x", podSelector=labels(pod="new"), policyTypes=BOTH, ingress=[{"from": peers}], egress=[{"to": peers}]
    )
    around = {key: world.places[key] for key in ("x/a", "x/c", "y/a", "y/b", "y/c", "z/b")}
    with world.in_force(new):
        for number in range(NEWCOMERS):
            made = _newcomer(number)
            world.lab.apply([made])
            with Newcomer.awaited(world.lab, made, around) as newcomer:
                allowed = newcomer.meetings({"y/a", "y/b"})
                newcomer.meet(allowed)
                for _ in range(ROUNDS):
                    newcomer.speak()
                assert newcomer.speak() == allowed
            remove_pods(world.lab, made)


def _newcomer(number: int) -> Obj:
    made = pod(f"x/new-{number}", NODES[number % len(NODES)], [{"name": "c", "image": "registry.k8s.io/pause:3.9"}])
    made["metadata"]["labels"] = {"pod": "new"}
    return made


def test_n26_policies_are_edited_come_on_top_and_go(world: PolicyLab) -> None:
    with world.in_force(policy("x", ingress=[{"from": [Y]}])) as first:
        world.agrees(world.expected(first))
        with world.in_force(policy("x", ingress=[{"from": [Z]}], policyTypes=BOTH, egress=[{"to": [X]}])) as second:
            world.agrees(world.expected(second))
            with world.in_force(policy("x", "q", ingress=[{"from": [Y]}])) as third:
                world.agrees(world.expected([*second, *third]))
            world.settle()
            world.agrees(world.expected(second))
    world.settle()
    world.agrees(set(WAYS))


ENDINGS = {"completed": ("exit 0", "Succeeded"), "failed": ("exit 1", "Failed"), "deleted": ("exit 0", "")}


@pytest.mark.parametrize("ending", ENDINGS)
def test_n27_who_gets_the_address_of_a_pod_that_ended_inherits_nothing(
    world: PolicyLab, tmp_path: Path, ending: str
) -> None:
    code, phase = ENDINGS[ending]
    flag = tmp_path / "end"
    job = _job(f"until test -e {flag}; do sleep 0.02; done; {code}")
    ingress = [{"from": [spaces({}) | pods(labels(role="job"))]}, {"from": [named("default")], "ports": [port(81)]}]
    world.lab.apply([job])
    world.lab.wait_pods(30)
    ips = end_of(world.lab, "x/job")
    with world.in_force(policy("y", ingress=ingress)) as policies, _known(world, "x/job", ips):
        before = world.expected(policies, ways_from("x/job"))
        assert before == set(ways_from("x/job"))
        world.agrees(before, ways_from("x/job"))
        if phase:
            flag.touch()
            until(lambda: world.lab.pod("x/job")["status"]["phase"] == phase, f"the pod is {phase}")
        else:
            remove_pods(world.lab, job)
        with _heir(world, ips), _known(world, "default/heir", ips):
            wanted = world.expected(policies, ways_from("default/heir"))
            assert {(way.target[0], way.protocol, way.port) for way in wanted} == {
                ("y", "TCP", 81), *(("x", *at) for at in PORTS), *(("z", *at) for at in PORTS)
            }  # fmt: skip
            world.purged()
            world.agrees(wanted, ways_from("default/heir"))
    remove_pods(world.lab, job)


def _job(script: str) -> Obj:
    made = pod(
        "x/job", "node1", [{"name": "c", "image": "job", "command": ["sh", "-c", script]}], restartPolicy="Never"
    )
    made["metadata"]["labels"] = {"role": "job"}
    return made


def end_of(lab: Lab, key: str) -> tuple[str, str]:
    first, second = (each["ip"] for each in lab.pod(key)["status"]["podIPs"])
    return first, second


def ways_from(key: str) -> list[Way]:
    return [Way(key, other, *at, v) for other in PODS for at in PORTS for v in (4, 6)]


@contextmanager
def _known(world: PolicyLab, key: str, ips: tuple[str, str]) -> Iterator[None]:
    """One more pod in the world; nobody asks it anything."""
    if key not in world.places:
        world.places[key] = Place(world.lab.pod_namespace(key), ips)
    world.ips[key] = ips
    yield
    del world.places[key], world.ips[key]


@contextmanager
def _heir(world: PolicyLab, ips: tuple[str, str]) -> Iterator[None]:
    """A pod without labels that was given these addresses, and whose status says so."""
    with box(world.lab, "node1", "heir") as made:
        attachment = replace(made.attachment, args={**made.attachment.args, "IP": ",".join(ips)})
        until(lambda: _added(replace(made, attachment=attachment)), "the addresses are free")
        path = "/api/v1/namespaces/default/pods/heir/status"
        status = {"phase": "Running", "podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
        world.lab.api.request("PATCH", path, {"status": status}, "application/merge-patch+json")
        world.places["default/heir"] = Place(made.namespace, ips)
        yield


def _added(made: Box) -> bool:
    """Whether the addresses that it asks for could be given."""
    try:
        made.add()
    except RuntimeFailure as e:
        if e.code == ErrorCode.UNSUPPORTED_FIELD:
            return False
        raise
    return True


def test_n29_policies_stay_in_force_while_controller_and_agents_are_away(world: PolicyLab) -> None:
    inside = policy("x", policyTypes=BOTH, ingress=[{"from": [X]}], egress=[{"to": [X, Z | A], "ports": [port(80)]}])
    inside["spec"]["egress"].append({"to": [X]})
    with world.in_force(inside, policy("y", ingress=[{"from": [Z], "ports": [port(53, "UDP")]}])) as policies:
        wanted = world.expected(policies)
        world.agrees(wanted)
        with stream(end(world.lab, "x/a"), end(world.lab, "x/b")) as traffic:
            traffic.wait_sent(AFTER)
            for name in (CONTROLLER, *map(agent, NODES)):
                world.lab.kill(name)
            world.agrees(wanted)
            for name in (CONTROLLER, *map(agent, NODES)):
                world.lab.start(name)
            settled(world.lab)
            for name in NODES:
                until(lambda of=name: agent_problem(world.lab, of) is None, f"the agent of {name} is ready")
            world.agrees(wanted)
            traffic.wait_sent(AFTER)
        assert traffic.lost() == []
        assert flow_mods(world.lab) == 0
        world.settle()
        world.agrees(wanted)


def test_n29_a_switch_that_starts_again_lets_nothing_through_that_is_denied(world: PolicyLab) -> None:
    with world.in_force(policy("x", policyTypes=BOTH, ingress=[{"from": [Y]}], egress=[{"to": [Z]}])) as policies:
        wanted = world.expected(policies)
        world.agrees(wanted)
        world.lab.kill(vswitchd("node1"))
        assert world.probed(WAYS) < wanted
        world.lab.start(vswitchd("node1"))

        def recovered() -> bool:
            found = world.probed(WAYS)
            assert found <= wanted, f"gets through: {told(found - wanted)}"
            return found == wanted

        until(recovered, "all that is allowed gets through again")


UNREADABLE = {
    "from[0].ipBlock.except[0] is '192.168.0.0/16'": {
        "ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}
    },
    "from[1].ipBlock is '0.0.0.0/0'": block("0.0.0.0/0") | Y,
    "from[2] is {}": {},
}
UNREADABLE_PORTS = {
    "ports[0].endPort is 80": port(81, end=80),
    "ports[1].endPort is 81": port("http", end=81),
    "ports[2].endPort is 81": port(end=81),
}


def test_what_of_a_policy_cannot_be_read_allows_nothing_and_events_name_it(world: PolicyLab) -> None:
    """N13: a block has no selectors besides. N17: a range is of numbers, and ends where it begins or later."""
    odd = policy("x", "odd", ingress=[
        {"from": [*UNREADABLE.values(), Y | A], "ports": [*UNREADABLE_PORTS.values(), port(80)]},
    ])  # fmt: skip
    readable = policy("x", "odd", ingress=[{"from": [Y | A], "ports": [port(80)]}])
    with world.in_force(odd):
        world.agrees(world.expected([readable]))
        said = [f"NetworkPolicy x/odd: spec.ingress[0].{field}" for field in (*UNREADABLE, *UNREADABLE_PORTS)]
        assert [each for each in said if not _begins(problems(world.lab, "PolicyPartIgnored"), each)] == []
        listed = world.lab.api.items("/api/v1/namespaces/x/events")
        mine = [each for each in listed if each["reason"] == "PolicyPartIgnored"]
        assert [each for each in said if not _begins([one["message"] for one in mine], each)] == []
        about = {(one["involvedObject"]["kind"], one["involvedObject"]["apiVersion"]) for one in mine}
        assert about == {("NetworkPolicy", "networking.k8s.io/v1")}
        assert len(mine) == len(said)
    assert events(world.lab, "PolicyPartIgnored") == []


def _begins(messages: list[str], said: str) -> bool:
    return any(each.startswith(said) for each in messages)

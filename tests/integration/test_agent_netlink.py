"""A session that threads share: what each asks for is done, and what fails, fails for the one who asked."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from netns_fixture import Namespace, namespaces

from node_agent import rtnl
from node_agent.netlink import SharedNetlink
from node_agent.nlmsg import NetlinkError
from node_agent.rtnl import VethEnd

CROWD = 40


@pytest.fixture
def both() -> Iterator[tuple[Namespace, Namespace]]:
    with namespaces("node", "pod") as (node, pod):
        yield node, pod


@pytest.fixture
def node(both: tuple[Namespace, Namespace]) -> Namespace:
    return both[0]


@pytest.fixture
def pod(both: tuple[Namespace, Namespace]) -> Namespace:
    return both[1]


@pytest.fixture
def shared(node: Namespace) -> Iterator[SharedNetlink]:
    session = node.run(SharedNetlink)
    yield session
    session.close()


def outcome(work: Callable[[], object]) -> int:
    """0, or the errno that it raised."""
    try:
        work()
    except NetlinkError as e:
        return e.errno or -1
    return 0


def test_a_crowd_gets_what_each_has_asked_for(node: Namespace, pod: Namespace, shared: SharedNetlink) -> None:
    with open(f"/run/netns/{pod.name}") as inside, ThreadPoolExecutor(CROWD) as crowd:

        def make(number: int) -> int:
            # Every name twice: of two that ask for one, one is told that it is there.
            name = f"p{number // 2}"
            veth = rtnl.new_veth(VethEnd(name, 1450), VethEnd(name, 1450), inside.fileno())
            return outcome(lambda: shared.execute([veth]))

        made = list(crowd.map(make, range(CROWD)))
    assert [sorted(made[i : i + 2]) for i in range(0, CROWD, 2)] == [[0, errno.EEXIST]] * (CROWD // 2)
    names = {link["ifname"] for link in node.show("link show type veth")}
    assert {f"p{number}" for number in range(CROWD // 2)} <= names


def test_several_requests_of_one_stay_together_and_say_what_was_so_already(
    node: Namespace, pod: Namespace, shared: SharedNetlink
) -> None:
    gone = [rtnl.delete_link(f"none{number}") for number in range(3)]
    with ThreadPoolExecutor(CROWD) as crowd:
        answers = list(crowd.map(lambda _: shared.execute(gone), range(CROWD)))
    assert answers == [tuple(gone)] * CROWD

"""A session that threads share: what each asks for is done, and what fails, fails for the one who asked."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from netns_fixture import Namespace, namespaces

from node_agent import rtnl, rtnl_read
from node_agent.netlink import Netlink, SharedNetlink
from node_agent.nlmsg import NetlinkError
from node_agent.rtnl import Link, VethEnd

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


def test_what_is_done_alone_is_done_between_the_requests_of_others(node: Namespace, shared: SharedNetlink) -> None:
    told: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        inside.set()
        go_on.wait(10)
        told.append("alone")

    def ask() -> None:
        shared.execute([rtnl.delete_link("none")])
        told.append("request")

    with ThreadPoolExecutor(2) as pool:
        alone = pool.submit(shared.alone, work)
        assert inside.wait(10)
        asked = pool.submit(ask)
        assert not wait([asked], timeout=0.2).done
        go_on.set()
        alone.result(10)
        asked.result(10)
    assert told == ["alone", "request"]


@pytest.mark.parametrize("off", [False, True])
def test_a_link_tells_whether_ipv6_is_off(node: Namespace, off: bool) -> None:
    node.command("sysctl", "-q", "-w", f"net.ipv6.conf.default.disable_ipv6={int(off)}")
    node.command("ip", "link", "add", "some0", "type", "veth", "peer", "some1")

    def look() -> Link | None:
        with Netlink() as netlink:
            return rtnl_read.link(netlink, "some0")

    found = node.run(look)
    assert found is not None
    assert found.ipv6 is not off

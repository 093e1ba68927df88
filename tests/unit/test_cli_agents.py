"""Agents are asked over real HTTP; those that do not answer are named, with the reason."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from cni_told_fixture import Agent
from prometheus_client import CollectorRegistry

from cli.agents import ask
from cli.view import AgentPlace, Silent
from cni.errors import ErrorCode
from daemon.health import Health, HealthServer
from node_agent.failures import PATH


def why(node: str, place: AgentPlace) -> Silent:
    told, (silent,) = ask([(node, place)])
    assert told == []
    return silent


def test_what_agents_say_in_the_order_in_which_they_were_asked_for() -> None:
    one = Agent("n1").served("ADD", 0.3, allocate=0.1).refused("ADD", ErrorCode.INTERNAL)
    two = Agent("n2")
    with one.serving() as first, two.serving() as second:
        asked = [("", AgentPlace(second)), ("n1", AgentPlace(first))]
        assert ask(asked) == ([two.told(), one.told()], [])


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    expected = f"nothing listens at {address}: weft-agent does not run, or has another health-address"
    assert why("n1", AgentPlace(address)) == Silent("n1", expected)
    assert why("", AgentPlace(address)).node == f"the agent at {address}"


def test_one_that_does_not_answer_leaves_the_others() -> None:
    agent = Agent("n1")
    with agent.serving() as address:
        told, silent = ask([("n0", AgentPlace("127.0.0.1:9", Path("/nowhere"))), ("n1", AgentPlace(address))])
    assert told == [agent.told()]
    assert silent[0].node == "n0"
    assert "/nowhere is not a network namespace" in silent[0].why


def test_another_node_answers() -> None:
    with Agent("n1").serving() as address:
        assert why("n2", AgentPlace(address)) == Silent("n2", f"the agent at {address} is of node n1")


def test_a_daemon_that_is_no_agent() -> None:
    with HealthServer("127.0.0.1:0", Health(CollectorRegistry(), list, list)) as server:
        found = why("n1", AgentPlace(f"127.0.0.1:{server.port}")).why
    assert f"{PATH}: 404 Not Found; is that a weft-agent of this release?" in found


@pytest.mark.parametrize("answer", [b"{}", b"nonsense", b"\xff"])
def test_an_answer_that_is_not_an_agents(answer: bytes) -> None:
    health = Health(CollectorRegistry(), list, list, {PATH: lambda: answer})
    with HealthServer("127.0.0.1:0", health) as server:
        found = why("n1", AgentPlace(f"127.0.0.1:{server.port}")).why
    assert found.startswith(f"what answers at 127.0.0.1:{server.port} is no weft-agent: ")


def test_a_peer_that_speaks_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def speak() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"SSH-2.0\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        found = why("n1", AgentPlace(address)).why
        thread.join(10)
    assert found.startswith(f"what answers at {address} is no weft-agent")

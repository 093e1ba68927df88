"""An agent in a container: /proc/sys cannot be written, and the host's is mounted elsewhere (proc-sys)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from agent_fixture import WAIT, Node, agent_lab
from lab_fixture import agent_problem, run, until

from lab.node import agent_spec

RIGHT = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.weft-gw0.rp_filter": "2",
    "net.ipv6.conf.weft-gw0.accept_ra": "0",
    "net.ipv6.conf.all.forwarding": "1",
}
WRONG = {key: "1" if right == "0" else "0" for key, right in RIGHT.items()}
POD = "net.ipv6.conf.eth0.accept_ra"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with agent_lab("t-proc-sys") as lab, Node(lab) as node:
        yield node


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Where the container has the host's settings."""
    (tmp_path / "net").mkdir()
    return tmp_path


@contextmanager
def contained(node: Node, elsewhere: Path, *flags: str) -> Iterator[None]:
    """The agent with the mounts that a container has, on a node whose settings are all wrong; then the usual one."""
    mounts = (
        f"mount --bind /proc/sys/net {elsewhere}/net",
        "mount --bind /proc/sys /proc/sys",
        "mount -o remount,bind,ro /proc/sys",
        'exec "$@"',
    )
    usual = agent_spec(node.config)
    argv = ("unshare", "--mount", "sh", "-ec", "\n".join(mounts), "sh", *usual.argv, *flags)
    node.kill_agent()
    of_node(node, *(word for key, text in WRONG.items() for word in ("-w", f"{key}={text}")))
    node.lab.processes.start(msgspec.structs.replace(usual, argv=argv))
    try:
        yield
    finally:
        node.kill_agent()
        node.lab.processes.start(usual)
        node.wait_ready()


def of_node(node: Node, *arguments: str) -> str:
    return run("ip", "netns", "exec", node.namespace.name, "sysctl", *arguments)


def settings(node: Node) -> dict[str, str]:
    return {key: of_node(node, "-n", key).strip() for key in RIGHT}


def test_settings_of_the_node_and_of_pods_are_written_below_proc_sys(node: Node, elsewhere: Path) -> None:
    box = node.box("contained")
    with contained(node, elsewhere, f"--proc-sys={elsewhere}"):
        node.wait_ready()
        assert settings(node) == RIGHT
        box.add()
        box.check()
    assert box.output("sysctl", "-n", POD).strip() == "0"
    assert of_node(node, "-n", f"net.ipv6.conf.{box.port()}.disable_ipv6").strip() == "1"
    box.delete()


def test_without_it_the_agent_says_what_to_do(node: Node, elsewhere: Path) -> None:
    text = (
        "cannot set sysctl net/ipv4/conf/weft-gw0/rp_filter to 2: /proc/sys is read-only, as in every container;"
        " mount the host's elsewhere and name it in proc-sys"
    )
    with contained(node, elsewhere):
        until(lambda: text in (agent_problem(node.lab, node.name) or ""), text, WAIT)
        assert settings(node) == WRONG

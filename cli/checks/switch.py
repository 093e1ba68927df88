"""Checks of each node by itself: kernel, Open vSwitch, agent, controller's connection, pods. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cli import pods as pod_rows
from cli.checks.model import Finding, NodeState, Result, World
from cli.nodes import NOT_CONNECTED, connected, problems, running
from cli.view import NodeView, pod_key

KERNEL, SWITCH, VERSION, AGENT, CONTROLLER, PODS = "kernel", "switch", "ovs-version", "agent", "controller", "pods"
OLDEST = (3, 1)
"""Of Open vSwitch; what the tests run with."""


def kernel(world: World) -> Iterator[Finding]:
    """Whether the kernel has what forwards, where that is the kernel itself."""
    for state, view in world.seen():
        if state.facts is None:
            continue
        release = f"kernel {state.facts.kernel}"
        if view.bridge.datapath_type != "system":
            what = f"datapath {view.bridge.datapath_type}: Open vSwitch forwards itself and needs no kernel module"
            yield Finding(KERNEL, state.node, Result.OK, what)
        elif state.facts.module:
            yield Finding(KERNEL, state.node, Result.OK, f"{release} has the module openvswitch")
        else:
            remedy = (
                "`modprobe openvswitch` on the node (some distributions have it in a package of extra modules), or "
                "install Weft with datapathType=netdev"
            )
            what = (
                f"{release} has not loaded the module openvswitch, which datapath system needs: nothing is forwarded"
            )
            yield Finding(KERNEL, state.node, Result.FAILED, what, remedy)


def switch(world: World) -> Iterator[Finding]:
    """Whether Open vSwitch answers, with a bridge that is all Weft's."""
    for state in world.nodes:
        found = [*_switch(state)]
        yield from found or [Finding(SWITCH, state.node, Result.OK, "its database and its switch answer")]


def _switch(state: NodeState) -> Iterator[Finding]:
    look = "look whether ovsdb-server and ovs-vswitchd run there, and at their logs"
    for part in ("switch", "vswitchd"):
        if part in state.silent:
            yield Finding(SWITCH, state.node, Result.FAILED, state.silent[part], look)
    for problem in problems(state.view) if state.view else ():
        remedy = "delete the port with `ovs-vsctl del-port NAME` if nobody needs it"
        what = problem.removeprefix(f"{state.node}: ")
        yield Finding(SWITCH, state.node, Result.WARNING, what, remedy)


def version(world: World) -> Iterator[Finding]:
    """Whether Open vSwitch is new enough. Different ones get along."""
    for state in world.nodes:
        number = _number(state.vswitchd)
        if number is None:
            continue
        if number < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            remedy = f"update it to {wanted} or newer, or let Weft bring its own (ovs.placement=pod)"
            what = f"Open vSwitch {state.vswitchd} is older than any that Weft is tested with"
            yield Finding(VERSION, state.node, Result.FAILED, what, remedy)
        else:
            yield Finding(VERSION, state.node, Result.OK, f"Open vSwitch {state.vswitchd}")


def _number(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def agent(world: World) -> Iterator[Finding]:
    """Whether the agent answers, and says that pods can come."""
    for state in world.nodes:
        if state.unready is None:
            remedy = (
                "see whether weft-agent runs on the node, and its log: pods that run are not concerned, new ones wait"
            )
            what = state.silent.get("agent", "its agent was not asked")
            yield Finding(AGENT, state.node, Result.FAILED, what, remedy)
        for reason in state.unready or ():
            remedy = "docs/troubleshooting.md explains what agents say; the agent's log has the time since when"
            yield Finding(AGENT, state.node, Result.FAILED, f"not ready: {reason}", remedy)
        if state.unready == ():
            yield Finding(AGENT, state.node, Result.OK, "it is ready")


def controller(world: World) -> Iterator[Finding]:
    """Whether each switch has a controller, and its flows."""
    for state, view in world.seen():
        found = [*_connection(state, view), *_programmed(state)]
        what = f"connected to {', '.join(view.controllers)}; {state.ours()} flows"
        yield from found or [Finding(CONTROLLER, state.node, Result.OK, what)]


def _connection(state: NodeState, view: NodeView) -> Iterator[Finding]:
    if not view.controllers:
        remedy = "see the agent's log: it sets the bridge's controllers, by its settings or the controllers' Lease"
        yield Finding(CONTROLLER, state.node, Result.FAILED, "the bridge has no controller set", remedy)
    elif connected(view.controllers, running("", state.flows or ()).youngest) == NOT_CONNECTED:
        why = f" ({'; '.join(state.last_errors)})" if state.last_errors else ""
        what = f"the switch is not connected to its controller {', '.join(view.controllers)}{why}"
        remedy = (
            "what runs goes on, but changes wait: look whether weft-controller runs, and at the findings of ports "
            "and certificates"
        )
        yield Finding(CONTROLLER, state.node, Result.FAILED, what, remedy)


def _programmed(state: NodeState) -> Iterator[Finding]:
    if state.ours() == 0:
        remedy = (
            "nothing passes until a controller programs it: see the controller's log for what it says of this node"
        )
        yield Finding(CONTROLLER, state.node, Result.FAILED, "the switch has no flows of Weft", remedy)


def pods(world: World) -> Iterator[Finding]:
    """Whether every pod has a port with its flows in place."""
    lacking = {
        each.key: each.node for each in pod_rows.without_port((view for _, view in world.seen()), world.directory)
    }
    for state, view in world.seen():
        found = [*_unprogrammed(state, view)]
        remedy = "its ADD may be under way or have failed: `weftctl cni`, and `kubectl describe pod`"
        for key in sorted(key for key, node in lacking.items() if node == state.node):
            found.append(Finding(PODS, state.node, Result.FAILED, f"{key}: it has no port on its node", remedy))
        what = f"{len(view.bridge.ports)} pods, all of them programmed"
        yield from found or [Finding(PODS, state.node, Result.OK, what)]


def _unprogrammed(state: NodeState, view: NodeView) -> Iterator[Finding]:
    for each in pod_rows.attached(view, state.flows or ()):
        said = pod_rows.programmed(each)
        # Flows that could not be read are told by another check.
        if said == "yes" or (each.port.ready and state.flows is None):
            continue
        remedy = "see the findings of the controller; its log has what it says of the pod"
        if each.port.error:
            remedy = "its device is gone: delete the pod, and it is made anew"
        what = f"{pod_key(each.port)}: not programmed: {said.removeprefix('no: ')}"
        yield Finding(PODS, state.node, Result.FAILED, what, remedy)

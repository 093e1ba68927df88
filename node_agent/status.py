"""Whether the node can take pods, for STATUS: each reason with its code, by which a runtime tells a node whose new
pods would wait from one whose pods may have lost their network (CNI specification, section "STATUS")."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cni.errors import ErrorCode
from node_agent.attach import Attacher
from node_agent.bridge import NodeBridge
from node_agent.inspection import FLOWS_SECONDS
from node_agent.ipam import Exhausted
from openflow import management
from openflow.errors import ManagementError
from openflow.features import base
from ovsdb import appctl


class Reason(NamedTuple):
    """Why an ADD cannot work now. LIMITED_CONNECTIVITY: and pods that run may have lost their network."""

    code: ErrorCode
    text: str


class Status:
    """`unready` is why an ADD cannot begin; `rundir` is Open vSwitch's run directory; `expects` says whether there
    has to be a controller by now."""

    def __init__(
        self,
        bridge: NodeBridge,
        rundir: Path,
        attacher: Attacher,
        unready: Callable[[], Sequence[str]],
        expects: Callable[[], bool] = lambda: True,
    ) -> None:
        self._bridge = bridge
        self._rundir = rundir
        self._attacher = attacher
        self._unready = unready
        self._expects = expects

    def reasons(self) -> Sequence[Reason]:
        """Everything that stands in the way; nothing when an ADD can work. Changes nothing, and takes a few ms."""
        return [*self._switch(), *self._node()]

    def _node(self) -> Iterator[Reason]:
        unready = self._unready()
        yield from (Reason(ErrorCode.PLUGIN_NOT_AVAILABLE, text) for text in unready)
        if not unready:
            try:
                self._attacher.try_address()
            except Exhausted as e:
                yield Reason(ErrorCode.PLUGIN_NOT_AVAILABLE, str(e))

    def _switch(self) -> Iterator[Reason]:
        if not appctl.version(self._rundir):
            yield Reason(
                ErrorCode.LIMITED_CONNECTIVITY,
                f"ovs-vswitchd of {self._rundir} does not answer: until it runs, pods here may have no network",
            )
            return
        controllers = self._bridge.abandoned()
        if controllers and self._expects():
            yield Reason(
                ErrorCode.PLUGIN_NOT_AVAILABLE,
                f"the switch has no connection to its controller ({', '.join(controllers)}): new pods would wait for"
                " their flows; is weft-controller running, and can this node reach it?",
            )
        # Without its database the switch forwards, and takes no OpenFlow connections.
        if self._bridge.lost is None and (why := self._unprogrammed()):
            yield Reason(ErrorCode.LIMITED_CONNECTIVITY, f"{why}: pods of this node may have no network")

    def _unprogrammed(self) -> str:
        """Why the switch does not have the controller's pipeline, as far as can be told; "" when it has."""
        name = self._bridge.bridge
        try:
            found = management.records(management.socket_of(self._rundir, name), FLOWS_SECONDS, base.COOKIE)
        except ManagementError as e:
            return str(e)
        return "" if found else f"the controller has not programmed bridge {name}, and weft-controller's log says why"

"""Connections of the pods that had an address before: whoever gets it next must not inherit them.

Open vSwitch's connection tracking knows addresses, not pods. What it still has of a connection would let the other
end of it reach the new pod past all policy, as with replies.
"""

from collections.abc import Iterable
from pathlib import Path

from daemon import logs
from openflow.fields import Zone
from openflow.net import IPAddress
from ovsdb import appctl
from ovsdb.errors import OvsdbError

log = logs.get("weft.agent")

_FIELDS = {4: ("ct_nw_src", "ct_nw_dst"), 6: ("ct_ipv6_src", "ct_ipv6_dst")}
_ZONES = {4: Zone.IPV4, 6: Zone.IPV6}


class Connections:
    """The connections that the node's switch knows; `rundir` is its run directory."""

    def __init__(self, rundir: Path) -> None:
        self._rundir = rundir

    def forget(self, ips: Iterable[IPAddress]) -> None:
        """Forget all that begin or end at one of these addresses (ovs-dpctl(8), flush-conntrack).

        A switch that cannot be asked is logged only: one that is down has no network for the pod either, and one
        older than Open vSwitch 3.1 cannot be asked for one address. Open vSwitch takes the name of a datapath only
        with a whole connection; without one it asks the only datapath that it has.
        """
        for ip in ips:
            for field in _FIELDS[ip.version]:
                zone = f"zone={int(_ZONES[ip.version])}"
                try:
                    appctl.ask(self._rundir, "dpctl/flush-conntrack", zone, f"{field}={ip}")
                except OvsdbError as e:
                    log.warning("connections of an address not forgotten", address=str(ip), error=str(e))
                    return

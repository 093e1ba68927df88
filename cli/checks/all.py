"""Every check, in the order in which a reader wants them: what others depend on first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cli.checks import certificates, cluster, network, switch
from cli.checks.model import Finding, Result, World

CHECKS: Mapping[str, Callable[[World], Iterable[Finding]]] = {
    cluster.API: cluster.api,
    cluster.NODES: cluster.nodes,
    cluster.CONTROLLERS: cluster.controllers,
    switch.KERNEL: switch.kernel,
    switch.VERSION: switch.version,
    switch.SWITCH: switch.switch,
    switch.AGENT: switch.agent,
    certificates.CERTIFICATES: certificates.certificates,
    network.PORTS: network.ports,
    switch.CONTROLLER: switch.controller,
    network.MTU: network.mtu,
    network.TUNNEL: network.tunnel,
    switch.PODS: switch.pods,
}


def judge(world: World) -> tuple[Finding, ...]:
    """What all checks find."""
    return tuple(finding for check in CHECKS.values() for finding in check(world))


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed."""
    return all(each.result is not Result.FAILED for each in findings)

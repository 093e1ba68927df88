"""Rules for which a flow has no room: what they would allow there is denied, and the operator is told."""

from collections.abc import Iterator, Sequence

from controller.owners import Kind, Owner
from controller.policy.engine import Engine
from controller.policy.flows import parts_of
from controller.policy.names import identity_title
from controller.policy.ports import EVERY_BIT, PROTOCOLS
from kube.membership import Problem
from kube.netpol import Direction
from openflow.codec import Encoded
from openflow.features.policy import MOST_PARTS, PART_BYTES

NAMED_AT_MOST = 100
"""Rules of policies that are told of for one flow: whoever has more of them learns no more from their names."""

_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


def is_full(flows: Sequence[Encoded]) -> bool:
    """Whether a flow of a cell may have no room for further rules."""
    return any([len(flow.body) >= MOST_PARTS * PART_BYTES for flow in flows])  # noqa: C419 - in half the time


def no_room(engine: Engine, node: str, cell: Owner) -> Iterator[Problem]:
    """The policies' rules that a cell's flow on a node leaves out; nothing where there is room for all."""
    left_out = {number for number, _, _ in sorted(parts_of(engine, node, cell))[MOST_PARTS:]}
    if not left_out:
        return
    direction = Direction(cell.name[0])
    rules = [rule for rule in engine.rules.values() if rule.number in left_out and rule.rule.direction is direction]
    for origin in sorted(origin for rule in rules for origin in rule.origins)[:NAMED_AT_MOST]:
        text = (
            f"spec.{origin.direction.lower()}[{origin.place}] is not in force on node {node} for"
            f" {_what(engine, cell)}: more than {MOST_PARTS} different rules there name it, as many as a flow has"
            " room for, and it allows nothing there until they are fewer. Let policies share selectors, networks and"
            " ports: those that say the same are one rule"
        )
        yield Problem("NetworkPolicy", origin.policy, "TooManyRules", text)


def _what(engine: Engine, cell: Owner) -> str:
    """What the flow is about, in words."""
    found = cell.name[-1]
    if cell.kind in (Kind.SUBJECT, Kind.PEER):
        return f"pods {identity_title(engine.by_id[found])}"
    if cell.kind is Kind.NETWORK:
        return f"network {found}"
    mask = "" if found.mask == EVERY_BIT else f" (mask {found.mask:#06x})"
    return f"{_PROTOCOL_NAMES[found.protocol]} port {found.value}{mask}"

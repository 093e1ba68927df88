"""NetworkPolicies for people and programs: whom they select, what they allow and count, where they are in force."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli.allow import rule_words
from cli.errors import CliError
from cli.flows import duration
from cli.inforce import Count, NodeState, PolicyState
from cli.layout import Column, Line, Piece, Row, table
from cli.nodes import NOTHING
from controller.policy.rules import Origin
from controller.reports import ignored_parts
from kube.netpol import Direction, NetworkPolicy
from openflow.codec import Encoded
from openflow.decode import decode
from openflow.render import Names, named

_SHOWN = 3
"""How many flows that are missing on a node are named; there may be thousands."""
ALL_NODES = "all nodes"
_COUNTED = ("SESSIONS", "PACKETS", "BYTES")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which policies: one by name, `NAME` or `NS/NAME` ("" for all), of one namespace ("" for all)."""

    name: str = ""
    namespace: str = ""


def chosen(known: Iterable[str], choice: Choice) -> list[str]:
    """The keys of the policies that are meant, sorted. Raises CliError for a name that none or several have."""
    space, _, name = choice.name.rpartition("/")
    if space and choice.namespace not in ("", space):
        raise CliError(f"{choice.name} is not in namespace {choice.namespace}: leave -n out")
    space = space or choice.namespace
    mine = sorted(key for key in known if space in ("", _namespace(key)))
    if not name:
        return mine
    found = [key for key in mine if key.partition("/")[2] == name]
    if len(found) > 1:
        raise CliError(f"several policies are called {name}: {', '.join(found)}; give one of these")
    if not found:
        where = f" in namespace {space}" if space else ""
        raise CliError(f"there is no NetworkPolicy {name!r}{where}: `weftctl policy` lists those that there are")
    return found


def _namespace(key: str) -> str:
    return key.partition("/")[0]


# The list.


def columns() -> tuple[Column, ...]:
    """The columns of `rows`."""
    return (
        Column("NAMESPACE"),
        Column("NAME", "bold"),
        Column("TYPES"),
        *(Column(title, right=True) for title in ("PODS", "RULES", "FLOWS", *_COUNTED)),
        Column("IN FORCE", _force_style, fold=True),
        Column("AGE", "dim", right=True),
    )


def rows(found: Iterable[PolicyState], now: datetime) -> Iterator[Row]:
    """One row a policy."""
    for each in found:
        policy = each.share.policy
        numbers = _pod_count(each), len(each.share.rules), _flow_count(each)
        names = policy.meta.namespace, policy.meta.name, _types(policy)
        yield Row((*names, *map(str, numbers), *_counted(each.total), in_force(each), _age(policy, now)))


def in_force(state: PolicyState) -> str:
    """`all nodes`, `2/3 nodes: missing node3`; and how many parts of the policy are ignored."""
    ignored = len(state.share.policy.problems)
    parts = f"; {ignored} part{'' if ignored == 1 else 's'} ignored" if ignored else ""
    return f"{_where(state.nodes)}{parts}"


def _where(nodes: tuple[NodeState, ...]) -> str:
    if not nodes:
        return "no pods"
    good = sum(each.in_force is True for each in nodes)
    if good == len(nodes):
        return ALL_NODES
    lacking = [each.node for each in nodes if each.in_force is False]
    unseen = [each.node for each in nodes if each.in_force is None]
    why = [f"missing {', '.join(lacking)}"] if lacking else []
    why += [f"not known of {', '.join(unseen)}"] if unseen else []
    return f"{good}/{len(nodes)} nodes: {'; '.join(why)}"


def _force_style(text: str) -> str:
    if text in (ALL_NODES, "yes"):
        return "green"
    if text.startswith("no: ") or "missing" in text:
        return "red"
    return "dim" if text == "no pods" else "yellow"


def _types(policy: NetworkPolicy) -> str:
    return ", ".join(direction.value for direction in policy.rules)


def _pod_count(state: PolicyState) -> int:
    return sum(map(len, state.share.pods.values()))


def _flow_count(state: PolicyState) -> int:
    return sum(each.flows for each in state.nodes)


def _age(policy: NetworkPolicy, now: datetime) -> str:
    created = policy.meta.created
    return NOTHING if created is None else duration(max(0.0, (now - created).total_seconds()))


# One of them.


def lines(state: PolicyState, names: Mapping[str, Names], now: datetime, width: int | None) -> Iterator[Line]:
    """Everything about a policy; `names` for what is in the flows of a node."""
    policy = state.share.policy
    about = f"{_types(policy)} of podSelector {policy.pods}, for {_age(policy, now)}"
    yield (Piece(f"{state.key}: {about}", "bold"),)
    pods = _pod_count(state)
    yield (Piece(f"{pods} pod{'' if pods == 1 else 's'} selected; in force: "), _forced(state))
    yield ()
    yield from table(_RULE_COLUMNS, _rule_rows(state), width)
    yield ()
    yield from table(_NODE_COLUMNS, _node_rows(state), width)
    for each in state.nodes:
        for text in _faults(each, names.get(each.node, Names())):
            yield (Piece(f"{each.node}: {text}", "red"),)
    for problem in ignored_parts(policy):
        yield (Piece(f"ignored: {problem.message}", "yellow"),)


def _forced(state: PolicyState) -> Piece:
    text = in_force(state)
    return Piece(text, _force_style(text))


_RULE_COLUMNS = (
    Column("RULE", "bold"),
    *(Column(title, right=True) for title in _COUNTED),
    Column("WHAT", fold=True),
    Column("COUNTED WITH", "dim", fold=True),
)
_NODE_COLUMNS = (
    Column("NODE", "bold"),
    Column("FLOWS", right=True),
    Column("IN FORCE", _force_style, fold=True),
    Column("PODS", fold=True),
)


def _rule_rows(state: PolicyState) -> Iterator[Row]:
    """A row a rule, and one for what none allows, in each direction."""
    for direction, rules in state.share.policy.rules.items():
        for place, rule in enumerate(rules):
            origin = Origin(state.key, direction.value, place)
            words = rule_words(direction, rule) + ("" if state.share.rules[origin] else " (allows nothing now)")
            others = ", ".join(map(_rule_name, state.share.shared(origin)))
            yield Row((f"{direction.value.lower()} #{place}", *_counted(state.counts[origin]), words, others))
        yield Row(
            (f"{direction.value.lower()} denied", *_counted(state.denied[direction]), "what no rule allows", _DENIED)
        )


_DENIED = "all policies that isolate these pods"


def _counted(count: Count) -> tuple[str, str, str]:
    """The cells of the columns `_COUNTED`."""
    sessions = NOTHING if count.sessions is None else str(count.sessions)
    return sessions, str(count.packets), str(count.bytes)


def _rule_name(origin: Origin) -> str:
    return f"{origin.policy} {origin.direction.lower()} #{origin.place}"


def _node_rows(state: PolicyState) -> Iterator[Row]:
    for each in state.nodes:
        flows = NOTHING if each.unseen else str(each.flows)
        yield Row((each.node, flows, _node_text(each), ", ".join(each.pods)))
    waiting = state.share.pods.get("", ())
    if waiting:
        yield Row((NOTHING, NOTHING, "not yet: no node runs these pods", ", ".join(waiting)))


def _node_text(state: NodeState) -> str:
    if state.unseen:
        return f"not known: {state.unseen}"
    found = [f"{len(state.missing)} missing"] if state.missing else []
    found += [f"{len(state.different)} that do something else"] if state.different else []
    return f"no: {' and '.join(found)} of {state.flows} flows" if found else "yes"


def _faults(state: NodeState, names: Names) -> Iterator[str]:
    for word, flows in (("missing", state.missing), ("does something else", state.different)):
        for flow in flows[:_SHOWN]:
            yield f"{word}: {_flow_text(flow, names)}"
        if len(flows) > _SHOWN:
            yield f"{word}: {len(flows) - _SHOWN} more"


def _flow_text(flow: Encoded, names: Names) -> str:
    words = named(decode(flow), names)
    return f"{words.table} {words.priority} [{words.match}] ({words.owner})"


# For programs.


def as_json(found: Iterable[PolicyState], names: Mapping[str, Names]) -> dict[str, Any]:
    """The shape is documented in docs/weftctl.md."""
    return {"policies": [_policy(each, names) for each in found]}


def _policy(state: PolicyState, names: Mapping[str, Names]) -> dict[str, Any]:
    policy = state.share.policy
    return {
        "namespace": policy.meta.namespace,
        "name": policy.meta.name,
        "created": policy.meta.created.isoformat() if policy.meta.created else None,
        "types": [direction.value for direction in policy.rules],
        "podSelector": str(policy.pods),
        "pods": _pod_count(state),
        "rules": [_rule(state, origin) for origin in state.share.rules],
        "denied": {direction.value: _counts(count) for direction, count in state.denied.items()},
        "flows": _flow_count(state),
        **_counts(state.total),
        "inForce": state.in_force,
        "nodes": [_node(each, names.get(each.node, Names())) for each in state.nodes],
        "ignored": [problem.message for problem in ignored_parts(policy)],
    }


def _rule(state: PolicyState, origin: Origin) -> dict[str, Any]:
    direction = Direction(origin.direction)
    words = rule_words(direction, state.share.policy.rules[direction][origin.place])
    return {
        **_place(origin),
        "text": words,
        "allowsNothing": not state.share.rules[origin],
        **_counts(state.counts[origin]),
        "countedWith": [{"policy": each.policy, **_place(each)} for each in state.share.shared(origin)],
    }


def _place(origin: Origin) -> dict[str, Any]:
    return {"direction": origin.direction, "index": origin.place}


def _counts(count: Count) -> dict[str, int]:
    """What is dropped has no sessions."""
    sessions = {} if count.sessions is None else {"sessions": count.sessions}
    return {**sessions, "packets": count.packets, "bytes": count.bytes}


def _node(state: NodeState, names: Names) -> dict[str, Any]:
    return {
        "node": state.node,
        "pods": [*state.pods],
        "inForce": state.in_force,
        "unseen": state.unseen,
        "flows": state.flows,
        "missing": [_flow_text(each, names) for each in state.missing],
        "different": [_flow_text(each, names) for each in state.different],
    }

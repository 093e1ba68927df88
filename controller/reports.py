"""What the operator is told of, once: each problem when it appears, and again only after it went away."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from controller import commands as c
from kube import changes as kube
from kube.membership import Problem
from kube.netpol import NetworkPolicy
from openflow.codec import cookie_of
from openflow.flow import is_ours
from openflow.render import what

NODE = "node"
POLICY = "policy"
"""Topics of what is wrong with objects, which every controller sees. Others are of a node's switch and database."""
_UNREADABLE = "unreadable "

FLOW_REFUSED = "FlowRefused"
FOREIGN_NAMED = 3
"""How many foreign flows a report names; somebody's script may have left thousands."""


class Reports:
    """The problems that stand, by topic and by the key of the object they are about. `tells` says of topic and key
    whether they are told of here."""

    def __init__(self, tells: Callable[[str, str], bool]) -> None:
        self._tells = tells
        self._standing: dict[tuple[str, str], frozenset[Problem]] = {}

    def known(self, topic: str, key: str) -> frozenset[Problem]:
        return self._standing.get((topic, key), frozenset())

    def standing(self, *, shared_only: bool = False) -> Iterator[Problem]:
        """All that stand and are told of here; with `shared_only`, those of topics that every controller sees."""
        for (topic, key), problems in sorted(self._standing.items()):
            if self._tells(topic, key) and (is_shared(topic) or not shared_only):
                yield from sorted(problems, key=_order)

    def tell(self, topic: str, key: str, problems: Iterable[Problem]) -> Iterator[c.Command]:
        """Report those that are new; no problems: all is in order."""
        before = self._standing.pop((topic, key), frozenset())
        now = frozenset(problems)
        if now:
            self._standing[topic, key] = now
        if now - before and self._tells(topic, key):
            yield from map(c.Report, sorted(now - before, key=_order))

    def tell_all(self, topic: str, problems: Iterable[Problem], within: str = "") -> Iterator[c.Command]:
        """Report on all objects of a topic whose keys start with `within`: those not named are in order."""
        by_key: defaultdict[str, list[Problem]] = defaultdict(list)
        for problem in problems:
            by_key[problem.key].append(problem)
        standing = {key for about, key in self._standing if about == topic and key.startswith(within)}
        for key in sorted(by_key.keys() | standing):
            yield from self.tell(topic, key, by_key[key])

    def readable(self, event: kube.Listed | kube.Applied | kube.Deleted) -> Iterator[c.Command]:
        """An object that could not be read can be now, or is gone."""
        topic = unreadable(event.kind)
        if isinstance(event, kube.Listed):
            over = [key for about, key in self._standing if about == topic and key not in event.refused]
        else:
            over = [event.object.meta.key if isinstance(event, kube.Applied) else event.key]
        for key in over:
            yield from self.tell(topic, key, ())


def _order(problem: Problem) -> tuple[str, str]:
    return problem.reason, problem.message


def ignored_parts(policy: NetworkPolicy) -> Iterator[Problem]:
    """Peers and ports of a policy that cannot be read, and so allow nothing."""
    for error in policy.problems:
        text = f"{error}. It allows nothing until then; the rest of the policy is in force"
        yield Problem("NetworkPolicy", policy.meta.key, "PolicyPartIgnored", text)


def unreadable(kind: str) -> str:
    """The topic of objects that cannot be read."""
    return f"{_UNREADABLE}{kind}"


def is_shared(topic: str) -> bool:
    """Whether every controller sees what is wrong, and not only the one that programs a certain node."""
    return topic in (NODE, POLICY) or topic.startswith(_UNREADABLE)


def refused_flows(node: str, failures: Iterable[c.FlowRefused]) -> frozenset[Problem]:
    """Flows that the node's switch did not take."""
    return frozenset(Problem("Switch", node, FLOW_REFUSED, _refusal(failure)) for failure in failures)


def _refusal(failure: c.FlowRefused) -> str:
    return f"{failure.reason}: {what(failure.key) if failure.key else 'the change as a whole'}"


def foreign_flows(node: str, flows: Mapping[bytes, bytes]) -> Iterable[Problem]:
    """Flows on the node's switch that are not Weft's."""
    strange = sorted(key for key, body in flows.items() if not is_ours(cookie_of(body)))
    if strange:
        some = "; ".join(map(what, strange[:FOREIGN_NAMED])) + ("; ..." if len(strange) > FOREIGN_NAMED else "")
        text = (
            f"{len(strange)} flows on the bridge are not Weft's and are removed: nothing else may write to this"
            f" bridge ({some})"
        )
        yield Problem("Switch", node, "ForeignFlows", text)


def stranger(datapath: int, only: str | None = None) -> str:
    """Why a switch that nobody knows is turned away. `only`: the node that the controller is for."""
    if only is not None:
        return (
            f"datapath id {datapath:016x} is not in the weft.dev/datapath-id annotation of Node {only}, the only one"
            " that this controller programs (node-name): the switch is another node's, or the agent cannot reach the"
            " Kubernetes API"
        )
    return (
        f"datapath id {datapath:016x} is in no Node's weft.dev/datapath-id annotation: it is not a bridge of this"
        " cluster, or its agent cannot reach the Kubernetes API"
    )

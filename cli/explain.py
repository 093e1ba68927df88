"""Says whether policies allow a connection and which rules say so, and whether the switches do the same."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from cli import installed
from cli.allow import missing, rule_name, rule_words
from cli.errors import CliError
from cli.installed import Installed, Path
from cli.layout import Line, Piece
from cli.packet import Service
from cli.survey import Survey
from cli.tracer import End, choose_family, find_end
from controller.policy import verdict
from controller.policy.verdict import Judgement, Known, Traffic, Verdict, judge
from openflow.net import IPAddress, gateway_address

_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Question:
    """What to explain. `family` is 4, 6 or 0 for whichever both ends have."""

    source: str
    target: str
    service: Service
    family: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policies say of a connection, and what the switches would do."""

    known: Known
    path: Path
    service: Service
    verdict: Verdict
    installed: Installed

    @property
    def agrees(self) -> bool:
        """Whether the switches do what the policies say, as far as that can be known."""
        return self.installed.delivered in (None, self.verdict.allowed)


def explain(found: Survey, question: Question) -> Explanation:
    """Judge a connection. Raises CliError for ends that it cannot be about, and where policies cannot be read."""
    if found.directory.objects is None:
        raise CliError("policies are what the Kubernetes API knows, and it cannot be asked: give --kubeconfig")
    source, target = (_end(found, text) for text in (question.source, question.target))
    _check(source, target)
    version = choose_family(source, target, question.family)
    path = _path(found, source, target, version)
    known = found.directory.objects.known
    traffic = traffic_of(question.service)
    said = judge(known, *_judged(path), traffic, probe=_is_probe(found, path))
    return Explanation(known, path, question.service, said, installed.ask(found, path, question.service))


def traffic_of(service: Service) -> Traffic:
    return Traffic(service.protocol.upper(), service.port)


def _judged(path: Path) -> tuple[verdict.End, verdict.End]:
    return verdict.End(path.source_ip, path.source.pod), verdict.End(path.target_ip, path.target.pod)


def _end(found: Survey, text: str) -> End:
    """A pod or an address outside; CliError for an address among the pods' that nobody has."""
    try:
        address = ip_address(text)
    except ValueError:
        return find_end(found, text)
    owners = sorted(key for key, pod in found.directory.pods.items() if address in pod.ips)
    if owners:
        return replace(find_end(found, owners[0]), ips={address.version: address})
    for node in found.directory.nodes.values():
        for cidr in node.pod_cidrs:
            if address in cidr and address != gateway_address(cidr):
                raise CliError(f"{text}: an address for pods of {node.name} ({cidr}) that no pod has")
    return find_end(found, text)


def _check(source: End, target: End) -> None:
    if not (source.pod or target.pod):
        raise CliError(f"neither {source.label} nor {target.label} is a pod, so no policy is about them")
    if source.pod == target.pod:
        raise CliError(f"{source.label} to itself: such packets do not leave the pod, so no policy is about them")


def _path(found: Survey, source: End, target: End, version: int) -> Path:
    """What is outside comes and goes by the host of the pod's own node; a node's gateway address is that node's."""
    ends = []
    for end, other in ((source, target), (target, source)):
        node = _gateway_of(found, end.ips[version])
        view = next((each for each in found.views if each.node == node), None)
        ends.append(end.view if end.pod else view if node else other.view)
    return Path(source, target, source.ips[version], target.ips[version], *ends)


def _gateway_of(found: Survey, address: IPAddress) -> str:
    """The node that has this gateway address; "" for any other address."""
    nodes = found.directory.nodes.values()
    return next((node.name for node in nodes if address in map(gateway_address, node.pod_cidrs)), "")


def _is_probe(found: Survey, path: Path) -> bool:
    """Whether it is a node that asks a pod of its own."""
    info = found.directory.pods.get(path.target.pod)
    return info is not None and info.node == _gateway_of(found, path.source_ip)


def lines(found: Explanation) -> Iterator[Line]:
    """The explanation for people: each direction, then what comes of it."""
    path = found.path
    packet = f"{found.service} over IPv{path.source_ip.version}: {path.source_ip} → {path.target_ip}"
    yield (Piece(f"{path.source.label} → {path.target.label}: {packet}", "bold"),)
    yield ()
    if found.verdict.probe:
        yield (Piece(f"{path.source.label} is the node of {path.target.label}: a node always reaches its own pods"),)
    else:
        yield from _directions(found)
    yield ()
    yield (Piece("allowed", "bold green") if found.verdict.allowed else Piece("denied", "bold red"),)
    yield (Piece(_switches(found), "" if found.agrees else "bold red"),)


def _directions(found: Explanation) -> Iterator[Line]:
    source, target = _judged(found.path)
    for word, judgement, peer in (
        ("egress", found.verdict.egress, target),
        ("ingress", found.verdict.ingress, source),
    ):
        if judgement is not None:
            yield from _judgement(found, word, judgement, peer)


def _judgement(found: Explanation, word: str, judgement: Judgement, peer: verdict.End) -> Iterator[Line]:
    where = f"{word} of {judgement.subject}, tier NetworkPolicy: "
    policies = ", ".join(judgement.isolating)
    if not judgement.isolating:
        yield Piece(where), Piece("no policy isolates it: allowed", "green")
    elif judgement.allowed:
        yield Piece(where), Piece(f"isolated by {policies}; allowed by", "green")
        for each in judgement.clauses:
            if each.allows:
                words = rule_words(judgement.direction, each.rule)
                yield (Piece(f"{_INDENT}{rule_name(judgement.direction, each)} ({words})"),)
    else:
        yield Piece(where), Piece(f"denied: isolated by {policies}, and no rule allows it", "red")
        for text in missing(found.known, judgement, peer, traffic_of(found.service)):
            yield (Piece(f"{_INDENT}{text}"),)


def _switches(found: Explanation) -> str:
    if found.installed.delivered is None:
        return f"not compared with the switches: {found.installed.why}"
    if found.agrees:
        return "the switches' flows do the same"
    return f"THE SWITCHES' FLOWS DO SOMETHING ELSE: the packet would be {found.installed.why}"

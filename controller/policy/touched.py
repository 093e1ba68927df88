"""What events may have changed: cells of nodes that somebody watches, and what had been worked out of them.

A cell that is named without need costs a computation, one that is left out would be a mistake; the law of the
controller (tests/property) finds those.
"""

from collections.abc import Iterable

from controller import owners
from controller.owners import Owner
from controller.policy.members import ActiveRule, Identity
from kube.netpol import Direction
from kube.objects import IPAddress


class Touched:
    """Pairs of a watched node and a cell. Cells of others are not kept: those nodes are computed as a whole when they
    are first looked at."""

    def __init__(self) -> None:
        self.watched: set[str] = set()
        self._dirty: set[tuple[str, Owner]] = set()

    def take(self) -> set[tuple[str, Owner]]:
        """What was touched since this was last called."""
        dirty, self._dirty = self._dirty, set()
        return dirty

    def subject(self, identity: Identity, nodes: Iterable[str]) -> None:
        """Whether it is isolated, or by which rules."""
        identity.forget()
        self._subject(identity, nodes, Direction)

    def place(self, identity: Identity, nodes: Iterable[str]) -> None:
        """Where it is, or by which rules it is isolated; not whether it is."""
        identity.forget()
        if self.watched:
            self._subject(identity, nodes, identity.isolated)

    def _subject(self, identity: Identity, nodes: Iterable[str], directions: Iterable[Direction]) -> None:
        for node in self.watched.intersection(nodes) if self.watched else ():
            self._dirty.update((node, owners.subject(direction, identity.id)) for direction in directions)

    def peer(self, identity: Identity, rule: ActiveRule) -> None:
        """An identity that the rule names, or named, with its addresses."""
        identity.forget()
        for node in self.watched.intersection(rule.nodes) if self.watched else ():
            self._dirty.update((node, cell) for cell in identity.cells(rule.rule.direction))

    def named(self, rule: ActiveRule) -> None:
        """What was worked out of those that the rule names."""
        for members in rule.named:
            for identity in members.identities:
                identity.forget()

    def address(self, ip: IPAddress, claiming: Iterable[Identity]) -> None:
        """Wherever rules name one of those that claim it."""
        for identity in claiming:
            identity.forget()
            if not self.watched:
                continue
            for direction in Direction:
                rules = [rule for members in identity.sets for rule in members.naming(direction)]
                nodes = {node for rule in rules for node in rule.nodes if node in self.watched}
                if nodes:
                    cell = owners.address(direction, ip)
                    self._dirty.update([(node, cell) for node in nodes])

    def origin(self, rule: ActiveRule) -> None:
        """Which policies say it."""
        rule.made = None
        for node in self.watched.intersection(rule.nodes) if self.watched else ():
            self._dirty.add((node, owners.rule(rule.rule.direction, rule.digest)))

    def rule(self, rule: ActiveRule, node: str) -> None:
        """All cells that the rule has a part in, but for its subjects: many, which are not looked at for a node that
        nobody watches."""
        if node in self.watched:
            self._dirty.update((node, cell) for cell in rule.cells())

    def everywhere(self, rule: ActiveRule) -> None:
        """All cells that the rule has a part in, on all nodes that need it."""
        rule.made = None
        self.named(rule)
        for node in rule.nodes:
            self.rule(rule, node)
        for identity in rule.subject.identities:
            self.subject(identity, identity.nodes)

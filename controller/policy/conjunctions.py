"""Numbers for rules: conjunctions have 32 bits, and every replica has to choose the same ones without asking."""

from collections.abc import Callable

from controller.policy.members import ActiveRule

_BYTES = 4
_ALL = 1 << 8 * _BYTES


class Conjunctions:
    """A number is the beginning of the rule's digest. Of rules that begin alike, which some of 100,000 do, the first
    by the whole digest has that number and the others the following ones: it does not matter who came first."""

    def __init__(self, changed: Callable[[ActiveRule], None]) -> None:
        """`changed` is told of rules that got another number because one came or went."""
        self._changed = changed
        self._alike: dict[int, list[ActiveRule]] = {}

    def add(self, rule: ActiveRule) -> None:
        alike = self._alike.setdefault(_begin(rule), [])
        alike.append(rule)
        if len(alike) == 1:
            rule.number = _begin(rule)
            return
        alike.sort(key=lambda each: each.digest)
        place = alike.index(rule)
        self._number(alike, place)
        self._tell(alike[place + 1 :])

    def remove(self, rule: ActiveRule) -> None:
        begin = _begin(rule)
        alike = self._alike[begin]
        place = alike.index(rule)
        del alike[place]
        if not alike:
            del self._alike[begin]
        self._number(alike, place)
        self._tell(alike[place:])

    def _number(self, alike: list[ActiveRule], place: int) -> None:
        for after, rule in enumerate(alike[place:], place):
            rule.number = (_begin(rule) + after) % _ALL or 1

    def _tell(self, rules: list[ActiveRule]) -> None:
        for rule in rules:
            self._changed(rule)


def _begin(rule: ActiveRule) -> int:
    return int.from_bytes(rule.digest[:_BYTES], "big") or 1

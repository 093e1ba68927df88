"""Numbers for rules: conjunctions have 32 bits, and every replica has to choose the same ones without asking."""

from collections.abc import Callable

from controller.policy.members import ActiveRule

_BYTES = 4
_ALL = 1 << 8 * _BYTES


class Conjunctions:
    """A number is the beginning of the rule's digest. Of rules that begin alike, which some of 100,000 do, the first
    by the whole digest has that number and the others the following ones: it does not matter who came first."""

    def __init__(self, changed: Callable[[ActiveRule], None]) -> None:
        """`changed` is told of rules that get another number because one came or went."""
        self._changed = changed
        self._alike: dict[int, list[ActiveRule]] = {}

    def add(self, rule: ActiveRule) -> None:
        alike = self._alike.setdefault(_begin(rule), [])
        alike.append(rule)
        alike.sort(key=lambda each: each.digest)
        self._tell(alike, alike.index(rule) + 1)

    def remove(self, rule: ActiveRule) -> None:
        begin = _begin(rule)
        alike = self._alike[begin]
        place = alike.index(rule)
        del alike[place]
        if not alike:
            del self._alike[begin]
        self._tell(alike, place)

    def number(self, rule: ActiveRule) -> int:
        """The rule's number, 1 to 2**32 - 1."""
        begin = _begin(rule)
        return (begin + self._alike[begin].index(rule)) % _ALL or 1

    def _tell(self, alike: list[ActiveRule], place: int) -> None:
        for rule in alike[place:]:
            self._changed(rule)


def _begin(rule: ActiveRule) -> int:
    return int.from_bytes(rule.digest[:_BYTES], "big") or 1

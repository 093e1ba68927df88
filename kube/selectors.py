"""Label selectors as checked, frozen values (Kubernetes API reference, meta/v1 LabelSelector)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from weakref import WeakValueDictionary

from kube import wire
from kube.errors import ParseError

Labels = Mapping[str, str]
Fail = Callable[[str, object, str], ParseError]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:(?P<prefix>[a-z0-9](?:[a-z0-9.\-]*[a-z0-9])?)/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_LONGEST_PREFIX = 253


class Operator(Enum):
    """What a requirement asks of a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"

    # Of one member there is one object; an Enum's own hash is that of its name, worked out in Python each time.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Requirement:
    """`values` are sorted, and empty for Exists and DoesNotExist."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Labels) -> bool:
        """Whether it holds of these labels. NotIn holds where the label is missing."""
        value = labels.get(self.key)
        if self.operator is Operator.IN:
            return value in self.values
        if self.operator is Operator.NOT_IN:
            return value not in self.values
        return (value is not None) is (self.operator is Operator.EXISTS)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Selector:
    """Every requirement has to hold; none means everything. Requirements are sorted: equal selectors are equal.

    To be made by `selector`. `words` say the same in plain text; `keys` are the label keys that it looks at.
    """

    requirements: tuple[Requirement, ...] = ()
    words: str = field(init=False, repr=False, compare=False)
    keys: frozenset[str] = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Worked out once: the same few selectors are looked up all the time.
        words = [(each.key, each.operator.value, each.values) for each in self.requirements]
        object.__setattr__(self, "words", repr(words))
        object.__setattr__(self, "keys", frozenset(each.key for each in self.requirements))
        object.__setattr__(self, "_hash", hash(self.requirements))

    def __hash__(self) -> int:
        return self._hash

    def matches(self, labels: Labels) -> bool:
        for requirement in self.requirements:  # noqa: SIM110 - in half the time
            if not requirement.holds(labels):
                return False
        return True

    def __str__(self) -> str:
        """As `kubectl get --selector` takes it."""
        return ",".join(map(_text, self.requirements)) or "everything"


_KNOWN: WeakValueDictionary[tuple[Requirement, ...], Selector] = WeakValueDictionary()


def selector(requirements: Iterable[Requirement] = ()) -> Selector:
    """The selector with these requirements. Of equal ones there is one, as long as somebody keeps it."""
    wanted = tuple(sorted(set(requirements), key=_order))
    known = _KNOWN.get(wanted)
    return _KNOWN.setdefault(wanted, Selector(wanted)) if known is None else known


def parse_selector(fail: Fail, field: str, read: wire.WireSelector) -> Selector:
    """A selector from its wire shape; `field` is where it stands. Raises what `fail` makes."""
    found = [_equals(fail, f"{field}.matchLabels", key, value) for key, value in (read.match_labels or {}).items()]
    for index, each in enumerate(read.match_expressions or ()):
        found.append(_requirement(fail, f"{field}.matchExpressions[{index}]", each))
    return selector(found)


def _equals(fail: Fail, field: str, key: str, value: str) -> Requirement:
    _check_key(fail, field, key)
    _check_value(fail, f"{field}.{key}", value)
    return Requirement(key, Operator.IN, (value,))


def _requirement(fail: Fail, field: str, read: wire.WireRequirement) -> Requirement:
    _check_key(fail, f"{field}.key", read.key)
    try:
        operator = Operator(read.operator)
    except ValueError:
        known = ", ".join(each.value for each in Operator)
        raise fail(f"{field}.operator", read.operator, f"an operator is one of {known}") from None
    values = read.values or []
    listed = operator in (Operator.IN, Operator.NOT_IN)
    if listed is not bool(values):
        why = "needs at least one value" if listed else "takes no values"
        raise fail(f"{field}.values", values, f"{operator.value} {why}")
    for index, value in enumerate(values):
        _check_value(fail, f"{field}.values[{index}]", value)
    return Requirement(read.key, operator, tuple(sorted(set(values))))


def _check_key(fail: Fail, field: str, key: str) -> None:
    found = _KEY.fullmatch(key)
    if found is None or len(found["prefix"] or "") > _LONGEST_PREFIX:
        raise fail(field, key, "a label key is a name of up to 63 letters, digits, '-', '_' and '.', or prefix/name")


def _check_value(fail: Fail, field: str, value: str) -> None:
    if not _VALUE.fullmatch(value):
        raise fail(field, value, "a label value is empty or has up to 63 letters, digits, '-', '_' and '.'")


def _order(requirement: Requirement) -> tuple[str, str, tuple[str, ...]]:
    return requirement.key, requirement.operator.value, requirement.values


def _text(requirement: Requirement) -> str:
    key, values = requirement.key, requirement.values
    if requirement.operator is Operator.IN and len(values) == 1:
        return f"{key}={values[0]}"
    words = {Operator.IN: "in", Operator.NOT_IN: "notin"}
    if requirement.operator in words:
        return f"{key} {words[requirement.operator]} ({','.join(values)})"
    return key if requirement.operator is Operator.EXISTS else f"!{key}"


EVERYTHING = selector()

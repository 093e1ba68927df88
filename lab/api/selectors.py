"""Label and field selectors: from the query string to a question that can be asked of an object.

Source: Kubernetes documentation "Labels and Selectors" and "Field Selectors"; k8s.io/apimachinery/pkg/labels.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lab.api.errors import Obj, bad_request

_KEY = r"[A-Za-z0-9]([A-Za-z0-9./_-]*[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9._-]*"
_EQUALS = re.compile(rf"(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>{_VALUE})")
_SET = re.compile(rf"(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)")
_EXISTS = re.compile(rf"(?P<not>!?)\s*(?P<key>{_KEY})")
# A comma inside the brackets of `in (a,b)` belongs to the set, any other one separates two requirements.
_SEPARATOR = re.compile(r",(?![^()]*\))")
# Every resource can be selected by these two; the registry names the rest.
ALWAYS_SELECTABLE = frozenset({"metadata.name", "metadata.namespace"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause. `values` None asks only for presence; `wanted` False negates, absence included."""

    key: str
    values: frozenset[str] | None
    wanted: bool

    def holds(self, labels: Mapping[str, str]) -> bool:
        found = self.key in labels and (self.values is None or labels[self.key] in self.values)
        return found is self.wanted


@dataclass(frozen=True, slots=True)
class Query:
    """Which objects a list or a watch is about; the empty query is about all of them."""

    namespace: str = ""
    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches(self, obj: Obj) -> bool:
        meta = obj["metadata"]
        if self.namespace and meta.get("namespace", "") != self.namespace:
            return False
        labels = meta.get("labels") or {}
        return all(r.holds(labels) for r in self.labels) and all(
            r.holds({r.key: field_value(obj, r.key)}) for r in self.fields
        )


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Parses `a=b,c!=d,e in (x,y),f notin (z),g,!h`. Raises ApiError 400 that names the clause it cannot read."""
    return tuple(_label(clause.strip()) for clause in _clauses(text))


def parse_fields(text: str, selectable: Collection[str]) -> tuple[Requirement, ...]:
    """Parses `spec.nodeName=a,status.phase!=Failed`. Raises ApiError 400 for a field that cannot be selected by."""
    return tuple(_field(clause.strip(), selectable) for clause in _clauses(text))


def field_value(obj: Obj, path: str) -> str:
    """The value at a dotted path as a selector sees it: a string, empty when absent."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _clauses(text: str) -> list[str]:
    return _SEPARATOR.split(text) if text.strip() else []


def _label(clause: str) -> Requirement:
    if found := _EQUALS.fullmatch(clause):
        return Requirement(found["key"], frozenset({found["value"]}), found["op"] != "!=")
    if found := _SET.fullmatch(clause):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return Requirement(found["key"], values, found["op"] == "in")
    if found := _EXISTS.fullmatch(clause):
        return Requirement(found["key"], None, not found["not"])
    raise bad_request(f"unable to parse requirement {clause!r} of the label selector")


def _field(clause: str, selectable: Collection[str]) -> Requirement:
    found = re.fullmatch(r"(?P<key>[^=!]+)(?P<op>==|=|!=)(?P<value>.*)", clause)
    if not found:
        raise bad_request(f"invalid field selector {clause!r}; can't understand it: expected key=value or key!=value")
    key = found["key"].strip()
    if key not in ALWAYS_SELECTABLE and key not in selectable:
        raise bad_request(f"field label not supported: {key}")
    return Requirement(key, frozenset({found["value"].strip()}), found["op"] != "!=")

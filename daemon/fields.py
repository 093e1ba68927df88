"""The fields of a settings struct as the outside sees them: key, words for what is allowed, documentation."""

from __future__ import annotations

import functools
import operator
from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect


class EitherAddress(metaclass=ABCMeta):  # noqa: B024 - members register, none inherits
    """Stands for `IPv4Address | IPv6Address`, as msgspec knows no union of two types that are foreign to it."""


class EitherNetwork(metaclass=ABCMeta):  # noqa: B024 - members register, none inherits
    """Stands for `IPv4Network | IPv6Network`."""


_EITHER: Mapping[frozenset[type], ABCMeta] = {
    frozenset({IPv4Address, IPv6Address}): EitherAddress,
    frozenset({IPv4Network, IPv6Network}): EitherNetwork,
}
for _pair, _either in _EITHER.items():
    for _member in _pair:
        _either.register(_member)

# How each type that msgspec does not know is made of text, and its name in a message.
CUSTOM_TYPES: Mapping[type, tuple[Callable[[str], Any], str]] = {
    EitherAddress: (ip_address, "an IPv4 or IPv6 address"),
    EitherNetwork: (ip_network, "an IPv4 or IPv6 network such as 10.244.0.0/16"),
    IPv4Address: (IPv4Address, "an IPv4 address"),
    IPv6Address: (IPv6Address, "an IPv6 address"),
    IPv4Network: (IPv4Network, "an IPv4 network such as 10.244.0.0/16"),
    IPv6Network: (IPv6Network, "an IPv6 network such as fd00:244::/48"),
    Path: (Path, "a path"),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One field as the outside sees it: `key` in the file, `--key` on the command line."""

    key: str
    field: str
    type: inspect.Type
    annotation: Any
    description: str
    required: bool
    default: Any

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        return _allowed(self.type)

    @property
    def is_switch(self) -> bool:
        """A flag that may be given without a value."""
        return isinstance(_bare(self.type), inspect.BoolType)

    @property
    def is_list(self) -> bool:
        """A value of several parts."""
        return isinstance(_bare(self.type), inspect.VarTupleType)

    @property
    def shown_default(self) -> str:
        if self.required:
            return "required"
        return "none" if self.default is None else shown(self.default)


def describe(cls: type[msgspec.Struct]) -> Iterator[Setting]:
    """The settings of `cls`, in the order of declaration."""
    hints = get_type_hints(cls, include_extras=True)
    for field in msgspec.structs.fields(cls):
        annotation = _known_to_msgspec(hints[field.name])
        kind = inspect.type_info(annotation)
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        yield Setting(
            key=field.name.replace("_", "-"),
            field=field.name,
            type=kind,
            annotation=annotation,
            description=_description(kind),
            required=field.required,
            default=default,
        )


def document(cls: type[msgspec.Struct]) -> str:
    """A Markdown table of the settings, for the docs."""
    rows = [
        f"| `{each.key}` | {_cell(each.allowed)} | {_cell(each.shown_default)} | {_cell(each.description)} |"
        for each in describe(cls)
    ]
    return "\n".join(["| key, `--flag` | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _known_to_msgspec(hint: Any) -> Any:
    """The type with each pair of address families replaced by the one type that stands for it."""
    arguments = get_args(hint)
    if get_origin(hint) is Annotated:
        return Annotated[(_known_to_msgspec(arguments[0]), *arguments[1:])]
    if get_origin(hint) is tuple:
        generic: Any = tuple
        return generic[tuple(each if each is ... else _known_to_msgspec(each) for each in arguments)]
    if get_origin(hint) in (Union, UnionType):
        for pair, either in _EITHER.items():
            if pair <= set(arguments):
                arguments = (either, *(each for each in arguments if each not in pair))
        return functools.reduce(operator.or_, arguments)
    return hint


def _bare(kind: inspect.Type) -> inspect.Type:
    """The type without its description and without `| None`."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        others = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind


def _description(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", "")) or _description(kind.type)
    return ""


def _allowed(kind: inspect.Type) -> str:
    kind = _bare(kind)
    match kind:
        case inspect.UnionType():
            return " or ".join(_allowed(each) for each in kind.types if not isinstance(each, inspect.NoneType))
        case inspect.VarTupleType():
            return f"a list, each {_allowed(kind.item_type)}"
        case inspect.LiteralType():
            return f"one of {', '.join(str(each) for each in kind.values)}"
        case inspect.EnumType():
            return f"one of {', '.join(str(each.value) for each in kind.cls)}"
        case inspect.IntType() | inspect.FloatType():
            return _number(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.CustomType() if kind.cls in CUSTOM_TYPES:
            return CUSTOM_TYPES[kind.cls][1]
        case inspect.StrType():
            return "text" + (f" that matches {kind.pattern}" if kind.pattern else "")
    raise TypeError(f"settings cannot have the type {kind}")


def _number(kind: inspect.IntType | inspect.FloatType) -> str:
    name = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
    bounds = {"at least": kind.ge, "above": kind.gt, "at most": kind.le, "below": kind.lt}
    limits = [f"{word} {limit}" for word, limit in bounds.items() if limit is not None]
    return f"{name}, {' and '.join(limits)}" if limits else name


def shown(value: Any) -> str:
    """A value as a person would write it, cut to a bounded length."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(shown(each) for each in value) or "empty"
    text = str(getattr(value, "value", value)) if not isinstance(value, str) else (value or "empty")
    return text if len(text) <= 120 else f"{text[:120]}…"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

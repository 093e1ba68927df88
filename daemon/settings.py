"""Settings of a daemon: one frozen struct, read from a YAML file and flags, that documents itself.

A field is declared once, with type, default and description; file key, flag, `--help` and the documentation
table follow from it, so they cannot disagree. The key `tunnel-port` and the flag `--tunnel-port` are the field
`tunnel_port`. Flags beat the file. argparse and not typer: a daemon must start fast and stay small.

    class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
        mtu: Annotated[int | None, Meta(ge=576, le=65535, description="MTU of pods, bytes.")] = None

Field types: str, int, float, bool, Literal, Enum, the addresses, networks of ipaddress, Path, any of them
`| None`, and `tuple[X, ...]` of them (a YAML list; in a flag, commas). A `__post_init__` that raises ValueError
checks fields against each other; its text is shown as it stands.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec
import yaml

from daemon.fields import CUSTOM_TYPES, Setting, describe, shown
from daemon.fields import document as document

S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(ValueError):
    """The settings cannot be used; the text is one line that names key, value and what is allowed."""


def load(cls: type[S], argv: Sequence[str], *, prog: str) -> S:
    """The settings that `argv` (without the program's name) and the file it names give.

    Ends the process instead of returning: with help and status 0 on `--help`, with one line on stderr and
    status 2 on an error.
    """
    try:
        return parse(cls, argv, prog=prog)
    except SettingsError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def parse(cls: type[S], argv: Sequence[str], *, prog: str, read: Callable[[str], str] | None = None) -> S:
    """As `load`, but raises SettingsError. `read` gives the text of the file of a name."""
    settings = {each.key: each for each in describe(cls)}
    flags = vars(_parser(cls, settings.values(), prog).parse_args(argv))
    path = flags.pop("config", None)
    given: dict[str, Any] = {}
    if path is not None:
        for key, value in _document_of(path, read or _read).items():
            setting = _known(settings, key, path)
            given[setting.field] = _value(setting, value, f"{path}: {key}")
    for key, text in flags.items():
        given[settings[key].field] = _value(settings[key], _untext(settings[key], text), f"--{key}", strict=False)
    return _make(cls, settings, given)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message} (--help lists what there is)")


def _parser(cls: type[msgspec.Struct], settings: Iterable[Setting], prog: str) -> argparse.ArgumentParser:
    purpose = (cls.__doc__ or "").strip()
    parser = _Parser(prog=prog, description=purpose, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--config", metavar="FILE", help="YAML file of these settings; flags beat it")
    for each in settings:
        text = f"{each.description} Value: {each.allowed}. Default: {each.shown_default}.".replace("%", "%%")
        extra: dict[str, Any] = {"nargs": "?", "const": "true"} if each.is_switch else {}
        parser.add_argument(f"--{each.key}", dest=each.key, metavar="VALUE", help=text.strip(), **extra)
    return parser


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def _document_of(path: str, read: Callable[[str], str]) -> Mapping[str, Any]:
    """The file's mapping; an empty file is an empty mapping."""
    try:
        tree = yaml.load(read(path), _StrictLoader)
    except OSError as error:
        raise SettingsError(f"--config {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: a mapping of settings is needed, not {shown(tree)}")
    return tree


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice; PyYAML would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"{key} is given twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def _known(settings: Mapping[str, Setting], key: object, path: str) -> Setting:
    if isinstance(key, str) and key in settings:
        return settings[key]
    near = difflib.get_close_matches(_kebab(str(key)), settings, n=1)
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(settings)}"
    raise SettingsError(f"{path}: {key!r} is not a setting; {hint}")


def _kebab(name: str) -> str:
    """`tunnelPort` and `tunnel_port` as `tunnel-port`, to guess what was meant."""
    spaced = "".join(f"-{char.lower()}" if char.isupper() else char for char in name)
    return spaced.replace("_", "-")


def _untext(setting: Setting, text: str) -> Any:
    """A flag's text as YAML would have given it: lists are split, numbers left to a lax conversion."""
    if setting.is_list:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _value(setting: Setting, value: Any, where: str, *, strict: bool = True) -> Any:
    try:
        return msgspec.convert(value, setting.annotation, strict=strict, dec_hook=_custom)
    except msgspec.ValidationError:
        raise SettingsError(f"{where}: {shown(value)} is not allowed; give {setting.allowed}") from None


def _custom(kind: type, value: Any) -> Any:
    """msgspec's hook for types it does not know."""
    if kind not in CUSTOM_TYPES or not isinstance(value, str):
        raise ValueError(f"{value!r}")
    return CUSTOM_TYPES[kind][0](value)


def _make(cls: type[S], settings: Mapping[str, Setting], given: Mapping[str, Any]) -> S:
    missing = [each.key for each in settings.values() if each.required and each.field not in given]
    if missing:
        raise SettingsError(f"required and not given: {', '.join(missing)} (in the file, or --{missing[0]} VALUE)")
    try:
        return cls(**given)
    except ValueError as error:
        raise SettingsError(str(error)) from error

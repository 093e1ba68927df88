"""The command reference in docs/weftctl.md, from the commands themselves: `python -m cli.reference [--check]`.

The page is written by hand around blocks that this module fills in, so that examples and options stand together.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from inspect import Parameter
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import typer
from typer.models import ArgumentInfo

from cli.main import app
from cli.where import Where

PAGE = Path(__file__).resolve().parent.parent / "docs" / "weftctl.md"
WHERE = "where to look"
"""Name of the block of options that several commands share."""

Command = Callable[..., Any]

_BLOCK = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_SHARED = tuple(name for name in inspect.signature(Where).parameters if name != "cluster")  # which is no option


class PageError(ValueError):
    """The page lacks a command, or has a block of one that does not exist."""


def commands() -> Mapping[str, Command]:
    """Every command by the words that call it: `weftctl flows`, `weftctl lab up`."""
    return dict(_walk("weftctl", app))


def _walk(words: str, group: typer.Typer) -> Iterator[tuple[str, Command]]:
    for command in group.registered_commands:
        function = command.callback
        if function is not None:
            yield f"{words} {command.name or function.__name__.replace('_', '-')}", function
    for below in group.registered_groups:
        if below.typer_instance is not None:
            yield from _walk(f"{words} {below.typer_instance.info.name}", below.typer_instance)


def fill(page: str) -> str:
    """The page with its blocks made anew. Raises PageError when it does not have every command just once."""
    known = commands()
    blocks = {words: "".join(_block(command)) for words, command in known.items()}
    shared = _parameters(known["weftctl flows"])
    blocks[WHERE] = "".join(_options(each for each in shared if each.name in _SHARED))
    found = [match["name"] for match in _BLOCK.finditer(page)]
    if sorted(found) != sorted(blocks):
        raise PageError(f"the page has blocks {sorted(found)}; there should be {sorted(blocks)}")
    return _BLOCK.sub(lambda match: f"{match[1]}{blocks[match['name']]}{match[3]}", page)


def _parameters(command: Command) -> list[Parameter]:
    return list(inspect.signature(command, eval_str=True).parameters.values())


def _block(command: Command) -> Iterator[str]:
    """What a command is for, then its arguments and options; those that several commands share are told once."""
    parameters = _parameters(command)
    yield f"{inspect.cleandoc(command.__doc__ or '')}\n"
    located = {each.name for each in parameters} >= set(_SHARED)
    own = [each for each in parameters if not located or each.name not in _SHARED]
    if own:
        yield "\n"
        yield from _options(own)
    if located:
        yield "\nAnd the options that say [where to look](#where-to-look).\n"


def _options(parameters: Iterable[Parameter]) -> Iterator[str]:
    yield from ("| option | what it does |\n", "| --- | --- |\n")
    for each in parameters:
        yield f"| `{_spelling(each)}` | {_meaning(each)} |\n"


def _spelling(parameter: Parameter) -> str:
    """`--table TABLE`, `--stats`, `--tunnel geneve\\|vxlan`, `SRC`."""
    kind, info = get_args(parameter.annotation)[:2]
    if isinstance(info, ArgumentInfo):
        return str(info.metavar)
    # In an annotation, typer takes the first name for a default value and sorts it out later.
    given = [name for name in (info.default, *(info.param_decls or ())) if str(name).startswith("-")]
    names = ", ".join(given or [f"--{parameter.name.replace('_', '-')}"])
    value = info.metavar or r"\|".join(_choices(kind))
    return f"{names} {value}" if value else names


def _choices(kind: Any) -> list[str]:
    """The values of an enumeration, also of one that may be left out."""
    options = [each for each in get_args(kind) or (kind,) if each is not NoneType]
    return [str(each.value) for each in options[0]] if issubclass(options[0], Enum) else []


def _meaning(parameter: Parameter) -> str:
    _, info = get_args(parameter.annotation)[:2]
    default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    unsaid = default in (None, "", False, Parameter.empty)
    said = "" if unsaid else f" Default: `{default}`."
    return f"{info.help}{said}"


def update(path: Path) -> None:
    """Make the page's blocks anew."""
    path.write_text(fill(path.read_text()))


def check(path: Path) -> None:
    """Exit with a sentence unless the page is as `update` would write it."""
    if fill(path.read_text()) != path.read_text():
        raise SystemExit(f"{path} is stale: run `python -m cli.reference`")


if __name__ == "__main__":
    (check if "--check" in sys.argv[1:] else update)(PAGE)

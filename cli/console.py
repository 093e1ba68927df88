"""Writes lines to the terminal: in colour where it is one and nobody objects (NO_COLOR), else plain."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable

from cli.layout import Line, plain


def width() -> int | None:
    """The terminal's width; None when the output is not a terminal, where lines are never folded."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write(lines: Iterable[Line]) -> None:
    """Write lines to standard output."""
    render = painter() if sys.stdout.isatty() else plain
    for line in lines:
        sys.stdout.write(render(line) + "\n")


def say(text: str) -> None:
    """A line of progress or a warning, on standard error: it never mixes with output that is piped on."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """A warning: what was asked for is done, but something about it is not as it should be."""
    say(f"weftctl: warning: {text}")


def painter() -> Callable[[Line], str]:
    """How to write a line on this terminal: with its colours (rich knows which), or plain (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return plain
    from rich.console import Console
    from rich.style import Style

    console = Console()
    if console.is_dumb_terminal or console.color_system is None:
        return plain
    styles: dict[str, Style] = {}

    def paint(line: Line) -> str:
        return "".join(styles.setdefault(style, Style.parse(style)).render(text) for text, style in line)

    return paint

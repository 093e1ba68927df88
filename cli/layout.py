"""Columns on a screen: how wide each is, where a long cell is folded, which style a piece of text has. Pure.

A row is one line. Where the terminal is too narrow for that, cells of foldable columns go on below themselves,
which reads better than a line that the terminal folds at any letter. A table that has none, as of flows, keeps to one
line a row on any terminal.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NamedTuple

GAP = "  "
_INDENT = "  "
_NARROWEST = 24
_STEP = 2
_SAMPLES = 400

Style = str | Callable[[str], str]
"""A style name such as `bold` or `red`, or a function from a cell's text to one."""


class Piece(NamedTuple):
    """Text of one style."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """`fold` columns give way when the terminal is narrow; `right` aligns numbers."""

    title: str
    style: Style = ""
    fold: bool = False
    right: bool = False

    def styled(self, cell: str) -> str:
        return self.style(cell) if callable(self.style) else self.style


@dataclass(frozen=True, slots=True)
class Row:
    """One line of cells."""

    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A line that goes across all columns."""

    pieces: Line = ()


def heading(text: str, style: str = "") -> Heading:
    return Heading((Piece(text, style),))


def plain(line: Line) -> str:
    """A line without its styles."""
    return "".join(piece.text for piece in line)


def table(columns: Sequence[Column], rows: Iterable[Row | Heading], width: int | None = None) -> Iterator[Line]:
    """The lines of a table, its titles first; `width` is the terminal's, None where nothing is to be folded.

    Columns that are empty in every row are left out.
    """
    held = tuple(rows)
    cells = [row.cells for row in held if isinstance(row, Row)]
    used = [at for at in range(len(columns)) if any(row[at] for row in cells)]
    shape = _shape([columns[at] for at in used], [[row[at] for at in used] for row in cells], width)
    titles = [columns[at].title for at in used]
    if any(titles):
        yield tuple(Piece(text, "bold") for text, _ in shape.line(titles))
    for row in held:
        yield from (row.pieces,) if isinstance(row, Heading) else shape.lines([row.cells[at] for at in used])


@dataclass(frozen=True, slots=True)
class _Shape:
    """Widths of the columns. `tail` is the room for the last two together, where they share it line by line: a cell
    that is too long for its column may push the next one to the right. 0: they do not."""

    columns: Sequence[Column]
    widths: Sequence[int]
    tail: int = 0

    def lines(self, cells: Sequence[str]) -> Iterator[Line]:
        """The lines of one row: one, unless something had to be folded."""
        overflows = self.tail and len(cells[-2]) > self.widths[-2]
        yield from self._pushed(cells) if overflows else self._folded(cells)

    def line(self, cells: Sequence[str]) -> Line:
        """One line of cells in their columns; nothing after the last that is not empty."""
        last = max((at for at, cell in enumerate(cells) if cell), default=0)
        pieces: list[Piece] = []
        for at, (column, cell) in enumerate(zip(self.columns, cells, strict=True)):
            if at > last:
                break
            padding = " " * (self.widths[at] - len(cell))
            after = (padding if not column.right else "") + GAP if at < last else ""
            pieces += [Piece(padding if column.right else ""), Piece(cell, column.styled(cell)), Piece(after)]
        return tuple(piece for piece in pieces if piece.text)

    def _folded(self, cells: Sequence[str]) -> Iterator[Line]:
        parts = [
            _fold(cell, width) if column.fold else [cell]
            for column, cell, width in zip(self.columns, cells, self.widths, strict=True)
        ]
        styled = [column.styled(cell) for column, cell in zip(self.columns, cells, strict=True)]
        # A part of a cell keeps the style of the whole.
        whole = [replace(column, style=style) for column, style in zip(self.columns, styled, strict=True)]
        for part in zip_longest(*parts, fillvalue=""):
            yield _Shape(whole, self.widths).line(part)

    def _pushed(self, cells: Sequence[str]) -> Iterator[Line]:
        """The cell before the last goes beyond its column: the last one follows where it ends."""
        *head, long, last = cells
        column_of_long, column_of_last = self.columns[-2:]
        before = _Shape(self.columns[:-2], self.widths[:-2]).line(head)
        margin = sum(self.widths[:-2]) + len(GAP) * (len(self.widths) - 2)
        lead: Line = (*before, Piece(" " * (margin - len(plain(before)))))
        *upper, end = _fold(long, self.tail)
        style, last_style = column_of_long.styled(long), column_of_last.styled(last)
        for text in upper:
            yield (*lead, Piece(text, style))
            lead = (Piece(" " * margin),)
        first, *below = _fold_after(last, len(end) + len(GAP), self.tail)
        gap = Piece(GAP if first else "")
        yield tuple(each for each in (*lead, Piece(end, style), gap, Piece(first, last_style)) if each.text)
        for text in below:
            yield (Piece(" " * margin), Piece(text, last_style))


def _fold(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_on_hyphens=False, subsequent_indent=_INDENT)


def _fold_after(text: str, used: int, width: int) -> list[str]:
    """Fold a text whose first line has only what is left after `used`; it is empty if not even a word fits there."""
    if used + len(text.partition(" ")[0]) > width:
        return ["", *textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)]
    lines = textwrap.wrap(
        text, width, break_on_hyphens=False, initial_indent=" " * used, subsequent_indent=_INDENT
    ) or [""]
    return [lines[0].strip(), *lines[1:]]


def _shape(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> _Shape:
    """Every column as wide as its widest cell; if that is too much, the foldable ones give way."""
    widths = [max(map(len, cells)) for cells in zip([column.title for column in columns], *rows, strict=True)]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - (width or 0)
    if width is None or excess <= 0:
        return _Shape(columns, widths)
    if len(columns) > 2 and columns[-1].fold and columns[-2].fold:
        tail = widths[-2] + len(GAP) + widths[-1] - excess
        if tail >= 2 * _NARROWEST:
            first = _best_split([(len(row[-2]), len(row[-1])) for row in rows[:: len(rows) // _SAMPLES + 1]], tail)
            return _Shape(columns, [*widths[:-2], first, tail - first - len(GAP)], tail)
    for at, column in enumerate(columns):
        if column.fold:
            narrowed = min(widths[at], max(_NARROWEST, widths[at] - excess))
            excess, widths[at] = excess - (widths[at] - narrowed), narrowed
    return _Shape(columns, widths)


def _best_split(sizes: Sequence[tuple[int, int]], tail: int) -> int:
    """Width of the first of two columns that makes the fewest lines, and then the fewest that are pushed aside."""

    def cost(first: int) -> tuple[int, int]:
        rest = tail - first - len(GAP)
        lines = (
            -(-second // rest) if size <= first else -(-(size + len(GAP) + second) // tail) for size, second in sizes
        )
        return sum(lines), sum(size > first for size, _ in sizes)

    return min(range(_NARROWEST // 2, tail - _NARROWEST, _STEP), key=cost)

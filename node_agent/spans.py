"""Sets of numbers as spans, each from its first to its last number. Pure, and independent of how many they hold."""

from collections.abc import Iterable, Iterator

Span = tuple[int, int]
Spans = tuple[Span, ...]


def both(some: Iterable[Span], others: Iterable[Span]) -> Spans:
    """What is in both; each of them has no number twice."""
    others = tuple(others)
    meets = ((max(a[0], b[0]), min(a[1], b[1])) for a in some for b in others)
    return tuple(sorted(span for span in meets if span[0] <= span[1]))


def less(some: Iterable[Span], others: Iterable[Span]) -> Spans:
    """What is in the first and not in the others."""
    left = tuple(some)
    for first, last in others:
        pieces = (piece for a in left for piece in ((a[0], min(a[1], first - 1)), (max(a[0], last + 1), a[1])))
        left = tuple(piece for piece in pieces if piece[0] <= piece[1])
    return tuple(sorted(left))


def merged(some: Iterable[Span]) -> Spans:
    """The same numbers, none twice."""
    found: list[Span] = []
    for first, last in sorted(some):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def size(some: Iterable[Span]) -> int:
    """How many numbers they hold."""
    return sum(last - first + 1 for first, last in some)


def in_turn(some: Spans, after: int) -> Iterator[int]:
    """Every number once, beginning with the first that comes after one, and round."""
    later = less(some, [(min((first for first, _ in some), default=0), after)])
    for first, last in (*later, *less(some, later)):
        yield from range(first, last + 1)

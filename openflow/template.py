"""Flows that differ from pod to pod in a few values only, as bytes with holes.

Making, checking and encoding a Flow takes 18 µs, which is nothing until there are 100,000 of them. A template is made
from a sample: flows whose values are marks that can be found again in their bytes. Filling it takes 1 µs a flow. The
flows stay what is written and read; a property test holds a filled template to them.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

from openflow.codec import Encoded, encode
from openflow.errors import SpecError
from openflow.flow import Flow


class Template:
    """The bytes of flows, one behind the other, with holes for named values."""

    def __init__(self, sample: Iterable[Flow], marks: Mapping[str, bytes]) -> None:
        """`marks`: by the name of each hole, the bytes that stand for it in the sample. They must be found there, and
        must not be found where nobody meant them, so let them be long and odd. Raises SpecError for a mark that is
        in no flow, or in another mark."""
        names = {mark: name for name, mark in marks.items()}
        if len(names) != len(marks) or any(one in two for one in names for two in names if one != two):
            raise SpecError(f"template: the marks of {sorted(marks)} cannot be told apart")
        parts = [part for flow in sample for part in encode(flow)]
        pattern = re.compile(b"|".join(map(re.escape, names)))
        self._holes = tuple(names[found] for part in parts for found in pattern.findall(part))
        if marks.keys() - self._holes:
            raise SpecError(f"template: no flow has a place for {sorted(marks.keys() - self._holes)}")
        self._sizes = {name: len(mark) for name, mark in marks.items()}
        self._form = b"".join(
            b"%b".join(piece.replace(b"%", b"%%") for piece in pattern.split(part)) for part in parts
        )
        places = [slice(*ends) for ends in pairwise(accumulate(map(len, parts), initial=0))]
        self._flows = tuple(zip(places[::2], places[1::2], strict=True))

    def fill(self, values: Mapping[str, bytes]) -> tuple[Encoded, ...]:
        """The flows with these values. Raises SpecError for one of another size than its mark, or for none."""
        for name, size in self._sizes.items():
            if len(values.get(name, b"")) != size:
                raise SpecError(f"template: {name} takes {size} bytes, not {values.get(name)!r}")
        filled = self._form % tuple([values[name] for name in self._holes])
        return tuple([Encoded(filled[key], filled[body]) for key, body in self._flows])


def cut(text: bytes, mark: bytes) -> tuple[bytes, bytes]:
    """What is before a mark and what is behind it. Raises SpecError unless it is there exactly once."""
    if text.count(mark) != 1:
        raise SpecError(f"template: {mark.hex()} is {text.count(mark)} times in {text.hex()}, not once")
    before, _, behind = text.partition(mark)
    return before, behind

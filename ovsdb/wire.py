"""A fast JSON parser for the OVSDB library: it finds where a message ends, and lets C decode it.

The `ovs` package parses JSON one character at a time in Python when its C extension was not built, which is the
usual case with pip: 300 ms for the rows of a node with 250 pods (measured once where this was written), on the
path of every pod that starts. `Parser` has the interface of `ovs.json.Parser` and, for what OVSDB says, its
results (property test); `ovsdb.library` installs it.
"""

import json
import re
from typing import Any, Final

# A whole string, a bracket, or the quote of a string that has not ended yet.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]|"', re.DOTALL)
_DEPTH: Final = {"{": 1, "[": 1, "}": -1, "]": -1}
# The library reads this much at a time: less means that the server had no more to say for now.
_READ: Final = 4096
_decode: Final = json.JSONDecoder().raw_decode


class Parser:
    """Incremental parser of one JSON object or array, as `ovs.json.Parser`."""

    def __init__(self, check_trailer: bool = False) -> None:
        self._check_trailer = check_trailer
        self._text = ""
        self._scanned = 0
        self._depth = 0
        self._end: int | None = None
        self._value: Any = None

    def feed(self, text: str) -> int:
        """Take text; how many characters of it were used (the rest belongs to the next message)."""
        if self.is_done():
            return 0
        before = len(self._text)
        self._text += text
        # Nearly always a message comes whole, in one read.
        if before or len(text) >= _READ or not self._try():
            self._scan()
        return len(text) if self._end is None else self._end - before

    def is_done(self) -> bool:
        return self._end is not None

    def finish(self) -> Any:
        """The decoded value, or an error message (a str, as in `ovs.json`)."""
        if self._value is None:
            try:
                self._value = json.loads(self._text)
            except (ValueError, RecursionError) as e:
                return f"not JSON: {e}"
        return self._value if isinstance(self._value, dict | list) else "not JSON: neither object nor array"

    def _try(self) -> bool:
        try:
            value, end = _decode(self._text)
        except (ValueError, RecursionError):
            return False
        if not isinstance(value, dict | list) or self._check_trailer:
            return False
        self._value, self._end = value, end
        return True

    def _scan(self) -> None:
        for token in _TOKEN.finditer(self._text, self._scanned):
            text = token[0]
            if text == '"':
                self._scanned = token.start()
                return
            self._scanned = token.end()
            self._depth += _DEPTH.get(text, 0)
            if self._depth <= 0:
                # A bare string or a stray bracket ends here too: finish() refuses it.
                self._close(token.end())
                return
        if self._depth == 0 and self._text.strip():
            self._close(len(self._text))

    def _close(self, end: int) -> None:
        if not self._check_trailer:
            self._end = end
            self._text = self._text[:end]

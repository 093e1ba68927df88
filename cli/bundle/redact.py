"""Takes secrets out of texts and of JSON: the last pass over everything that goes into an archive. Pure.

What is collected is chosen so that there should be none: no Secrets, environments, keys, tokens or kubeconfigs. But
people write passwords into labels, annotations and logs, and this pass knows the forms that they have there. It takes
rather too much than too little. A word without any mark of a secret is one that it cannot know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

REDACTED: Final = "REDACTED"

_WORDS = (
    "password", "passwd", "passphrase", "passcode", "secret", "token", "credential", "api-key", "api_key", "apikey",
    "access-key", "access_key", "accesskey", "private-key", "private_key", "privatekey", "client-key", "client_key",
    "tls-key", "tls.key", "ca-key", "ca.key", "psk", "pwd", "authorization", "session-key", "session_key",
)  # fmt: skip
"""Names that have one of these in them are names of secrets."""

# A file's name tells where a secret is; what is in the file is not collected.
_PLACE = r"/(?:boot|dev|etc|home|host|mnt|opt|root|run|srv|tmp|usr|var)(?:/[\w.@:+-]+)+"
_HARMLESS = re.compile(rf"true|false|null|none|\d{{1,3}}|{_PLACE}|{REDACTED}(?:-\w+)?", re.IGNORECASE)

_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Private keys. What has only one of the two lines is the rest of a longer one, so all on that side goes.
    (re.compile(r"-----BEGIN [^-\n]*PRIVATE KEY-----.*?-----END [^-\n]*PRIVATE KEY-----", re.DOTALL), "KEY"),
    (re.compile(r"-----BEGIN [^-\n]*PRIVATE KEY-----.*\Z", re.DOTALL), "KEY"),
    (re.compile(r"\A.*-----END [^-\n]*PRIVATE KEY-----", re.DOTALL), "KEY"),
    # The same, and certificates, in base64, as in kubeconfigs and Secrets.
    (re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+"), "PEM"),
    # JSON Web Tokens, RFC 7519, as ServiceAccounts have.
    (re.compile(r"eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?"), "TOKEN"),
    # Credentials of HTTP (RFC 7617, 6750) and in URLs (RFC 3986 section 3.2.1).
    (re.compile(r"(?<=bearer )[\w.~+/=-]{8,}|(?<=basic )[\w.~+/=-]{8,}", re.IGNORECASE), "TOKEN"),
    (re.compile(r"(?<=://)[^\s/@\"']+(?=@)"), "LOGIN"),
    # Tokens that say whose they are: of kubeadm, AWS, GitHub, Slack.
    (re.compile(r"(?<![\w.])[a-z0-9]{6}\.[a-z0-9]{16}(?![\w.])"), "TOKEN"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[oprsu]_\w{20,}|\bgithub_pat_\w{20,}"), "TOKEN"),
    (re.compile(r"\bxox[abeprs]-[\w-]{10,}"), "TOKEN"),
)
_WORD = "|".join(map(re.escape, _WORDS))
# In double quotes, which may be escaped because they are in a string themselves; in single quotes; in none.
_VALUE = r"""(?P<value>\\+"(?:(?!\\+").)*\\+"|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&"'})\]]+)"""
_NAMED = (
    # The header of HTTP, whatever its scheme: to the end of the string that is its value, else of the line.
    re.compile(r"""(?P<name>authorization\\*["']\s*[:=]\s*\\*["'])(?P<value>[^\n"'\\]+)""", re.IGNORECASE),
    re.compile(r"""(?P<name>authorization\s*[:=]\s*)(?!REDACTED)(?P<value>[^\n]+)""", re.IGNORECASE),
    # {"name": "DB_PASSWORD", "value": "..."}, as containers' environments have.
    re.compile(rf"""(?P<name>(?:{_WORD})[\w.-]*"\s*,\s*"value"\s*:\s*){_VALUE}""", re.IGNORECASE),
    # name=value, "name": "value", and --name value; a value in quotes may follow a name as it is.
    re.compile(rf"""(?P<name>(?:{_WORD})[\w.-]*\\*["']?(?:\s*[:=]\s*|\s+(?=\\*["']))){_VALUE}""", re.IGNORECASE),
    re.compile(rf"""(?P<name>--[\w-]*(?:{_WORD})[\w-]*\s+){_VALUE}""", re.IGNORECASE),
)
_SECRET_NAME = re.compile(_WORD, re.IGNORECASE)


def text(given: str) -> str:
    """The text without its secrets."""
    for pattern, kind in _FORMS:
        given = pattern.sub(f"{REDACTED}-{kind}", given)
    return "".join(_without_values(lines) if hot else lines for hot, lines in _by_heat(given))


def tree(given: Any) -> Any:
    """A JSON value without its secrets: what a name marks as one goes, whatever it looks like."""
    match given:
        case dict():
            return {key: _entry(str(key), value) for key, value in given.items()}
        case list() | tuple():
            return [tree(each) for each in given]
        case set() | frozenset():
            return sorted(map(tree, given), key=str)
        case str():
            return text(given)
        case _:
            return given


def _by_heat(given: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces: whole lines that have one of the words or follow one that has, and whole lines that do not.
    Most texts are large and have none."""
    was_hot = False

    def is_hot(line: str) -> bool:
        nonlocal was_hot
        before, was_hot = was_hot, _has_word(line)
        return before or was_hot

    for hot, lines in groupby(given.splitlines(keepends=True), key=is_hot):
        yield hot, "".join(lines)


def _has_word(line: str) -> bool:
    folded = line.lower()
    return any(word in folded for word in _WORDS)


def _without_values(lines: str) -> str:
    for pattern in _NAMED:
        lines = pattern.sub(_without_value, lines)
    return lines


def _entry(name: str, value: Any) -> Any:
    if isinstance(value, str) and _SECRET_NAME.search(name):
        return value if _is_harmless(value) else REDACTED
    return tree(value)


def _is_harmless(value: str) -> bool:
    return not value or _HARMLESS.fullmatch(value) is not None


def _without_value(match: re.Match[str]) -> str:
    """A name without its value, unless that gives nothing away; quotes stay, so that JSON stays JSON."""
    value = match["value"]
    quote = re.match(r"\\*[\"']", value)
    mark = quote[0] if quote else ""
    bare = value[len(mark) : len(value) - len(mark)] if mark else value
    return match[0] if _is_harmless(bare) else f"{match['name']}{mark}{REDACTED}{mark}"

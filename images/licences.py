"""Licences as SPDX expressions, from what Debian's packages and Python's distributions say of themselves.

Debian: machine-readable copyright files (DEP 5, debian.org/doc/packaging-manuals/copyright-format/1.0). Python: core
metadata. What has no SPDX identifier becomes a LicenseRef of its package: two packages' "public-domain" may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from email.message import Message
from email.parser import HeaderParser

UNKNOWN = "NOASSERTION"

# Debian's short names, and what Python's authors write, in lower case, if one licence alone can be meant: not "BSD".
_SPDX = {
    "0bsd": "0BSD",
    "apache 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "beerware": "Beerware",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "bsd-4-clause-uc": "BSD-4-Clause-UC",
    "bsl-1.0": "BSL-1.0",
    "cc-by-3.0": "CC-BY-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc0-1.0": "CC0-1.0",
    "curl": "curl",
    "expat": "MIT",
    "fsfap": "FSFAP",
    "fsful": "FSFUL",
    "fsfullr": "FSFULLR",
    "gfdl-niv-1.3": "GFDL-1.3-no-invariants-only",
    "gfdl-niv-1.3+": "GFDL-1.3-no-invariants-or-later",
    "gpl-2 with linux-syscall-note exception": "GPL-2.0-only WITH Linux-syscall-note",
    "gpl-2+ with linux-syscall-note exception": "GPL-2.0-or-later WITH Linux-syscall-note",
    "gpl-3+ with bison exception": "GPL-3.0-or-later WITH Bison-exception-2.2",
    "isc": "ISC",
    "isc license": "ISC",
    "mit": "MIT",
    "mit license": "MIT",
    "mpl-1.1": "MPL-1.1",
    "mpl-2.0": "MPL-2.0",
    "ms-pl": "MS-PL",
    "psf-2.0": "PSF-2.0",
    "sleepycat": "Sleepycat",
    "unicode-dfs-2016": "Unicode-DFS-2016",
    "x11": "X11",
    "zlib": "Zlib",
}
_GNU = re.compile(r"(A?GPL|LGPL)-([123])(?:\.([01]))?(\+|-or-later|-only)?", re.IGNORECASE)
_CLASSIFIERS = {
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""Of those that name one licence; "BSD License" and "Apache Software License" have several versions."""
_REF = "LicenseRef-"


def of_debian(package: str, copyright_file: str) -> str:
    """All licences of a package's files, NOASSERTION if the file is not machine-readable."""
    paragraphs = [HeaderParser().parsestr(each) for each in re.split(r"\n[ \t]*\n", copyright_file.strip())]
    if not paragraphs[0]["Format"]:
        return UNKNOWN
    said = {each["License"].partition("\n")[0].strip() for each in paragraphs if each["Files"] and each["License"]}
    terms = {term for each in said if each for term in _terms(package, each)}
    return _joined("AND", terms) or UNKNOWN


def of_python(metadata: Message) -> str:
    """Its expression if it has one, else the older fields where they are clear."""
    if expression := metadata["License-Expression"]:
        return str(expression)
    if known := _identifier(str(metadata["License"] or "").strip()):
        return known
    classifiers = (each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier", []))
    found = sorted({_CLASSIFIERS[each] for each in classifiers if each in _CLASSIFIERS})
    return " AND ".join(found) or UNKNOWN


def references(expression: str) -> Iterator[str]:
    """The LicenseRefs in it."""
    yield from re.findall(rf"{_REF}[A-Za-z0-9.-]+", expression)


def _terms(package: str, text: str) -> Iterator[str]:
    """What holds all at once of DEP 5's "A or B, and C", where `and` binds tighter than `or`, and a comma looser."""
    for clause in re.split(r",\s+and\s+", text, flags=re.IGNORECASE):
        alternatives = [_both(package, each) for each in re.split(r",?\s+or\s+", clause, flags=re.IGNORECASE)]
        if len(alternatives) == 1:
            yield from alternatives[0]
        else:
            yield _joined("OR", {_joined("AND", each) for each in alternatives})


def _both(package: str, text: str) -> set[str]:
    return {_one(package, each) for each in re.split(r"\s+and\s+", text, flags=re.IGNORECASE)}


def _one(package: str, text: str) -> str:
    return _identifier(text) or _REF + re.sub(r"[^A-Za-z0-9.]+", "-", f"{package}-{text}").strip("-")


def _joined(operator: str, expressions: Set[str]) -> str:
    """Sorted, and in parentheses where the other operator is in them."""
    nested = (f"({each})" if re.search(" OR | AND ", each) and len(expressions) > 1 else each for each in expressions)
    return f" {operator} ".join(sorted(nested))


def _identifier(text: str) -> str | None:
    if gnu := _GNU.fullmatch(text):
        family, major, minor, later = gnu.groups()
        return f"{family.upper()}-{major}.{minor or 0}-{'or-later' if later in ('+', '-or-later') else 'only'}"
    return _SPDX.get(text.lower())

"""Licences of Debian's packages and Python's distributions, as SPDX expressions."""

from __future__ import annotations

from email.parser import HeaderParser

import pytest

from images import licences

_HEADER = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: thing\n"


def debian(*said: str) -> str:
    """Of a package `thing`, each of whose groups of files has one of the licences."""
    groups = "".join(
        f"\nFiles: {number}/*\nCopyright: somebody\nLicense: {each}\n" for number, each in enumerate(said)
    )
    return licences.of_debian("thing", _HEADER + groups)


def python(metadata: str) -> str:
    return licences.of_python(HeaderParser().parsestr(metadata))


@pytest.mark.parametrize(
    ("said", "spdx"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2.0-only", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GPL-3+ with Bison exception", "GPL-3.0-or-later WITH Bison-exception-2.2"),
        ("public-domain", "LicenseRef-thing-public-domain"),
        ("GPL", "LicenseRef-thing-GPL"),
        ("GPL-2+\n The text\n of it", "GPL-2.0-or-later"),
        ("ISC and Expat", "ISC AND MIT"),
        ("GPL-1+ or Artistic", "GPL-1.0-or-later OR LicenseRef-thing-Artistic"),
        ("GPL-2 or Expat and ISC", "(ISC AND MIT) OR GPL-2.0-only"),
        ("GPL-1+ or Artistic, and Expat", "(GPL-1.0-or-later OR LicenseRef-thing-Artistic) AND MIT"),
        ("MPL-1.1 or GPL-2+ or LGPL-2.1+", "GPL-2.0-or-later OR LGPL-2.1-or-later OR MPL-1.1"),
    ],
)
def test_short_names_of_debian_become_expressions(said: str, spdx: str) -> None:
    assert debian(said) == spdx


def test_a_package_has_the_licences_of_all_its_files_once_and_sorted() -> None:
    assert debian("Expat", "GPL-2+", "Expat and ISC") == "GPL-2.0-or-later AND ISC AND MIT"


def test_a_licence_that_only_its_text_is_given_of_is_nobodys() -> None:
    text = _HEADER + "\nFiles: *\nLicense: ISC\n\nLicense: GPL-2+\n Text\n"
    assert licences.of_debian("thing", text) == "ISC"


def test_a_copyright_file_for_people_says_nothing_to_a_program() -> None:
    assert licences.of_debian("thing", "This package was made by somebody.\n\nLicense: GPL\n") == "NOASSERTION"


@pytest.mark.parametrize(
    ("metadata", "spdx"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: x\n", "MIT OR Apache-2.0"),
        ("License: Apache 2.0\n", "Apache-2.0"),
        ("License: ISC\nClassifier: License :: OSI Approved :: BSD License\n", "ISC"),
        ("Classifier: License :: OSI Approved :: MIT License\n", "MIT"),
        ("License: BSD License\nClassifier: License :: OSI Approved :: BSD License\n", "NOASSERTION"),
        ("Name: thing\n", "NOASSERTION"),
    ],
)
def test_python_distributions_say_it_in_one_of_three_ways(metadata: str, spdx: str) -> None:
    assert python(metadata) == spdx


def test_references_are_found_where_their_texts_are_wanted() -> None:
    expression = debian("GPL-1+ or Artistic", "public-domain")
    assert sorted(licences.references(expression)) == ["LicenseRef-thing-Artistic", "LicenseRef-thing-public-domain"]

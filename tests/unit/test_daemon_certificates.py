"""What is said of certificates, and whose they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.peers import stranger
from daemon.certificates import Contents, TlsFiles, complaint, files_of, names_of

CA, CERTIFICATE, KEY = Path("/ca"), Path("/certificate"), Path("/key")
FILES = TlsFiles(CA, CERTIFICATE, KEY)
GOOD = Contents(frozenset({"weft-agent"}), not_before=100.0, not_after=200.0, ca_not_after=300.0)


def test_all_three_files_or_none() -> None:
    assert files_of(CA, CERTIFICATE, KEY) == FILES
    assert files_of(None, None, None) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((CA, None, None), "tls-ca without tls-certificate, tls-key: "),
        ((None, CERTIFICATE, KEY), "tls-certificate, tls-key without tls-ca: "),
        ((CA, CERTIFICATE, None), "tls-ca, tls-certificate without tls-key: "),
    ],
)
def test_some_of_them_is_a_mistake_that_names_them(given: tuple[Path | None, ...], words: str) -> None:
    with pytest.raises(ValueError, match="give all three, or none") as caught:
        files_of(*given)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("contents", "now", "words"),
    [
        (GOOD, 99.0, "tls-certificate /certificate: not valid before 1970-01-01 00:01:40 UTC"),
        (GOOD, 201.0, "tls-certificate /certificate: expired on 1970-01-01 00:03:20 UTC"),
        (
            replace(GOOD, ca_not_after=149.0),
            150.0,
            "tls-ca /ca: the last authority in it expired on 1970-01-01 00:02:29",
        ),
        (replace(GOOD, names=frozenset()), 150.0, "DNS name weft-agent (subjectAltName), and this one has none"),
        (replace(GOOD, names=frozenset({"b", "a"})), 150.0, "and this one has a, b"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_date(contents: Contents, now: float, words: str) -> None:
    assert words in complaint(FILES, contents, "weft-agent", now)


def test_what_is_right_is_not_complained_of() -> None:
    assert complaint(FILES, GOOD, "weft-agent", 150.0) == ""
    assert complaint(FILES, replace(GOOD, names=frozenset()), "", 150.0) == "", "nobody asks for a name"


def test_names_are_dns_names_in_lower_case_and_nothing_else() -> None:
    told = {
        "subject": ((("commonName", "weft-agent"),),),
        "subjectAltName": (("DNS", "Weft-A"), ("IP Address", "192.0.2.1"), ("DNS", "b"), ("URI", "spiffe://x")),
    }
    assert names_of(told) == {"weft-a", "b"}
    assert names_of({"subject": told["subject"]}) == frozenset()


@pytest.mark.parametrize("names", [set(), {"weft-controller"}, {"*"}, {"weft-agent.example.com"}])
def test_whose_certificate_has_not_the_agents_name_is_no_node(names: set[str]) -> None:
    assert "weft-agent" in stranger(frozenset(names))


def test_whose_certificate_has_it_is_one() -> None:
    assert stranger(frozenset({"weft-agent"})) == stranger(frozenset({"node1", "weft-agent"})) == ""

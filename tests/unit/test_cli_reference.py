"""docs/weftctl.md has every command with the options that it really has."""

import re
from pathlib import Path

import pytest

from cli.main import run
from cli.reference import PAGE, PageError, check, commands, fill, update


def test_the_page_is_up_to_date() -> None:
    assert fill(PAGE.read_text()) == PAGE.read_text()


def test_every_command_has_an_example() -> None:
    page = PAGE.read_text()
    assert [words for words in commands() if f"$ {words}" not in page and f"$({words})" not in page] == []


@pytest.mark.parametrize("words", sorted(commands()))
def test_the_page_has_just_the_options_of_the_help(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words.split()[1:], "--help"]) == 0
    options = capsys.readouterr().out.partition("Options:")[2]
    helped = {
        name for line in re.findall(r"^  (-.*)$", options, re.MULTILINE) for name in _names(line.split("  ")[0])
    }
    page = PAGE.read_text()
    block = page.partition(f"<!-- generated: {words} -->")[2].partition("<!-- end -->")[0]
    shared = page.partition("<!-- generated: where to look -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"^\| `(.*?)` \|", block + (shared if "where to look" in block else ""), re.MULTILINE)
    assert {name for row in rows for name in _names(row)} == helped - {"--help", "-h"}


def _names(text: str) -> list[str]:
    return re.findall(r"(?<![\w-])--?[a-z][\w-]*", text)


def test_a_page_that_lacks_a_command_is_refused() -> None:
    with pytest.raises(PageError, match="the page has blocks"):
        fill("# weftctl\n")


def test_blocks_are_replaced_and_the_rest_is_kept() -> None:
    spoilt = PAGE.read_text().replace("Only this table, by title or number.", "Something old.")
    assert fill(spoilt) == PAGE.read_text()


def test_a_stale_page_is_found_and_mended(tmp_path: Path) -> None:
    page = tmp_path / "weftctl.md"
    page.write_text(PAGE.read_text().replace("Only this table", "Something old"))
    with pytest.raises(SystemExit, match="is stale: run"):
        check(page)
    update(page)
    check(page)
    assert page.read_text() == PAGE.read_text()

"""docs/troubleshooting.md quotes messages as the code has them, and refers to what there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cli.reference import commands
from cni.errors import ErrorCode

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"
PACKAGES = ("cli", "cni", "controller", "daemon", "kube", "node_agent", "openflow", "ovsdb")
_CELL = re.compile(r"`([^`]*…[^`]*|[^`]+: [^`]+)`")


@cache
def texts() -> tuple[str, ...]:
    """Every text in the code, with … for what is put in; of the relay's C, its string literals."""
    found = [
        text
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (text := _text(node))
    ]
    relay = re.sub(r'"\s*"', "", (ROOT / "cni" / "relay.c").read_text())
    return (*found, *(f"{each}…" for each in re.findall(r'"([^"\n]{12,})"', relay)))


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
    return ""


def quoted() -> Iterator[str]:
    """The messages that the page's tables quote: in a column whose title says so, in backticks."""
    titles: list[str] = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if cells and "message" in cells:
            titles = cells
        elif cells and titles and set(line) - set("| -"):
            cell = dict(zip(titles, cells, strict=True))["message"]
            yield from re.findall(r"`([^`]+)`", cell)
        elif not cells:
            titles = []
    for cell in re.findall(r"^\| log[^|]*?: `([^`]+)`", PAGE.read_text(), re.MULTILINE):
        yield cell


def is_said(message: str) -> bool:
    """Whether some text of the code is this message, … standing for anything on either side."""
    return any(pattern(message).search(text) for text in texts())


def pattern(message: str) -> re.Pattern[str]:
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
    return re.compile(".*".join(parts), re.DOTALL)


def coded() -> Iterator[tuple[int, str]]:
    """The messages of CNI requests with the codes that the page gives them."""
    for code, message in re.findall(r"^\| (\d+) \| `([^`]+)`", PAGE.read_text(), re.MULTILINE):
        yield int(code), message


@cache
def codes() -> tuple[tuple[str, int], ...]:
    """Texts of the agent with the code that they come with: by `CniError(ErrorCode.X, text)`, or as the message of an
    exception that is turned into one."""
    trees = [
        ast.parse(path.read_text()) for name in ("cni", "node_agent") for path in sorted((ROOT / name).glob("*.py"))
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    raised = {node: code for node in nodes if (code := _raised_code(node)) is not None}
    turned = {
        node.type.id: raised[inner]
        for node in nodes
        if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name)
        for inner in ast.walk(node)
        if inner in raised
    }
    told = [*raised.items(), *((node, turned[name]) for node in nodes if (name := _exception(node)) in turned)]
    return tuple((text, code) for node, code in told for inner in ast.walk(node) if (text := _text(inner)))


def _exception(node: ast.AST) -> str:
    """The name of the class that is defined or called."""
    match node:
        case ast.ClassDef(name=name) | ast.Call(func=ast.Name(id=name)):
            return name
    return ""


def _raised_code(node: ast.AST) -> int | None:
    match node:
        case ast.Call(func=ast.Name(id="CniError"), args=[ast.Attribute(attr=name), *_]):
            return int(ErrorCode[name])
    return None


def test_codes_are_those_that_messages_come_with() -> None:
    """As far as a message stands beside its code; some come from layers that know no codes."""
    resolved = 0
    for code, message in coded():
        said = {each for text, each in codes() if pattern(message).search(text)}
        assert said in ({code}, set()), message
        resolved += bool(said)
    assert resolved >= 9


def test_every_code_of_wefts_own_is_explained() -> None:
    assert {code for code in ErrorCode if code >= 100} <= {code for code, _ in coded()}


@pytest.mark.parametrize("message", sorted(set(quoted())))
def test_a_message_is_one_of_the_codes(message: str) -> None:
    assert is_said(message)


def test_a_message_that_nobody_says_would_be_found() -> None:
    assert len(set(quoted())) > 35
    assert not is_said("the flux capacitor of … is not charged")


def test_commands_are_weftctls() -> None:
    named = set(re.findall(r"(?:`|\$ )(?:kubectl weft|weftctl) ([a-z][a-z-]+)", PAGE.read_text()))
    assert named
    assert {f"weftctl {name}" for name in named} <= set(commands())


def test_reasons_of_events_are_the_codes() -> None:
    reasons = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+|Unreadable)`", PAGE.read_text()))
    assert len(reasons) >= 7
    assert reasons - {"NotReady", "ContainerCreating"} <= set(texts())


def test_links_lead_somewhere() -> None:
    text = PAGE.read_text()
    titles = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        if not file:
            assert anchor in anchors
        elif file != "tls.md":
            assert (PAGE.parent / file).exists(), target

"""The command line itself: help, version, wrong options, exit statuses."""

import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from cli.main import run

COMMANDS = ("cni", "explain", "flows", "nodes", "pods", "policy", "reach", "trace", "lab")
LAB = ("up", "down", "status", "apply", "get", "exec", "reach", "kubeconfig")


def _out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run([*arguments]) == 0
    return capsys.readouterr().out


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    text = _out(capsys, "--help")
    assert text.startswith("Usage: weftctl ")
    assert [name for name in COMMANDS if not re.search(rf"^  {name} ", text, re.MULTILINE)] == []
    assert [name for name in LAB if not re.search(rf"^  {name} ", _out(capsys, "lab", "-h"), re.MULTILINE)] == []


@pytest.mark.parametrize("command", [*COMMANDS, *(f"lab {name}" for name in LAB)])
def test_every_command_explains_itself_and_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = _out(capsys, *command.split(), "--help")
    assert text.startswith(f"Usage: weftctl {command} ")
    silent = re.findall(r"^  (?:-\w, )?--[\w-]+(?: \S+)?\s*$(?!\n {10})", text, re.MULTILINE)
    assert silent == []


def test_no_sentence_of_the_command_list_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert not re.search(r"\w,?\.\.\.$", _out(capsys, "--help"), re.MULTILINE)
    assert not re.search(r"\w,?\.\.\.$", _out(capsys, "lab", "--help"), re.MULTILINE)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _out(capsys, "--version") == f"weftctl {version('weft')}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("trace", "a/b", "c/d", "--tcp", "70000"), "--tcp"),
        (("trace", "a/b", "c/d", "--tcp", "http"), "--tcp"),
        (("trace", "a/b", "c/d", "--udp", "0"), "--udp"),
        (("trace", "a/b", "c/d", "--tcp", "1", "--udp", "2"), "--tcp and --udp exclude each other"),
        (("trace", "a/b", "c/d", "--icmp", "--udp", "2"), "--udp and --icmp exclude each other"),
        (("trace", "a/b"), "DST"),
        (("trace", "a/b", "c/d", "--family", "ipx"), "--family"),
        (("reach", "--tcp", "0"), "--tcp"),
        (("reach", "-o", "wide"), "--output"),
        (("reach", "--ovsdb", "unix:/x", "--openflow", "unix:/x"), "give --kubeconfig"),
        (("policy", "a", "b"), "b"),
        (("flows", "--table", "nope"), "there is no table 'nope'"),
        (("flows", "--pod", "nope"), "write <namespace>/<name>"),
        (("flows", "--rundir", "/nowhere"), "--rundir /nowhere: there is no such directory"),
        (("flows", "--lab", "no-such-lab"), "there is no lab 'no-such-lab'"),
        (("nodes", "--ovsdb", "bogus:1", "--openflow", "unix:/x"), "want unix:PATH, tcp:IP:PORT or ssl:IP:PORT"),
        (("pods", "--ovsdb", "unix:/no/db.sock", "--openflow", "unix:/x"), "is ovsdb-server running"),
        (("lab", "status", "--name", "no-such-lab"), "`weftctl lab up` makes one"),
        (("lab", "kubeconfig", "--name", "no-such-lab"), "there is no lab"),
        (("lab", "up", "--name", "Bad!"), "lab name 'Bad!'"),
        (("lab", "up", "--nodes", "99", "--name", "no-such-lab"), "nodes=99: expected 1 to 20"),
        (("lab", "up", "--tunnel", "gre"), "--tunnel"),
        (("lab", "get", "services", "--name", "x"), "give pods or nodes"),
        (("lab", "exec", "a/b"), "CMD"),
        (("nope",), "nope"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_the_status_is_2(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_removing_a_lab_that_is_not_there_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "down", "--name", "no-such-lab"]) == 0
    assert "nothing to remove" in capsys.readouterr().err


def test_help_needs_none_of_the_heavy_packages() -> None:
    heavy = ("rich", "ovs", "kubernetes", "urllib3", "pyroute2", "os_ken", "yaml", "lab.lab", "openflow.render")
    program = (
        "import sys; from cli.main import run; run(['--help']); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_has_had_enough_is_no_traceback() -> None:
    command = f"{sys.executable} -m cli.main flows --help | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30)
    assert "Traceback" not in done.stderr

"""Colour on a terminal only, and only if nobody objects."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

PROGRAM = (
    "from cli import console\n"
    "from cli.layout import Piece\n"
    "console.write([(Piece('dropped', 'bold red'), Piece(' in '), Piece('Route', 'cyan'))])\n"
    "print(console.width())\n"
)


def _run(columns: int, **environment: str) -> str:
    """What the program writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        plain = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
        env = {**plain, "TERM": "xterm-256color", **environment}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, stdout=theirs, check=True, timeout=30)
        assert done.returncode == 0
        return os.read(ours, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_gets_colour_and_its_width() -> None:
    text, width = _run(97).splitlines()
    assert text.count("\x1b[") >= 3
    assert text.startswith("\x1b[1;31mdropped\x1b[0m in ")
    assert width == "97"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colour_gets_none(environment: dict[str, str]) -> None:
    assert _run(97, **environment).splitlines() == ["dropped in Route", "97"]


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}])
def test_a_pipe_gets_plain_lines_that_are_never_folded(environment: dict[str, str]) -> None:
    env = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.splitlines() == ["dropped in Route", "None"]

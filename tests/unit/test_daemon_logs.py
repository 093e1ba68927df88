"""Logs: one JSON object a line, whoever speaks. Each test asks a process of its own, as logging is global."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec


def run(script: str, status: int = 0) -> list[dict[str, Any]]:
    """The log lines of a Python process that runs `script`."""
    done = subprocess.run(
        [sys.executable, "-c", f"from daemon import logs\n{script}"], capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (status, b""), done.stderr
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in done.stderr.splitlines()]


def test_a_line() -> None:
    (line,) = run("logs.configure(); logs.get('agent').info('flows applied', node='w1', added=12)")
    assert list(line) == ["timestamp", "level", "logger", "event", "node", "added"]
    assert (line["level"], line["logger"], line["event"]) == ("info", "agent", "flows applied")
    assert (line["node"], line["added"]) == ("w1", 12)
    assert line["timestamp"].endswith("Z")
    assert "T" in line["timestamp"]


def test_a_logger_made_before_configure_follows_it() -> None:
    (line,) = run("log = logs.get('x'); logs.configure('warning'); log.info('no'); log.warning('yes')")
    assert line["event"] == "yes"


def test_any_value_can_be_logged() -> None:
    script = """
from ipaddress import ip_address
logs.configure()
logs.get('x').info('any', ip=ip_address('::1'), raw=b'\\xff', thing=object, pair=(1, 2), names={'a'})
"""
    (line,) = run(script)
    assert (line["ip"], line["pair"], line["names"]) == ("::1", [1, 2], ["a"])


def test_text_that_is_no_unicode_is_logged_all_the_same() -> None:
    (line,) = run("logs.configure(); logs.get('x').info('bad', name='\\udcff')")
    assert (line["event"], line["name"]) == ("bad", "'\\udcff'")


def test_an_exception_is_one_line() -> None:
    script = """
logs.configure()
try:
    1 / 0
except ZeroDivisionError:
    logs.get('x').exception('sum failed')
"""
    (line,) = run(script)
    assert line["level"] == "error"
    assert "ZeroDivisionError" in line["exception"]


def test_libraries_are_heard_from_warning_on() -> None:
    script = """
import logging, warnings
logging.getLogger('early').addHandler(logging.NullHandler())
logs.configure('debug')
logging.getLogger('urllib3').info('chatter')
logging.getLogger('urllib3').warning('retry %s', 1)
logging.getLogger('ovs').error('bad format %d', 'x')
warnings.warn('old')
"""
    first, second, third = run(script)
    assert (first["logger"], first["level"], first["event"]) == ("urllib3", "warning", "retry 1")
    assert "cannot be formatted" in second["event"]
    assert third["logger"] == "py.warnings"


def test_a_library_level_without_a_name() -> None:
    script = "import logging; logs.configure(); logging.getLogger('lib').log(35, 'between')"
    (line,) = run(script)
    assert (line["event"], line["level"]) == ("between", "warning")


def test_a_thread_that_dies_says_so() -> None:
    script = """
import threading
logs.configure()
thread = threading.Thread(target=lambda: 1 / 0, name='worker')
thread.start()
thread.join()
"""
    (line,) = run(script)
    assert (line["event"], line["thread"]) == ("uncaught exception", "worker")
    assert line["error"] == "ZeroDivisionError: division by zero"


def test_a_process_that_dies_says_so() -> None:
    (line,) = run("logs.configure(); raise RuntimeError('no bridge')", status=1)
    assert (line["level"], line["error"]) == ("critical", "RuntimeError: no bridge")
    assert "Traceback" in line["exception"]

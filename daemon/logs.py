"""Logs of a daemon: one JSON object a line on stderr, whoever wrote it.

Libraries (os-ken, ovs, urllib3) log through the standard library and warn through `warnings`, and a thread that
dies prints a traceback; all of them are routed here, so that a log collector meets one format only.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, Literal, get_args

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)

_STANDARD = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_NAME = "logger_name"  # until a line is rendered: structlog keeps the word "logger" to itself


def configure(level: Level = "info") -> None:
    """Send logs of `level` and above to stderr as JSON: timestamp (UTC, ISO 8601), level, logger, event, fields.

    Libraries are heard from WARNING on. Called once, by `main`, before threads start.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.UnicodeDecoder(),
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    _route_libraries()
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def get(name: str) -> FilteringBoundLogger:
    """The logger of a module or part; every line carries `logger: name`. May be had before `configure`."""
    logger: FilteringBoundLogger = structlog.get_logger(**{_NAME: name})
    return logger


def _render(_logger: Any, _method: str, event: Any) -> bytes:
    """Fields in a fixed order: what a person looks for first comes first."""
    event["logger"] = event.pop(_NAME, "")
    fields = {name: event.pop(name) for name in ("timestamp", "level", "logger", "event")} | event
    try:
        return msgspec.json.encode(fields, enc_hook=str)
    except (UnicodeError, TypeError, ValueError):
        # File names that are no UTF-8, maps with odd keys: an ugly line is better than none.
        return msgspec.json.encode({name: _plain(value) for name, value in fields.items()})


def _plain(value: Any) -> msgspec.Raw | str:
    try:
        return msgspec.Raw(msgspec.json.encode(value, enc_hook=str))
    except (UnicodeError, TypeError, ValueError):
        return ascii(value)


def _route_libraries() -> None:
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)


class _Bridge(logging.Handler):
    """Hands a standard library record to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        try:
            text = record.getMessage()
        except Exception as error:
            text = f"{record.msg} (cannot be formatted: {error})"
        level = max((each for each in _STANDARD if each <= record.levelno), default=logging.DEBUG)
        get(record.name).log(level, text.strip(), **fields)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    text = "".join(traceback.format_exception(kind, error, trace))
    get("daemon").critical("uncaught exception", error=f"{kind.__name__}: {error}", exception=text)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    thread = args.thread.name if args.thread else "?"
    text = "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
    get("daemon").critical(
        "uncaught exception", thread=thread, error=f"{args.exc_type.__name__}: {args.exc_value}", exception=text
    )

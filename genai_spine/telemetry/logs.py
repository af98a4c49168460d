"""Structured logs: one JSON object a line on standard error, or a readable line in a terminal."""

import asyncio
import atexit
import faulthandler
import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from time import time_ns
from typing import Any, BinaryIO

import msgspec
import structlog

BUFFER_S = 0.05


def configure(level: str = "INFO", *, readable: bool | None = None) -> None:
    """Configuration of structlog. level: DEBUG, INFO, WARNING or ERROR.

    readable: for people; default: when standard error is a terminal.
    """
    readable = sys.stderr.isatty() if readable is None else readable
    # Tracebacks without the frames' variables: those hold prompts and keys.
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
    factory: Any = structlog.PrintLoggerFactory(sys.stderr)
    if not readable:
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        processors = [_JsonRenderer(structlog.processors.ExceptionRenderer(tracebacks))]
        factory = structlog.BytesLoggerFactory(_BufferedLines(sys.stderr.buffer))  # type: ignore[arg-type]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    # What libraries log goes the same way; grpc tells of every client that hung up, which is no news.
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryLines()], force=True)
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # what its core says goes to standard error as text
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)


def write_stack_when_aborted() -> None:
    """SIGABRT, and crashes, write the stack of every thread to standard error before the process ends."""
    faulthandler.enable()


class _LibraryLines(logging.Handler):
    """Handler of what libraries log: one event `library`, with the logger's name."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        write = log.error if record.levelno >= logging.ERROR else log.warning
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        write("library", logger=record.name, message=record.getMessage(), exc_info=exc_info)


class _BufferedLines:
    """Line buffer of BUFFER_S: a busy server's lines are written together.

    A write per line costs as much as the rest of the line. Lines that a killed process had not written yet
    are lost; its ledger is not.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.lines: list[bytes] = []
        self.write = self.lines.append
        atexit.register(self.drain)

    def flush(self) -> None:
        """Called by structlog after each line."""
        if len(self.lines) > 1:
            return  # the first of these lines has set the timer
        try:
            asyncio.get_running_loop().call_later(BUFFER_S, self.drain)
        except RuntimeError:
            self.drain()

    def drain(self) -> None:
        written = b"".join(self.lines)
        self.lines.clear()
        self.file.write(written)
        self.file.flush()


class _JsonRenderer:
    """Renderer of an event as JSON with its level and time, and without what is not known.

    It does in one step what structlog's processors do in five: every call has a line.
    """

    def __init__(self, exceptions: structlog.processors.ExceptionRenderer) -> None:
        self.exceptions = exceptions
        self._second = 0, ""  # of the newest line: Unix time, and as text

    def __call__(self, logger: Any, name: str, event: MutableMapping[str, Any]) -> bytes:
        structlog.processors.add_log_level(logger, name, event)
        event["timestamp"] = self._timestamp()
        if "exc_info" in event:
            self.exceptions(logger, name, event)
        if None in event.values():
            event = {key: value for key, value in event.items() if value is not None}
        return msgspec.json.encode(event, enc_hook=str)

    def _timestamp(self) -> str:
        """The time, whose seconds are written once for all lines of them."""
        second, microsecond = divmod(time_ns() // 1000, 1_000_000)
        known, text = self._second
        if known != second:
            text = datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()
            self._second = second, text
        return f"{text}.{microsecond:06d}Z"

"""Logs: one JSON object a line on standard error, or a readable line in a terminal."""

import logging
import sys
from typing import Any

import msgspec
import structlog


def configure(level: str = "INFO", *, readable: bool | None = None) -> None:
    """level: DEBUG, INFO, WARNING or ERROR. readable: for people; default: when stderr is a terminal."""
    readable = sys.stderr.isatty() if readable is None else readable
    renderers: list[Any] = [structlog.dev.ConsoleRenderer()]
    factory: Any = structlog.PrintLoggerFactory(sys.stderr)
    if not readable:
        renderers = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(_json)]
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    # What libraries log goes the same way; grpc tells of every client that hung up, which is no news.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s", force=True)
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)


def _json(event: dict[str, Any], **_: Any) -> bytes:
    return msgspec.json.encode(
        {key: value for key, value in event.items() if value is not None}, enc_hook=str
    )

"""Control socket of a running service: `genai-spine reload` asks there and hears what became of it.

A Unix socket in a folder that only this user can enter, named after the port that the service listens on.
"""

import asyncio
import json
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

ANSWER_TIMEOUT_S = 180.0
MAX_REQUEST_BYTES = 1024


log = structlog.get_logger()


class ControlError(OSError):
    """No service can be asked; says why."""


def folder() -> Path:
    """Folder of the sockets. Raises ControlError where it is not this user's alone."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    path = Path(base) / f"genai-spine-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ControlError(f"{path} is not a folder of this user alone")
    return path


def socket_path(port: int) -> Path:
    """Socket of the service that listens on a port."""
    return folder() / f"{port}.sock"


@asynccontextmanager
async def listening(port: int, reload: Callable[[], Awaitable[dict[str, Any]]]) -> AsyncIterator[None]:
    """Answers requests for a reload as long as the context lasts."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                asked = await reader.readline()
            known = asked.strip() == b"reload"
            outcome = await reload() if known else {"refused": "it knows the word reload only"}
            writer.write(json.dumps(outcome).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # who asked is gone, or said too much
        finally:
            writer.close()

    try:
        path = socket_path(port)
        path.unlink(missing_ok=True)  # of one that was killed
        server = await asyncio.start_unix_server(answer, path, limit=MAX_REQUEST_BYTES)
    except OSError as error:  # a folder that cannot be written to; SIGHUP works all the same
        log.warning("no_control_socket", cause=str(error))
        yield
        return
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def ask_reload(port: int) -> dict[str, Any]:
    """Outcome of a reload of the service on a port. Raises ControlError."""
    path = socket_path(port)
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError:
        raise ControlError(
            f"no service of this user listens on port {port}{_others()}. Its socket would be {path}; where "
            "`up` was started with another XDG_RUNTIME_DIR (or, without that, TMPDIR), set the same here, "
            "or send it SIGHUP"
        ) from None
    try:
        writer.write(b"reload\n")
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            line = await reader.readline()
        answer: dict[str, Any] = json.loads(line)
    except (OSError, ValueError, TimeoutError):
        raise ControlError(f"the service on port {port} did not answer") from None
    finally:
        writer.close()
    return answer


def _others() -> str:
    ports = sorted(path.stem for path in folder().glob("*.sock"))
    return f"; --port is one of {', '.join(ports)}" if ports else ""

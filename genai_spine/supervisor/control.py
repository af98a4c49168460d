"""Control socket of a running service: `genai-spine reload` and `restart` ask there, and hear the outcome.

A Unix socket in a folder that only this user can enter, named after the port that the service listens on.
"""

import asyncio
import json
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

ANSWER_TIMEOUT_S = 180.0
MAX_REQUEST_BYTES = 1024
SIGNALS = {"reload": "SIGHUP", "restart": "SIGUSR2"}  # that ask for the same

Command = Callable[[], AsyncGenerator[dict[str, Any]]]

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
async def listening(port: int, commands: Mapping[str, Command]) -> AsyncIterator[None]:
    """Answers requests for the commands as long as the context lasts, each in lines of JSON."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                asked = (await reader.readline()).decode().strip()
            async with aclosing(commands[asked]() if asked in commands else _unknown(commands)) as lines:
                async for line in lines:
                    writer.write(json.dumps(line).encode() + b"\n")
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


async def ask(port: int, command: str, timeout_s: float = ANSWER_TIMEOUT_S) -> AsyncGenerator[dict[str, Any]]:
    """Lines that the service on a port answers a command with; the last one has `refused`: why, or None.

    Raises ControlError.
    """
    path = socket_path(port)
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError:
        raise ControlError(
            f"no service of this user listens on port {port}{_others()}. Its socket would be {path}; where "
            "`up` was started with another XDG_RUNTIME_DIR (or, without that, TMPDIR), set the same here, "
            f"or send it {SIGNALS.get(command, 'a signal')}"
        ) from None
    try:
        writer.write(f"{command}\n".encode())
        async with asyncio.timeout(timeout_s):
            answer: dict[str, Any] = {}
            while "refused" not in answer:
                answer = json.loads(await reader.readline())
                yield answer
    except TimeoutError:
        raise ControlError(f"the service on port {port} did not end it within {timeout_s:g} s") from None
    except (OSError, ValueError):
        raise ControlError(f"the service on port {port} has ended without an answer") from None
    finally:
        writer.close()


async def _unknown(commands: Mapping[str, Command]) -> AsyncGenerator[dict[str, Any]]:
    known = " and ".join(commands)
    yield {"refused": f"it knows the word{'s' if len(commands) > 1 else ''} {known} only"}


def _others() -> str:
    ports = sorted(path.stem for path in folder().glob("*.sock"))
    return f"; --port is one of {', '.join(ports)}" if ports else ""

"""Control socket of a running service."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from genai_spine.supervisor import control
from genai_spine.supervisor.control import ControlError


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folder of this test's sockets; their paths have at most 107 bytes."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.path.relpath(tmp_path))
    return tmp_path


async def reload() -> AsyncGenerator[dict[str, Any]]:
    yield {"refused": None, "processes": 2}


async def restart() -> AsyncGenerator[dict[str, Any]]:
    yield {"phase": "starting"}
    yield {"refused": "no"}


COMMANDS = {"reload": reload, "restart": restart}


async def asked(port: int, command: str = "reload", timeout_s: float = 5.0) -> list[dict[str, Any]]:
    return [line async for line in control.ask(port, command, timeout_s)]


async def test_who_asks_hears_what_became_of_it() -> None:
    async with control.listening(5, COMMANDS):
        assert await asked(5) == [{"refused": None, "processes": 2}]
        assert await asked(5, "restart") == [{"phase": "starting"}, {"refused": "no"}]
    with pytest.raises(ControlError, match="no service of this user listens on port 5"):
        await asked(5)


async def test_who_looks_in_another_folder_hears_where_and_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with control.listening(5, COMMANDS):
        other = tmp_path / "other"
        other.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(other))
        with pytest.raises(ControlError, match=rf"{other}/.*/5\.sock; .* XDG_RUNTIME_DIR .*TMPDIR.*, set"):
            await asked(5)


async def test_other_ports_are_named() -> None:
    async with control.listening(5, COMMANDS), control.listening(7, COMMANDS):
        with pytest.raises(ControlError, match="port 6; --port is one of 5, 7"):
            await asked(6)


async def test_the_socket_of_a_killed_service_is_replaced() -> None:
    control.socket_path(5).touch()
    async with control.listening(5, COMMANDS):
        assert (await asked(5))[0]["processes"] == 2


async def test_nobody_else_may_enter(runtime: Path) -> None:
    async with control.listening(5, COMMANDS):
        assert control.folder().stat().st_mode & 0o777 == 0o700
    control.folder().chmod(0o755)
    with pytest.raises(ControlError, match="not a folder of this user alone"):
        control.folder()
    async with control.listening(5, COMMANDS):  # the service runs all the same
        pass


async def test_a_link_is_no_folder_of_ours(runtime: Path) -> None:
    (runtime / "elsewhere").mkdir(mode=0o700)
    (runtime / f"genai-spine-{os.getuid()}").symlink_to(runtime / "elsewhere")
    with pytest.raises(ControlError):
        control.folder()


@pytest.mark.parametrize("sent", [b"stop\n", b"", b"x" * 5000])
async def test_anything_but_the_word_changes_nothing(sent: bytes) -> None:
    done = 0

    async def count() -> AsyncGenerator[dict[str, Any]]:
        nonlocal done
        done += 1
        yield {}

    async with control.listening(5, {"reload": count}):
        reader, writer = await asyncio.open_unix_connection(control.socket_path(5))
        writer.write(sent)
        writer.write_eof()
        answer = await reader.read()
        assert answer == b"" or b"knows the word reload only" in answer
        writer.close()
    assert done == 0


async def test_what_takes_too_long_or_dies_is_said() -> None:
    async def for_ever() -> AsyncGenerator[dict[str, Any]]:
        yield {"phase": "starting"}
        await asyncio.Event().wait()

    async def dying() -> AsyncGenerator[dict[str, Any]]:
        yield {"phase": "starting"}
        raise OSError

    async with control.listening(5, {"reload": for_ever, "restart": dying}):
        with pytest.raises(ControlError, match=r"port 5 did not end it within 0\.05 s"):
            await asked(5, "reload", 0.05)
        with pytest.raises(ControlError, match="port 5 has ended without an answer"):
            await asked(5, "restart")

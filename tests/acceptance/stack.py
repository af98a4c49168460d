"""A running service, and the processes that the acceptance tests start."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from typer.testing import CliRunner

from genai_spine.cli.main import app
from genai_spine.settings import WITHOUT_PREFIX
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1 import execution_pb2

ROOT = Path(__file__).parents[2]
START_S, STOP_S = 90.0, 20.0
# Would be read by the service or an SDK.
OURS = re.compile(r"GENAI_.*|OPENAI_.*|OTEL_.*|.*_(PROXY|proxy)|" + "|".join(WITHOUT_PREFIX))
UNEXPECTED = (
    '"internal_error"',
    '"server_died"',
    '"envoy_died"',
    "Traceback",
)  # in a log line: a fault of the service


@dataclass(frozen=True, slots=True)
class Stack:
    """A running service. Its server processes, Envoy and itself share one log."""

    url: str  # http://127.0.0.1:PORT, Envoy's
    database_url: str
    log: Path
    symbols_url: str | None = None  # of the listener for symbol documentation
    http_url: str = ""  # of the HTTP server of a process, without Envoy

    @property
    def address(self) -> str:
        """For gRPC: host:port."""
        return self.url.removeprefix("http://")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def executions(self, request_id: str) -> list[execution_pb2.Execution]:
        """The ledger's rows of one request, once the database has all of them settled."""
        database = Database(self.database_url)
        try:
            async with asyncio.timeout(STOP_S):
                while True:
                    rows = await Executions(database).by_request(request_id)
                    if all(row.state != execution_pb2.EXECUTION_STATE_PENDING for row in rows):
                        return rows
                    await asyncio.sleep(0.005)
        finally:
            await database.close()


def environment(**variables: str) -> dict[str, str]:
    """The variables of this process without settings of ours, and with these."""
    return {name: value for name, value in os.environ.items() if not OURS.fullmatch(name)} | variables


def finished(*command: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program that ran to its end."""
    return subprocess.run(
        command,
        env=environment(**variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def genai_spine(*arguments: str) -> subprocess.CompletedProcess[str]:
    return finished(sys.executable, "-m", "genai_spine", *arguments)


def explained(*words: str) -> str:
    """Help of a command, which needs no process of its own to be told."""
    said = CliRunner().invoke(app, [*words, "--help"])
    assert said.exit_code == 0, said.output
    assert "--help" in said.output
    return said.output


def up(folder: Path, settings: dict[str, str], database_url: str) -> Iterator[Stack]:
    """`genai-spine up` on a free port, stopped as an operator would stop it."""
    log = folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "genai_spine", "up", "--json", "--port", "0"],
            env=environment(**settings, GENAI_DATABASE_URL=database_url),
            cwd=folder,  # where there is no .env
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    try:
        said = json.loads(_first_line(process, log))
        yield Stack(said["url"], database_url, log, said["symbols"], f"http://{said['http_servers'][0]}")
    finally:
        _stop(process)
    assert process.returncode == 0, f"`up` ended with {process.returncode}\n{tail(log)}"
    lines = log.read_text(errors="replace").splitlines()
    faults = [line for line in lines if any(word in line for word in UNEXPECTED)]
    assert not faults, "\n".join(faults)


def tail(log: Path, start: int = 0) -> str:
    return log.read_bytes()[start:][-8000:].decode(errors="replace")


def _first_line(process: "subprocess.Popen[bytes]", log: Path) -> bytes:
    """The line with the URL; what follows on that pipe goes to the log."""
    lines: Queue[bytes] = Queue()

    def read(pipe: Any) -> None:
        with pipe, log.open("ab") as copy:
            lines.put(pipe.readline())
            for line in pipe:
                copy.write(line)
                copy.flush()

    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    try:
        line = lines.get(timeout=START_S)
    except Empty:
        line = b""
    assert line, f"`up` said no URL\n{tail(log)}"
    return line


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        # Its servers are in sessions of their own and would outlive it.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        process.wait()

"""The processes of a measurement: a mock upstream, the yardstick, and the service with its Envoy."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

MODEL = "gpt-4o-mini"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Running:
    process: "subprocess.Popen[bytes]"
    said: Mapping[str, object]  # the line of JSON that it printed when it was ready

    @property
    def server_pid(self) -> int:
        """The gRPC server below `genai-spine up`; the process itself when it has none."""
        pids = _children(self.process.pid)
        return next((pid for pid in pids if b"serve" in _command(pid)), self.process.pid)


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[Running]:
    started = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        line = started.stdout.readline() if started.stdout else b""
        yield Running(started, json.loads(line))
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(30)


@contextmanager
def stack(upstream_url: str) -> Iterator[Running]:
    """`genai-spine up` in front of the upstream, with one server process and its ledger on SQLite."""
    with tempfile.TemporaryDirectory(prefix="genai-spine-bench-") as folder:
        variables = {
            "GENAI_OPENAI_API_KEY": "bench",
            "GENAI_OPENAI_BASE_URL": f"{upstream_url}/v1",
            "GENAI_DEFAULT_PROVIDER": "openai",
            "GENAI_DATABASE_URL": os.environ.get("GENAI_DATABASE_URL")
            or f"sqlite:///{Path(folder)}/bench.db",
            "GENAI_DRAIN_TIMEOUT": "2",
        }
        with process("genai_spine", "up", "--json", "--port", "0", **variables) as running:
            yield running


def address(running: Running) -> str:
    """host:port of what it said as url, or as port."""
    if "url" in running.said:
        return urlsplit(str(running.said["url"])).netloc
    return f"127.0.0.1:{running.said['port']}"


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE / 2**20


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()

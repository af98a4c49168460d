"""The processes of a measurement: a mock upstream, the yardstick, and the service with its Envoy."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
MODEL = "gpt-4o-mini"
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

    @property
    def envoy_pid(self) -> int:
        """Its Envoy; the process itself when it has none."""
        pids = _children(self.process.pid)
        return next((pid for pid in pids if b"envoy.yaml" in _command(pid)), self.process.pid)

    def told(self, line: str) -> Any:
        """The line of JSON that it answers on stdout to a line on stdin."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def python(*arguments: str, tree: Path = ROOT, **environment: str) -> Iterator[Running]:
    """A process that runs the code of `tree`, a checkout of any commit."""
    started = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), **environment},
    )
    try:
        line = started.stdout.readline() if started.stdout else b""
        if not line:
            raise RuntimeError(f"{tree}: python {' '.join(arguments)} ended before it was ready")
        yield Running(started, json.loads(line))
    finally:
        if started.stdin:
            started.stdin.close()
        started.send_signal(signal.SIGTERM)
        started.wait(30)


def output(*arguments: str, tree: Path, **environment: str) -> str:
    """Of a process that ends by itself. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def process(
    module: str, *arguments: str, tree: Path = ROOT, **environment: str
) -> AbstractContextManager[Running]:
    return python("-m", module, *arguments, tree=tree, **environment)


@contextmanager
def stack(
    upstream_url: str, tree: Path = ROOT, settings: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """`genai-spine up` in front of the upstream, with one server process; settings: beside serving()'s."""
    with tempfile.TemporaryDirectory(prefix="genai-spine-bench-") as folder:
        variables = serving(upstream_url, Path(folder)) | dict(settings or {})
        with process("genai_spine", "up", "--json", "--port", "0", tree=tree, **variables) as running:
            yield running


def serving(upstream_url: str, folder: Path) -> dict[str, str]:
    """Settings of a server whose default provider is the upstream."""
    return {
        "GENAI_OPENAI_API_KEY": "bench",
        "GENAI_OPENAI_BASE_URL": f"{upstream_url}/v1",
        "GENAI_DEFAULT_PROVIDER": "openai",
        "GENAI_DATABASE_URL": f"sqlite:///{folder}/bench.db",
        "GENAI_DRAIN_TIMEOUT": "2",
    }


def address(running: Running) -> str:
    """host:port of what it said as url, or as port."""
    if "url" in running.said:
        return urlsplit(str(running.said["url"])).netloc
    return f"127.0.0.1:{running.said['port']}"


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE / 2**20


def cpu_s(pid: int) -> float:
    """Of all its threads that still run; in nanoseconds, where /proc/PID/stat counts in hundredths."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()

"""Runs a simulator as a process of its own, for acceptance tests and the bench."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.upstreams.bill import Entry
from tests.upstreams.reply import Reply

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT_S = 5.0


class UpstreamProcess:
    """`with UpstreamProcess("openai", "--chunks", "200") as up:`; its calls block for a few milliseconds."""

    def __init__(self, name: str, *arguments: str) -> None:
        """name: a module of this package, "openai", "ollama" or "bedrock"."""
        self._command = [sys.executable, "-m", f"tests.upstreams.{name}", *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def base_url(self) -> str:
        """What an OpenAI client wants as its base URL."""
        return f"{self.url}/v1"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError(f"{' '.join(self._command)} ended before it listened")
        self.url = json.loads(line)["url"]
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def bill(self) -> list[Entry]:
        return msgspec.json.decode(self._call("/_bill"), type=list[Entry])

    def counts(self) -> dict[str, int]:
        """The bill of a simulator that was started with --fast."""
        counts: dict[str, int] = json.loads(self._call("/_bill"))
        return counts

    def script(self, *replies: Reply, on: str | None = None, default: Reply | None = None) -> None:
        """See Upstream.script; default: for all requests, or for the model or path `on`."""
        self._call("/_script", {"replies": replies, "on": on, "default": default})

    def release(self) -> None:
        """See Upstream.release."""
        self._call("/_release", {})

    def reset(self) -> None:
        self._call("/_reset", {})

    def _call(self, path: str, body: Any = None) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(self.url + path, data=data)
        with urllib.request.urlopen(request, timeout=10) as response:
            content: bytes = response.read()
        return content

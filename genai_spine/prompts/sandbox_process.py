"""Sandbox processes: unbounded templates and YAML of callers run where the kernel limits them.

A process gets CPU_LIMIT_S of processor time a text and MEMORY_LIMIT_BYTES of address space (setrlimit).
It starts with the first such text and is reused.

Protocol, both ways: a length (4 bytes, big-endian), then JSON. Request: [task, arguments ...]; answer:
[result, null] or [null, problem].
"""

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import IO, Any

from genai_spine.prompts.plain_yaml import load
from genai_spine.prompts.sandbox import Template, TextRefused

CPU_LIMIT_S = 2.0  # for one text
WALL_LIMIT_S = 20.0  # likewise, on a machine that is busy with other things
QUEUE_TIMEOUT_S = 10.0  # until one of the processes is free
MEMORY_LIMIT_BYTES = 1 << 29
MAX_PROCESSES = 2  # of each server process
# All that the process is told of the server's environment, which holds keys.
ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LANG")


class SandboxBusy(Exception):
    """Timeout while waiting for a free process of the sandbox."""


class Sandbox:
    """Pool of at most MAX_PROCESSES sandbox processes. close() at the end."""

    def __init__(self, cpu_s: float = CPU_LIMIT_S, wait_s: float = QUEUE_TIMEOUT_S) -> None:
        """Pool with limits. cpu_s: processor time a text; wait_s: time to wait for a free process."""
        self._cpu_s = cpu_s
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(MAX_PROCESSES)
        self._idle: list[asyncio.subprocess.Process] = []

    async def render(self, source: str, names: Sequence[str], values: Mapping[str, Any]) -> str:
        """Rendered template. Raises TextRefused, also for time and memory; SandboxBusy."""
        return str(await self._result("render", source, list(names), dict(values)))

    async def load_yaml(self, text: str) -> Any:
        """Data of a YAML text.

        Raises TextRefused as plain_yaml.load, also for time and memory; SandboxBusy.
        """
        return await self._result("load_yaml", text)

    async def _result(self, *task: Any) -> Any:
        request = json.dumps(task).encode()
        async with self._place():
            process = self._idle.pop() if self._idle else await self._started()
            try:
                async with asyncio.timeout(WALL_LIMIT_S):
                    result, problem = await _exchanged(process, request)
            except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
                raise TextRefused(None, await self._cause(process)) from None
            except BaseException:
                await _killed(process)  # its answer would be taken for the next one's
                raise
            self._idle.append(process)
        if problem is not None:
            raise TextRefused(None, problem)
        return result

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Free slot of the pool. Raises SandboxBusy after wait_s."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise SandboxBusy(f"the sandbox of templates and YAML was busy for {self._wait_s:g} s") from None
        try:
            yield
        finally:
            self._free.release()

    async def close(self) -> None:
        """End of all processes."""
        while self._idle:
            await _killed(self._idle.pop())

    async def _started(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genai_spine.prompts.sandbox_process", str(self._cpu_s)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        )

    async def _cause(self, process: asyncio.subprocess.Process) -> str:
        """Reason why a process died: time, memory, or something else."""
        if await _killed(process) in (-signal.SIGPROF, -signal.SIGKILL):
            return f"it takes more than {self._cpu_s:g} s"
        return "it needs too much memory"


async def _exchanged(process: asyncio.subprocess.Process, request: bytes) -> list[Any]:
    """Answer of a process to one request."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(request).to_bytes(4, "big") + request)
    await process.stdin.drain()
    size = int.from_bytes(await process.stdout.readexactly(4), "big")
    answer: list[Any] = json.loads(await process.stdout.readexactly(size))
    return answer


async def _killed(process: asyncio.subprocess.Process) -> int:
    """Exit code of a process that is killed here; its own one where it ended by itself."""
    try:
        async with asyncio.timeout(0.2):
            if process.stdin is not None:
                process.stdin.close()
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def main(cpu_s: float, asked: IO[bytes], answered: IO[bytes]) -> None:
    """Worker loop: answers requests until its standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the server
    while head := asked.read(4):
        task, *given = json.loads(asked.read(int.from_bytes(head, "big")))
        signal.setitimer(signal.ITIMER_PROF, cpu_s)  # the kernel ends this process when it runs out
        answer = json.dumps(_answer(TASKS[task], given)).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        answered.write(len(answer).to_bytes(4, "big") + answer)
        answered.flush()


def _answer(work: Callable[..., Any], given: list[Any]) -> list[Any]:
    try:
        return [work(*given), None]
    except TextRefused as error:
        return [None, str(error)]


def _rendered(source: str, names: list[str], values: dict[str, Any]) -> str:
    return _template(source, tuple(names)).render(values)


@lru_cache(maxsize=64)
def _template(source: str, names: tuple[str, ...]) -> Template:
    return Template(source, names)


TASKS: dict[str, Callable[..., Any]] = {"render": _rendered, "load_yaml": load}

if __name__ == "__main__":
    main(float(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)

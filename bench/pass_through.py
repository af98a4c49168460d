"""Bytes passed on, beside the same calls by messages: CPU time of the server, in turn, in one run.

`python -m bench.pass_through [CALLS]`. As `python -m bench.pass_through serve ...` it is `genai-spine` that
passes nothing on.
"""

import asyncio
import json
import runpy
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bench import load
from bench.processes import ROOT, Running, address, cpu_s, process, serving
from genai_spine.call import Call
from genai_spine.openai_api import facade
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient

ROUNDS, WORKERS = 7, 16
WORDS = "Hello there, how are you today? "
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
# Upstream's arguments, path and body of each kind of call.
KINDS: dict[str, tuple[tuple[str, ...], str, Mapping[str, Any]]] = {
    "chat of 200 words": (
        ("--api", "openai", "--chunks", "200"),
        CHAT,
        {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": WORDS}]},
    ),
    "chat of 20,000 words, 8,000 in": (
        ("--api", "openai", "--chunks", "20000"),
        CHAT,
        {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": WORDS * 1333}]},
    ),
    "embedding of 1,536 numbers": (
        ("--api", "embeddings"),
        EMBEDDINGS,
        {"model": "text-embedding-3-small", "input": WORDS, "encoding_format": "float"},
    ),
}


async def _cpu_us(service: Running, path: str, body: bytes, count: int) -> float:
    """Microseconds of the server's CPU that one call costs."""
    http = HttpClient(Endpoint("bench", f"http://127.0.0.1:{service.said['http_port']}"))

    async def one() -> None:
        reply = await http.post(path, body, Call())
        if reply.status != 200:
            raise RuntimeError(f"HTTP {reply.status}: {reply.body[:200]!r}")

    before = cpu_s(service.server_pid)
    await load.rate(one, count, WORKERS)
    used = cpu_s(service.server_pid) - before
    await http.close()
    return used / count * 1e6


def measured(kind: str, count: int) -> dict[str, Any]:
    """Medians of both, and of their ratio in each round."""
    arguments, path, body = KINDS[kind]
    with ExitStack() as opened:
        mock = opened.enter_context(process("tests.upstreams.fast", "--port", "0", *arguments))
        services = {}
        for way, module in (("typed", "bench.pass_through"), ("passed", "genai_spine")):
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            variables = serving(f"http://{address(mock)}", folder)
            with process(module, "migrate", "--no-key", "--json", tree=ROOT, **variables):
                pass
            ports = ("--port", "0", "--http-port", "0")
            services[way] = opened.enter_context(process(module, "serve", *ports, tree=ROOT, **variables))
        seen: dict[str, list[float]] = {way: [] for way in services}
        for number in range(ROUNDS + 1):
            for way, service in services.items():
                found = asyncio.run(_cpu_us(service, path, json.dumps(body).encode(), count))
                if number:  # the first round warms up
                    seen[way].append(found)
    ratios = [passed / typed for typed, passed in zip(seen["typed"], seen["passed"], strict=True)]
    medians = {f"{way} us": round(median(values), 1) for way, values in seen.items()}
    return {"kind": kind, **medians, "ratio": round(median(ratios), 3)}


def _typed() -> None:
    """`genai-spine`, which passes nothing on."""
    patched: Any = facade
    patched.passing_of = lambda *_: None
    sys.argv[0] = "genai-spine"
    runpy.run_module("genai_spine", run_name="__main__", alter_sys=True)


def main() -> None:
    if len(sys.argv) > 1 and not sys.argv[1].isdigit():
        _typed()
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for kind in KINDS:
        print(json.dumps(measured(kind, count)), flush=True)


if __name__ == "__main__":
    main()

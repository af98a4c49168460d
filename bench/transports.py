"""OpenAI's paths by their three ways, in one run: transcoded by Envoy, by Envoy to the HTTP server, and to it
alone. CPU time of a call by process, and what each way adds to a direct call, one call at a time.

`python -m bench.transports [CALLS]`. Envoy transcodes what has a content coding, identity included, so that
one service is measured by all ways; its Lua filter takes that header off, which is in that way's figures.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from statistics import median
from time import perf_counter

from bench import load
from bench.processes import Running, address, cpu_s, process, stack
from bench.targets import Rest

ROUNDS = 5
WORKERS = 16
ALONE = 200  # calls of one caller in a round
STREAMS = 40  # paced streams at a time


async def _cpu_us(service: Running, way: Rest, count: int) -> dict[str, float]:
    """Calls a second, and microseconds of CPU that one costs the server and Envoy."""
    server, envoy, began = cpu_s(service.server_pid), cpu_s(service.envoy_pid), perf_counter()
    await load.rate(way.unary, count, WORKERS)
    seconds = perf_counter() - began
    return {
        "calls/s": count / seconds,
        "server us": (cpu_s(service.server_pid) - server) / count * 1e6,
        "envoy us": (cpu_s(service.envoy_pid) - envoy) / count * 1e6,
    }


async def _chunk_us(service: Running, way: Rest) -> dict[str, float]:
    """Microseconds of CPU of one chunk of 40 paced streams."""
    server, envoy = cpu_s(service.server_pid), cpu_s(service.envoy_pid)

    async def one() -> int:
        return sum([len(payloads) async for payloads in way.events()])

    count = sum(await asyncio.gather(*(one() for _ in range(STREAMS))))
    return {
        "server us/chunk": (cpu_s(service.server_pid) - server) / count * 1e6,
        "envoy us/chunk": (cpu_s(service.envoy_pid) - envoy) / count * 1e6,
    }


def _ways(service: Running) -> dict[str, Rest]:
    alone = service.said["http_servers"][0]  # type: ignore[index]
    return {
        "transcoded": Rest(address(service), headers={"content-encoding": "identity"}),
        "Envoy to HTTP": Rest(address(service)),
        "HTTP alone": Rest(str(alone)),
    }


def _medians(seen: Mapping[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        way: {name: round(median([one[name] for one in rounds]), 2) for name in rounds[0]}
        for way, rounds in seen.items()
    }


async def _unary(mock: Running, service: Running, count: int) -> dict[str, dict[str, float]]:
    direct, ways = Rest(address(mock)), _ways(service)
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            found = await _cpu_us(service, way, count)
            base = await load.alone_ms(direct.unary, ALONE)
            found["added p50 ms"] = await load.alone_ms(way.unary, ALONE) - base
            if number:  # the first round warms up
                seen[name].append(found)
    return _medians(seen)


async def _paced(service: Running) -> dict[str, dict[str, float]]:
    ways = _ways(service)
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(4):
        for name, way in ways.items():
            found = await _chunk_us(service, way)
            if number:
                seen[name].append(found)
    return _medians(seen)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for arguments in ((), ("--interval-ms", "20")):
        with (
            process("tests.upstreams.openai", "--fast", "--port", "0", *arguments) as mock,
            stack(f"http://{address(mock)}") as service,
        ):
            found = asyncio.run(_paced(service) if arguments else _unary(mock, service, count))
        for name, values in found.items():
            print(json.dumps({"way": name, **values}))


if __name__ == "__main__":
    main()

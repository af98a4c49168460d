"""Compares the speed of two checkouts, a row as new/old, so turned that less than 1 is slower.

Both servers run at the same time, each with its own Envoy and ledger, in front of the same mocks. This
checkout's load generator measures them in short slices: old, new, new, old, and the other way round in the
next round; a round's value is the median of its slices, and each round has servers of its own. Exit status 1:
a row is slower. Growth of memory over many calls and the adapter for Responses-only models are not compared.
Where models are free, neither waits for the ledger before a call: the rest of the way is compared by itself,
and `python -m bench.bookkeeping` says what the ledger adds.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from time import monotonic

from bench import load
from bench.adapters import ADAPTERS, AWS
from bench.adapters import BASE as OPENAI
from bench.measures import MEASURES, PACED, Measure, Side, Values
from bench.paired import Row
from bench.processes import MODEL, Running, address, process, stack
from bench.targets import Rest, Typed

TURNS = ("old", "new", "new", "old")  # a machine that gets slower by and by hits both alike
PACED_ROW = "together"  # the provider whose mock pauses between two chunks; OpenAI's protocol
# Those whose mock is another than openai's; `responses` is a model of openai's.
OTHERS = [api for api in ADAPTERS if api not in (OPENAI, "responses")]


async def compared(
    trees: Mapping[str, Path], rounds: int, share: float, measures: list[str], *, free: bool = False
) -> list[Row]:
    """trees: "old" and "new"; share: of the slices of a round; free: no model costs anything."""
    rows: dict[str, Row] = {}
    began = monotonic()
    with _mocks() as mocks, _prices(free=free) as prices:
        settings = _settings(mocks) | prices
        for number in range(rounds):
            async with _sides(trees, mocks, settings) as sides:
                turns = TURNS if number % 2 == 0 else TURNS[::-1]
                for measure in map(MEASURES.__getitem__, measures):
                    found = await _sliced(measure, sides, turns * max(1, round(measure.slices * share / 2)))
                    for name in [name for name in found["new"] if name in found["old"]]:
                        rows.setdefault(name, Row(name)).add(found["old"][name], found["new"][name])
                    for name in found["old"].keys() ^ found["new"].keys():
                        print(f"left out, since only one side has it: {name}", file=sys.stderr)
            print(f"round {number + 1} of {rounds} done after {monotonic() - began:.0f} s", file=sys.stderr)
    return list(rows.values())


async def _sliced(measure: Measure, sides: Mapping[str, Side], turns: tuple[str, ...]) -> dict[str, Values]:
    """Median of each row over the slices of each side."""
    slices: dict[str, list[Values]] = {which: [] for which in sides}
    for which in turns:
        slices[which].append(await measure.run(sides[which]))
    return {
        which: {name: median(values[name] for values in measured) for name in measured[0]}
        for which, measured in slices.items()
    }


@contextmanager
def _mocks() -> Iterator[dict[str, Running]]:
    """By the name of the API; PACED is openai's with pauses."""
    fast = ("tests.upstreams.openai", "--fast", "--port", "0")
    with ExitStack() as running:
        mocks = {
            OPENAI: running.enter_context(process(*fast)),
            PACED: running.enter_context(process(*fast, "--interval-ms", "2")),
        }
        for api in OTHERS:
            mocks[api] = running.enter_context(process("tests.upstreams.fast", "--api", api))
        yield mocks


@asynccontextmanager
async def _sides(
    trees: Mapping[str, Path], mocks: Mapping[str, Running], settings: Mapping[str, str]
) -> AsyncIterator[dict[str, Side]]:
    async with AsyncExitStack() as running:
        url = f"http://{address(mocks[OPENAI])}"
        starts = (
            asyncio.to_thread(running.enter_context, stack(url, tree, settings)) for tree in trees.values()
        )
        # Both have ended their start before one's failure ends the other.
        services = await asyncio.gather(*starts, return_exceptions=True)
        sides = {}
        for (which, tree), service in zip(trees.items(), services, strict=True):
            if isinstance(service, BaseException):
                raise service
            sides[which] = side = _side(tree, service, mocks)
            running.push_async_callback(side.close)
        for side in sides.values():
            await _warm(side)
        yield sides


def _settings(mocks: Mapping[str, Running]) -> dict[str, str]:
    """Of a server that can ask all the mocks."""
    own = f"GENAI_{PACED_ROW.upper()}_"
    settings = {**AWS, f"{own}BASE_URL": f"http://{address(mocks[PACED])}/v1", f"{own}API_KEY": "bench"}
    for api in OTHERS:
        row, path, further, _ = ADAPTERS[api]
        own = f"GENAI_{row.upper()}_"
        settings[f"{own}BASE_URL"] = f"http://{address(mocks[api])}{path}"
        if row != "bedrock":  # its requests are signed
            settings[f"{own}API_KEY"] = "bench"
        settings |= {f"{own}{name.upper()}": value for name, value in further.items()}
    return settings


@contextmanager
def _prices(*, free: bool) -> Iterator[dict[str, str]]:
    """Settings of prices: as listed, or all models cost nothing."""
    if not free:
        yield {}
        return
    models = {(OPENAI, MODEL), (PACED_ROW, MODEL), *(ADAPTERS[api][::3] for api in OTHERS)}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        for provider, model in sorted(models):
            print(f"- {{provider: {provider}, model: '{model}', free: true}}", file=file, flush=True)
        yield {"GENAI_PRICE_OVERRIDES": file.name}


def _side(tree: Path, service: Running, mocks: Mapping[str, Running]) -> Side:
    models = {OPENAI: f"openai:{MODEL}", PACED: f"{PACED_ROW}:{MODEL}"}
    rest = {api: Rest(address(service), model) for api, model in models.items()}
    models |= {api: f"{ADAPTERS[api][0]}:{ADAPTERS[api][3]}" for api in OTHERS}
    server = str(service.said["servers"][0])  # type: ignore[index]
    return Side(
        tree=tree,
        pid=service.server_pid,
        typed={api: Typed(server, model) for api, model in models.items()},
        rest=rest,
        direct={api: Rest(address(mocks[api])) for api in rest},
    )


async def _warm(side: Side) -> None:
    for typed in side.typed.values():
        await typed.unary()
        await typed.stream()
    for rest in side.rest.values():
        await rest.first_s()
    await load.rate(side.typed[OPENAI].unary, 500)
    await load.rate(side.rest[OPENAI].unary, 300)

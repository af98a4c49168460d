"""The table of the README: ratios to a direct call, all measured in one run with the ledger on.

The yardstick (bench/bare.py) is a bare grpc.aio handler that forwards with aiohttp. The mock upstream,
the load generator, Envoy and the server share the machine, so read ratios and differences.
"""

import os
from collections.abc import Awaitable, Callable
from statistics import median

from bench import adapters, bookkeeping, load, prices, rag, routing, runs
from bench.processes import Running, address, process, rss_mib, stack
from bench.rows import Row, row
from bench.targets import PATH, Rest, Typed, Yardstick, text_of

PER_S = 50.0  # the modest rate
ROUNDS = 5


async def rates(bare: Yardstick, typed: Typed, rest: Rest, count: int) -> list[Row]:
    """Rounds of all three, one after the other, so that a slow moment of the machine hits them alike."""
    ways = {"bare": bare.unary, "grpc": typed.unary, "rest": rest.unary}
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, call in ways.items():
            measured = await load.rate(call, count)
            if number:  # the first round warms up
                seen[name].append(measured)
    middle = {name: median(values) for name, values in seen.items()}
    rows: list[Row] = [{"name": f"calls/s, {name}", "value": round(middle[name])} for name in ways]
    ratios = {
        name: median([got / base for got, base in zip(seen[name], seen["bare"], strict=True)])
        for name in ("grpc", "rest")
    }
    rows.append(row("unary over gRPC, of bare", ratios["grpc"], 0.6, least=True))
    rows.append(row("unary over REST, of bare", ratios["rest"], 0.5, least=True))
    return rows


async def delays(direct: Rest, ways: dict[str, Yardstick | Typed | Rest]) -> list[Row]:
    """Each way has its rounds in turn with the direct call, so that both meet the same machine."""
    added: dict[str, list[float]] = {name: [] for name in ways}
    bases: list[float] = []
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            base = await load.p50_ms(direct.unary, 60, PER_S)
            over = await load.p50_ms(way.unary, 60, PER_S)
            if number:
                bases.append(base)
                added[name].append(over - base)
    return [
        {"name": f"p50 of a direct call at {PER_S:g}/s, ms", "value": round(median(bases), 2)},
        {"name": "added p50 by bare, ms", "value": round(median(added["bare"]), 2)},
        row("added p50 over gRPC, ms", median(added["grpc"]), 2.5),
        row("added p50 over REST, ms", median(added["rest"]), 3.5),
    ]


async def streams(direct: Rest, typed: Typed, rest: Rest) -> list[Row]:
    """Paced streams of 200 chunks: what is added to the first one."""
    base = await load.first_ms(direct.first_s, 15)
    over_grpc = await load.first_ms(typed.first_s, 15)
    over_rest = await load.first_ms(rest.first_s, 15)
    return [
        row("added to the first of 200 chunks over gRPC, ms", over_grpc - base, 5),
        row("added to the first of 200 chunks over REST, ms", over_rest - base, 5),
    ]


async def bursts(direct: Rest, typed: Typed, rest: Rest) -> list[Row]:
    text, events = await text_of(direct)
    chunks = await typed.stream()
    said = "".join(delta.content for chunk in chunks for delta in chunk.choices)
    over_rest, _ = await text_of(rest)
    if not said == text == over_rest:
        raise RuntimeError("a burst lost text on its way")
    return [row(f"messages for a burst of {events} events", len(chunks), events / 2)]


async def memory(service: Running, typed: Typed, calls: int) -> list[Row]:
    """RSS of the server after a tenth of the calls, when its caches are full, and after all of them."""
    await load.rate(typed.unary, calls // 10)
    before = rss_mib(service.server_pid)
    await load.rate(typed.unary, calls - calls // 10)
    after = rss_mib(service.server_pid)
    return [
        {"name": f"RSS after {calls // 10} calls, MiB", "value": round(before, 1)},
        row(f"RSS growth to {calls} calls, MiB", after - before, 5),
    ]


async def booked() -> list[Row]:
    """What authentication, budget and ledger add to a call."""
    added = await bookkeeping.measured()
    name = "added p50 by key, budget and ledger, ms"
    return [
        row("CPU with key, budget and ledger, of without", added.cpu, bookkeeping.MOST_CPU),
        row(name, added.p50_ms, bookkeeping.MOST_ADDED_MS[added.database]),
        row("p99 of ledger commits at 1,000/s, ms", added.commit_p99_ms, bookkeeping.MOST_COMMIT_MS),
    ]


async def with_service(
    upstream: tuple[str, ...], measure: Callable[[Running, Running], Awaitable[list[Row]]]
) -> list[Row]:
    name = "GENAI_DATABASE_URL"  # another ledger than SQLite may be asked for
    settings = {name: os.environ[name]} if os.environ.get(name) else {}
    with (
        process("tests.upstreams.openai", "--fast", "--port", "0", *upstream) as mock,
        stack(f"http://{address(mock)}", settings=settings) as service,
    ):
        return await measure(mock, service)


async def run(count: int, calls: int) -> list[Row]:
    async def unary(mock: Running, service: Running) -> list[Row]:
        server = Typed(str(service.said["servers"][0]))  # type: ignore[index]
        direct, rest = Rest(address(mock)), Rest(address(service))
        with process("bench.bare", f"http://{address(mock)}{PATH}") as yardstick:
            rows = await rates(Yardstick(yardstick), server, rest, count)
            rows += await delays(direct, {"bare": Yardstick(yardstick), "grpc": server, "rest": rest})
        rows += await bursts(direct, server, rest)
        return rows + await memory(service, server, calls)

    async def paced(mock: Running, service: Running) -> list[Row]:
        server = Typed(str(service.said["servers"][0]))  # type: ignore[index]
        return await streams(Rest(address(mock)), server, Rest(address(service)))

    rows = await with_service((), unary)
    rows += await booked()
    rows += [row(name, us, 5) for name, us in prices.measured().items()]
    rows += [row(name, us, 30) for name, us in (await routing.measured()).items()]
    rows += [row(name, share, 0.8, least=True) for name, share in (await adapters.measured()).items()]
    rows += await with_service(("--interval-ms", "2"), paced)
    return rows + await runs.measured() + await rag.measured()

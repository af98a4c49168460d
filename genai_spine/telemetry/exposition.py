"""Exposition of the tallies of several processes as one text for Prometheus.

Each process writes its own to a file of a folder that they share, each second. Whichever is asked adds them
up: counters and histograms of processes that have ended, too, gauges only of those that live. A process that
is killed takes what it counted within its last second with it.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from genai_spine.telemetry import calls, pipelines, tallies
from genai_spine.telemetry.tallies import METRICS, Labels, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WRITE_S = 1.0
OWNERS = (calls, pipelines)  # modules whose import makes the metrics

log = structlog.get_logger()
Cells = dict[Labels, list[float]]
Snapshot = dict[str, list[tuple[list[str], list[float]]]]


class Exposition:
    """Metrics of this process and of those that share its folder. folder: None: of this one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._writer: asyncio.Task[None] | None = None
        self._written: bytes = b""
        self._writing = asyncio.Lock()

    def start(self) -> None:
        """Begins to write, where there is a folder."""
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._writer = asyncio.create_task(self._write_forever())

    async def stop(self) -> None:
        """Writes for the last time."""
        if self._writer is None:
            return
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        self._write(_own())

    async def text(self) -> bytes:
        """All metrics in the text format of Prometheus, version 0.0.4."""
        own = (
            await self._flush()
        )  # what was shown once, whichever process is asked next knows: no count falls
        return await asyncio.to_thread(self._text, own)

    def _text(self, own: bytes) -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Summed([own, *self._others()]))
        return generate_latest(registry)

    def _others(self) -> Iterator[bytes]:
        if self._folder is None:
            return
        for path in sorted(self._folder.glob("*.json")):
            if path.stem == str(os.getpid()):
                continue
            with suppress(OSError):
                yield path.read_bytes() if _lives(path.stem) else _without_gauges(path.read_bytes())

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(WRITE_S)
            with suppress(OSError):  # the supervisor that owned the folder has ended
                await self._flush()

    async def _flush(self) -> bytes:
        """This process's own metrics, once they are written."""
        async with self._writing:
            own = _own()
            await asyncio.to_thread(self._write, own)
            return own

    def _write(self, data: bytes) -> None:
        if self._folder is None or data == self._written:
            return
        path = self._folder / f"{os.getpid()}.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.replace(path)
        self._written = data


class _Summed:
    """Collector of snapshots that are added up."""

    def __init__(self, snapshots: Iterable[bytes]) -> None:
        self._snapshots = list(snapshots)

    def collect(self) -> Iterator[Family]:
        """Families of all metrics that this program has."""
        found = [msgspec.json.decode(data, type=Snapshot) for data in self._snapshots]
        sums = {name: _sum(metric, found) for name, metric in METRICS.items()}
        for name, metric in METRICS.items():
            yield _family(metric, sums[name])
        yield from _derived(sums)


def _own() -> bytes:
    snapshot: Snapshot = {
        name: [(list(labels), tally.cells) for labels, tally in metric.children.items()]
        for name, metric in METRICS.items()
        if metric.children
    }
    return msgspec.json.encode(snapshot)


def _without_gauges(data: bytes) -> bytes:
    snapshot = msgspec.json.decode(data, type=Snapshot)
    return msgspec.json.encode(
        {name: rows for name, rows in snapshot.items() if name in METRICS and METRICS[name].kind != "gauge"}
    )


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (OSError, ValueError):
        return False
    return True


def _sum(metric: Metric, snapshots: Iterable[Snapshot]) -> Cells:
    """Cells by labels. Those of another version, whose buckets differ, are left out."""
    sums: Cells = {}
    for snapshot in snapshots:
        for names, cells in snapshot.get(metric.name, ()):
            known = sums.setdefault(tuple(names), [0.0] * len(cells))
            if len(known) == len(cells) and len(names) == len(metric.labels):
                known[:] = [one + other for one, other in zip(known, cells, strict=True)]
    return sums


def _family(metric: Metric, sums: Cells) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, cells in sums.items():
            histogram.add_metric(list(labels), buckets=_buckets(metric, cells), sum_value=cells[-1])
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, cells in sums.items():
        family.add_metric(list(labels), cells[0])
    return family


def _buckets(metric: Metric, cells: list[float]) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound."""
    found, count = [], 0.0
    for bound, cell in zip([*map(str, metric.bounds), "+Inf"], cells[:-1], strict=True):
        count += cell
        found.append((bound, count))
    return found


def _derived(sums: Mapping[str, Cells]) -> Iterator[Family]:
    """Gauges that follow from the others."""
    requests, failed = (
        _by_provider(sums["ai_provider_requests_total"]),
        _by_provider(sums["ai_provider_errors_total"]),
    )
    rate = GaugeMetricFamily("ai_provider_error_rate", "Share of calls that failed.", labels=["provider"])
    for provider, count in requests.items():
        rate.add_metric([provider], failed.get(provider, 0.0) / count)
    yield rate
    slowest = GaugeMetricFamily(
        "ai_provider_latency_p99_seconds",
        "Upper bound of the bucket that holds the 99th percentile of latencies.",
        labels=["provider", "capability"],
    )
    for labels, cells in sums["ai_provider_latency_seconds"].items():
        slowest.add_metric(list(labels), _percentile(cells, 0.99, tallies.LATENCY_S))
    yield slowest
    total, bad = sum(requests.values()), sum(failed.values())
    availability = GaugeMetricFamily("ai_sli_availability", "Share of calls of providers that succeeded.")
    if total:
        availability.add_metric([], 1.0 - bad / total)
    yield availability


def _by_provider(cells: Cells) -> dict[str, float]:
    found: dict[str, float] = {}
    for labels, values in cells.items():
        found[labels[0]] = found.get(labels[0], 0.0) + values[0]
    return found


def _percentile(cells: list[float], share: float, bounds: tuple[float, ...]) -> float:
    wanted, count = share * sum(cells[:-1]), 0.0
    for bound, cell in zip(bounds, cells, strict=False):
        count += cell
        if count >= wanted:
            return bound
    return float("inf")

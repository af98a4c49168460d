"""Tallies: counters, histograms and gauges of this process, as cheap as a dictionary and an addition.

A name and its labels are those of Prometheus. Labels are bounded: behind MAX_CHILDREN combinations of a
metric the next ones are counted together, under the label `other`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

MAX_CHILDREN = 1000
MAX_LABEL_CHARS = 100
OTHER = "other"
DURATION_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
LATENCY_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COST_USD = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
TOKENS = (10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10_000.0, 50_000.0)
COUNTS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)

Labels = tuple[str, ...]


@dataclass(slots=True)
class Sample:
    """Values of one combination of labels. cells: one number, or one a bucket and the sum behind them."""

    bounds: Sequence[float]
    cells: list[float]

    def add(self, amount: float = 1.0) -> None:
        """Adds to a counter or a gauge; of a gauge an amount may be negative."""
        self.cells[0] += amount

    def observe(self, value: float) -> None:
        """Puts a value into its bucket."""
        self.cells[bisect_left(self.bounds, value)] += 1.0
        self.cells[-1] += value


@dataclass(slots=True)
class Metric:
    """One metric with its children. bounds: upper ones of a histogram's buckets."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    labels: Labels
    bounds: Sequence[float] = ()
    children: dict[Labels, Sample] = field(default_factory=dict)

    def of(self, *labels: str) -> Sample:
        """Sample of labels, in their order; keep it where it is needed often."""
        found = self.children.get(labels)
        return self._made(labels) if found is None else found

    def _made(self, labels: Labels) -> Sample:
        kept = tuple(one[:MAX_LABEL_CHARS] for one in labels)
        if kept not in self.children and len(self.children) >= MAX_CHILDREN:
            kept = (OTHER,) * len(labels)
        return self.children.setdefault(kept, Sample(self.bounds, [0.0] * self._size))

    @property
    def _size(self) -> int:
        return len(self.bounds) + 2 if self.kind == "histogram" else 1  # the bucket to infinity, and the sum


METRICS: dict[str, Metric] = {}


def counter(name: str, help: str, *labels: str) -> Metric:
    """Counter; its name ends with _total."""
    return _registered(Metric(name, "counter", help, labels))


def gauge(name: str, help: str, *labels: str) -> Metric:
    """Gauge, whose value is the sum over the processes that live."""
    return _registered(Metric(name, "gauge", help, labels))


def histogram(name: str, help: str, bounds: Sequence[float], *labels: str) -> Metric:
    """Histogram with these upper bounds of its buckets, and one to infinity."""
    return _registered(Metric(name, "histogram", help, labels, bounds))


def _registered(metric: Metric) -> Metric:
    assert metric.name not in METRICS, metric.name
    METRICS[metric.name] = metric
    return metric

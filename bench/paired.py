"""Ratios of rounds in which both sides were measured, and the interval that their mean lies in."""

from dataclasses import dataclass, field
from math import exp, log, sqrt
from statistics import fmean, median, stdev
from typing import Any

SLOWER = 0.97  # a row is slower where its whole interval lies below
# Student's t for a two-sided interval of 90 %, by degrees of freedom from 1 on; more rounds take the last.
T90 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761)


@dataclass(slots=True)
class Row:
    """One measure of both sides, a value of each round."""

    name: str
    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)

    def add(self, old: float, new: float) -> None:
        self.old.append(old)
        self.new.append(new)

    @property
    def ratios(self) -> list[float]:
        """Less than 1 is slower, or more memory. Rates end in /s; of all else less is better."""
        pairs = zip(self.old, self.new, strict=True)
        return [new / old if self.name.endswith("/s") else old / new for old, new in pairs]

    @property
    def interval(self) -> tuple[float, float, float]:
        """Low end, mean, high end of the ratios, from their logarithms; with one round there are no ends."""
        logs = [log(ratio) for ratio in self.ratios]
        mean = fmean(logs)
        if len(logs) < 2:
            return 0.0, exp(mean), float("inf")
        reach = T90[min(len(logs) - 1, len(T90)) - 1] * stdev(logs) / sqrt(len(logs))
        return exp(mean - reach), exp(mean), exp(mean + reach)

    @property
    def verdict(self) -> str:
        low, _, high = self.interval
        if high < SLOWER:
            return "slower"
        return "faster" if low > 1 / SLOWER else ""

    def as_json(self) -> dict[str, Any]:
        low, mean, high = self.interval
        return {
            "name": self.name,
            "old": self.old,
            "new": self.new,
            "ratio": mean,
            "low": low,
            "high": high,
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        low, mean, high = self.interval
        values = f"{median(self.old):>10.4g}{median(self.new):>10.4g}"
        return f"{self.name:<48}{values}{mean:>9.3f}  {low:.3f} to {high:.3f}  {self.verdict}".rstrip()


def printed(rows: list[Row]) -> str:
    return "\n".join([f"{'':<48}{'old':>10}{'new':>10}{'ratio':>9}  90 % interval", *map(str, rows)])

"""Scale of reasoning effort: none, minimal, low, medium, high, xhigh, max, for all models."""

from collections.abc import Sequence
from typing import cast

from genai_spine.v1 import completion_service_pb2 as pb

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Levels by the budgets of thinking that they stand for, in tokens.
BUDGET_LEVELS = (
    ("low", 4096),
    ("medium", 12_288),
    ("high", 24_576),
    ("xhigh", 49_152),
    ("max", 2**32),
)


def level_of(effort: pb.ReasoningEffort) -> str:
    """Level of a number of the contract."""
    return pb.ReasoningEffort.Name(effort).removeprefix("REASONING_EFFORT_").lower()


def number_of(level: str) -> pb.ReasoningEffort:
    """Number of the contract for a level."""
    return cast("pb.ReasoningEffort", pb.ReasoningEffort.Value(f"REASONING_EFFORT_{level.upper()}"))


def nearest(level: str, levels: Sequence[str]) -> str:
    """Nearest of the levels, the smaller one of two.

    Who asks for some reasoning gets some, where the model has any.
    """
    some = [name for name in levels if name != "none"]
    among = levels if level == "none" or not some else some
    place = LEVELS.index(level)
    return min(among, key=lambda name: (abs(LEVELS.index(name) - place), LEVELS.index(name)))

"""Packing of texts into groups that fit a token budget."""

from collections.abc import Iterable

from genai_spine.text.chunking import TokenBudget

SEPARATOR = "\n\n"
SEPARATOR_TOKENS = 2  # tokens of what stands between two texts


def grouped(texts: Iterable[str], budget: TokenBudget, least: int = 1) -> list[list[str]]:
    """Groups of texts in their order.

    least: texts of a group even where the budget is exceeded, so that every reduce step makes progress.
    """
    groups: list[list[str]] = []
    used = 0
    for text in texts:
        size = budget.measure.count(text) + SEPARATOR_TOKENS
        if groups and (len(groups[-1]) < least or used + size <= budget.tokens):
            groups[-1].append(text)
            used += size
        else:
            groups.append([text])
            used = size
    return groups

"""Provider of a torture: OpenAI's simulator, which answers each item by its number and keeps its own bill."""

import random
import re
from collections import Counter

from bench.ledger_torture.upstream import INPUT, OUTPUT
from tests.upstreams.bill import Entry
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply

MARK = re.compile(r"\[item (\d+)\]")
MAX_DELAY_S = 0.25


class ItemUpstream(OpenAIUpstream):
    """Simulator whose answers say which item they are for. Delays are those of the seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.seen: set[int] = set()  # items that were sent at least once
        self.release()

    def hold(self) -> None:
        """Answers no call until release()."""
        self._released.clear()

    def choose(self, entry: Entry) -> Reply:
        """Reply to a call by its mark."""
        number = number_of(entry)
        self.seen.add(number)
        drawn = random.Random(f"{self.seed}.{number}")
        words = [answer(number), *(f" word{place}" for place in range(drawn.randrange(1, 12)))]
        return Reply(words, first_delay_s=drawn.uniform(0.01, MAX_DELAY_S), is_held=True)

    @property
    def sends(self) -> Counter[int]:
        """How often each item was sent."""
        return Counter(map(number_of, self.bill.calls))


def prompt(number: int) -> str:
    """Prompt of an item."""
    return f"Say which item this is: [item {number}]" + " please" * (number % 7)


def answer(number: int) -> str:
    """Beginning of the answer to an item."""
    return f"This is item {number}."


def number_of(entry: Entry) -> int:
    """Item that an entry of the bill is for; -1: none."""
    found = MARK.search(entry.raw)
    return int(found[1]) if found else -1


def billed_ticks(entry: Entry) -> int:
    """Ticks that an entry costs."""
    return entry.prompt_tokens * INPUT + entry.completion_tokens * OUTPUT

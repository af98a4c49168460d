"""`python -m bench.prices`: microseconds to price a call, without any server."""

from collections.abc import Callable
from time import process_time

from genai_spine.billing.price_book import PriceBook
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import Execution

COUNT = 20_000
ROUNDS = 5


def measured() -> dict[str, float]:
    """The best of some rounds, in microseconds."""
    book = PriceBook.load()
    usage = usage_pb2.Usage(
        input_tokens=1200, uncached_input_tokens=200, cache_read_tokens=1000, output_tokens=300
    )
    call = Execution(provider="openai", model="gpt-4o", usage=usage)
    call.answered_model = "gpt-4o-2024-08-06"
    call.create_time.GetCurrentTime()
    return {
        "lookup of a price, us": _best(lambda: book.find("openai", "gpt-4o-2024-08-06")),
        "lookup and cost of a call, us": _best(lambda: book.rate(call)),
    }


def _best(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begun = process_time()
        for _ in range(COUNT):
            work()
        best = min(best, (process_time() - begun) / COUNT * 1e6)
    return best


if __name__ == "__main__":
    for name, us in measured().items():
        print(f"{name:<52}{us:>10.2f}")

"""Files of usage: CSV, and FOCUS 1.4 (FinOps Open Cost and Usage Specification), written piece by piece."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from genai_spine.billing.price_book import PriceBook
from genai_spine.costs import TICKS_PER_USD
from genai_spine.store.usage.sums import Key, Question, UsageSums
from genai_spine.store.usage.tables import BUCKETS, MEASURES
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Usage

PIECE_CHARS = 64_000
COMMON = ("project_id", "api_key_id", "provider", "model", "operation")
CSV_KEYS = ("day", *COMMON, "capability", "prompt_id", "user_id", "labels")
FOCUS_KEYS = ("day", *COMMON)
MANDATORY = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd"),
    *("ChargePeriodStart", "ContractedCost", "EffectiveCost", "HostProviderName", "InvoiceIssuerName"),
    *("ListCost", "PricingQuantity", "PricingUnit", "ServiceCategory", "ServiceName", "ServiceProviderName"),
)
FURTHER = (
    *("ChargeFrequency", "ConsumedQuantity", "ConsumedUnit", "PricingCategory", "ResourceId"),
    *("ResourceName", "ResourceType", "ServiceSubcategory", "SkuId", "SkuMeter", "SubAccountId"),
    *("SubAccountName", "x_ApiKeyId", "x_Operation", "x_CostTicks", "x_CostEstimatedTicks"),
)
FOCUS = MANDATORY + FURTHER
METERS = {
    "uncached_input_tokens": "Input Tokens",
    "cache_read_tokens": "Cached Input Tokens",
    "cache_write_5m_tokens": "Cache Write Tokens (5 minutes)",
    "cache_write_1h_tokens": "Cache Write Tokens (1 hour)",
    "audio_input_tokens": "Audio Input Tokens",
    "image_input_tokens": "Image Input Tokens",
    "visible_output_tokens": "Output Tokens",
    "reasoning_tokens": "Reasoning Tokens",
    "audio_output_tokens": "Audio Output Tokens",
}
# A price needs no more than 10^10 tokens to be seen exactly, and a row of the ledger holds 32 bits.
SAMPLE_TOKENS = 1_000_000
# A reader of CSV that is a spreadsheet would run what begins so.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
Row = Mapping[str, Any]


async def csv_pieces(sums: UsageSums, question: Question) -> AsyncGenerator[str]:
    """CSV of a line for each day and all that its calls have in common; the first line names the columns."""
    names = ["date", *CSV_KEYS[1:], *MEASURES, "cost_usd"]

    async def rows() -> AsyncIterator[Row]:
        async for key, found in sums.stream(question, *CSV_KEYS):
            usd = _usd(found["cost_ticks"])
            yield {**dict(zip(names, key, strict=False)), **found, "cost_usd": usd}

    async for piece in _pieces(names, rows()):
        yield piece


async def focus_pieces(sums: UsageSums, book: PriceBook, question: Question) -> AsyncGenerator[str]:
    """FOCUS of a line for each day, project, key, model, operation and kind of token.

    The costs of the lines add up to the ticks of the ledger: they are shared out among the kinds of tokens
    as the price book weighs these.
    """
    lines = _FocusLines(book, question.tenant)

    async def rows() -> AsyncIterator[Row]:
        async for key, found in sums.stream(question, *FOCUS_KEYS):
            for row in lines.of(key, found):
                yield row

    async for piece in _pieces(FOCUS, rows()):
        yield piece


async def _pieces(names: Sequence[str], rows: AsyncIterator[Row]) -> AsyncGenerator[str]:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    async for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.items()})
        if text.tell() > PIECE_CHARS:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _usd(ticks: int) -> str:
    """Exact US dollars."""
    return f"{Decimal(ticks) / TICKS_PER_USD:f}"


class _FocusLines:
    """Lines of FOCUS for sums of the ledger."""

    def __init__(self, book: PriceBook, tenant: str) -> None:
        self._book = book
        self._tenant = tenant
        self._weights: dict[tuple[str, str], dict[str, int]] = {}

    def of(self, key: Key, sums: Mapping[str, int]) -> Iterable[Row]:
        """Lines of one day's calls that have these things in common."""
        day, project, api_key, provider, model, operation = key
        used = {name: sums[name] for name in BUCKETS if sums[name]}
        if not used:
            used = {"request_count": sums["request_count"]}
        weights = self._weights_of(provider, model)
        shares = [weights.get(name, 0) * count for name, count in used.items()]
        shares = shares if any(shares) else list(used.values())
        costs = shared_out(sums["cost_ticks"], shares)
        estimated = shared_out(sums["estimated_ticks"], shares)
        start = date.fromisoformat(day)
        fixed = {
            "BillingAccountId": self._tenant,
            "BillingAccountName": self._tenant,
            "BillingCurrency": "USD",
            "BillingPeriodStart": _time(start.replace(day=1)),
            "BillingPeriodEnd": _time((start.replace(day=1) + timedelta(days=32)).replace(day=1)),
            "ChargeCategory": "Usage",
            "ChargeClass": "",
            "ChargePeriodStart": _time(start),
            "ChargePeriodEnd": _time(start + timedelta(days=1)),
            "HostProviderName": provider,
            "InvoiceIssuerName": provider,
            "ServiceCategory": "AI and Machine Learning",
            "ServiceSubcategory": "Generative AI",
            "ServiceName": provider,
            "ServiceProviderName": provider,
            "ChargeFrequency": "Usage-Based",
            "PricingCategory": "Standard",
            "ResourceId": f"{provider}:{model}",
            "ResourceName": model,
            "ResourceType": "Model",
            "SubAccountId": project,
            "SubAccountName": project,
            "x_ApiKeyId": api_key,
            "x_Operation": operation,
        }
        for (name, count), ticks, unsure in zip(used.items(), costs, estimated, strict=True):
            usd = _usd(ticks)
            tokens = name != "request_count"
            meter = METERS.get(name, "Requests")
            yield fixed | {
                **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), usd),
                "ChargeDescription": f"{meter} of {model}",
                "ConsumedQuantity": str(count),
                "ConsumedUnit": "Tokens" if tokens else "Requests",
                "PricingQuantity": f"{Decimal(count) / (1_000_000 if tokens else 1):f}",
                "PricingUnit": "1000000 Tokens" if tokens else "Requests",
                "SkuId": f"{provider}:{model}:{name}",
                "SkuMeter": meter,
                "x_CostTicks": str(ticks),
                "x_CostEstimatedTicks": str(unsure),
            }

    def _weights_of(self, provider: str, model: str) -> dict[str, int]:
        """Price of each kind of token by the book, in ticks; empty: it has none."""
        known = self._weights.get((provider, model))
        if known is None:
            known = {name: self._price(provider, model, name) for name in BUCKETS}
            self._weights[provider, model] = known
        return known

    def _price(self, provider: str, model: str, bucket: str) -> int:
        total = "output_tokens" if bucket in BUCKETS[6:] else "input_tokens"
        usage = Usage(total_tokens=SAMPLE_TOKENS)
        setattr(usage, bucket, SAMPLE_TOKENS)
        setattr(usage, total, SAMPLE_TOKENS)
        row = Execution(provider=provider, model=model, usage=usage)
        row.create_time.GetCurrentTime()
        return self._book.rate(row).cost_ticks


def shared_out(total: int, shares: Sequence[int]) -> list[int]:
    """Whole parts of a total in proportion to the shares; what rounding leaves goes to the largest."""
    whole = sum(shares)
    parts = [total * share // whole for share in shares] if whole else [0] * len(shares)
    parts[max(range(len(shares)), key=shares.__getitem__)] += total - sum(parts)
    return parts


def _time(day: date) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Bills of providers, read: OpenAI's usage and costs, Anthropic's usage and cost report, and a CSV.

Shapes: https://platform.openai.com/docs/api-reference/usage and
https://docs.anthropic.com/en/api/admin-api/usage-cost, as a search index had them on 2026-11-29, which may be
older than the pages; no bill of a real account was held against them. A file holds one page of such an
answer, or a list of pages; usage and costs of the same days may come as two files.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from genai_spine.costs import TICKS_PER_USD

CENTS_PER_USD = 100  # Anthropic's amounts are cents
CSV_COLUMNS = ("date", "model", "requests", "input_tokens", "cached_tokens", "output_tokens", "cost_usd")


class BillError(ValueError):
    """The file is no bill that is known here; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of a bill. Unset numbers are not said by it."""

    provider: str
    day: str  # YYYY-MM-DD, UTC
    model: str
    requests: int | None = None
    input_tokens: int | None = None  # with what was cached
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int | None = None
    ticks: int | None = None
    tier: str = ""
    api_key: str = ""  # by the provider's id


def read_bill(text: str, provider: str | None = None) -> list[BillLine]:
    """Lines of a bill. provider: whose a CSV is. Errors: BillError."""
    try:
        if not text.lstrip().startswith(("{", "[")):
            return list(_csv(text, provider))
        whole = json.loads(text)
        pages = whole if isinstance(whole, list) else [whole]
        return [line for page in pages for bucket in page["data"] for line in _bucket(bucket)]
    except BillError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise BillError(f"this is no bill that is known here: {type(error).__name__} {error}") from error


def _bucket(bucket: dict[str, Any]) -> Iterator[BillLine]:
    if "starting_at" in bucket:
        day = datetime.fromisoformat(bucket["starting_at"].replace("Z", "+00:00")).astimezone(UTC)
        make = _anthropic
    else:
        day = datetime.fromtimestamp(bucket["start_time"], UTC)
        make = _openai
    results: Iterable[dict[str, Any]] = bucket["results"]
    for result in results:
        yield make(day.date().isoformat(), result)


def _openai(day: str, result: dict[str, Any]) -> BillLine:
    """Line of a usage or a costs page; a line item is the model, a comma and what is sold."""
    api_key = result.get("api_key_id") or ""
    if "amount" in result:
        amount = result["amount"]
        _check_currency(amount["currency"])
        model = (result.get("line_item") or "").partition(",")[0].strip()
        return BillLine("openai", day, model, ticks=_ticks(amount["value"]), api_key=api_key)
    if result.get("model") is None:
        raise BillError("usage is not by model; ask for it with group_by=model")
    return BillLine(
        provider="openai",
        day=day,
        model=result["model"],
        requests=int(result["num_model_requests"]),
        input_tokens=int(result["input_tokens"]),
        cache_read_tokens=int(result.get("input_cached_tokens") or 0),
        output_tokens=int(result["output_tokens"]),
        tier="batch" if result.get("batch") else _tier(result),
        api_key=api_key,
    )


def _anthropic(day: str, result: dict[str, Any]) -> BillLine:
    """Line of a usage or a cost report; the former counts no requests."""
    if result.get("model") is None and result.get("cost_type", "tokens") == "tokens":
        raise BillError("the report is not by model; ask for it with group_by[]=model or description")
    model, api_key = result.get("model") or "", result.get("api_key_id") or ""
    if "amount" in result:
        _check_currency(result["currency"])
        ticks = _ticks(Decimal(result["amount"]) / CENTS_PER_USD)
        return BillLine("anthropic", day, model, ticks=ticks, tier=_tier(result), api_key=api_key)
    created = result.get("cache_creation") or {}
    written = sum(int(created.get(f"ephemeral_{age}_input_tokens") or 0) for age in ("5m", "1h"))
    read = int(result.get("cache_read_input_tokens") or 0)
    return BillLine(
        provider="anthropic",
        day=day,
        model=model,
        input_tokens=int(result["uncached_input_tokens"]) + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=int(result["output_tokens"]),
        tier=_tier(result),
        api_key=api_key,
    )


def _csv(text: str, provider: str | None) -> Iterator[BillLine]:
    """Lines of a CSV with CSV_COLUMNS, of which an empty cell is not said, and perhaps service_tier, provider
    and api_key_id.
    """
    rows = csv.DictReader(io.StringIO(text))
    if missing := set(CSV_COLUMNS) - set(rows.fieldnames or ()):
        raise BillError(f"the CSV has no column {', '.join(sorted(missing))}")
    for row in rows:
        whose = row.get("provider") or provider
        if not whose:
            raise BillError("the CSV has no column provider; say --provider")
        yield BillLine(
            provider=whose,
            day=date.fromisoformat(row["date"]).isoformat(),
            model=row["model"],
            requests=_number(row["requests"]),
            input_tokens=_number(row["input_tokens"]),
            cache_read_tokens=_number(row["cached_tokens"]) or 0,
            output_tokens=_number(row["output_tokens"]),
            ticks=_ticks(row["cost_usd"]) if row["cost_usd"] else None,
            tier=_tier(row),
            api_key=row.get("api_key_id") or "",
        )


def _tier(result: dict[str, Any]) -> str:
    """Service tier; the plain one is none."""
    tier = result.get("service_tier") or ""
    return "" if tier in ("default", "standard", "auto") else tier


def _number(text: str) -> int | None:
    return int(text) if text else None


def _ticks(usd: Any) -> int:
    return round(Decimal(str(usd)) * TICKS_PER_USD)


def _check_currency(currency: str) -> None:
    if currency.upper() != "USD":
        raise BillError(f"amounts are in {currency}, and only USD can be compared")

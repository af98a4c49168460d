"""Settings of what calls cost: prices and reserves."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class Spending(BaseModel):
    """Prices of calls, and what is reserved for them."""

    price_overrides: Path | None = Field(None, description="YAML file of prices that win over the book.")
    reserve_max_tokens: int = Field(
        4096,
        ge=1,
        le=1_000_000,
        description="Tokens reserved for an answer without a limit; its limit where a budget blocks.",
    )
    budget_unknown_price: Literal["refuse", "allow"] = Field(
        "refuse", description="Calls without a known price, where a budget blocks."
    )

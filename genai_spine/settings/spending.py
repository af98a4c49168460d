"""Settings of what calls cost: prices."""

from pathlib import Path

from pydantic import BaseModel, Field


class Spending(BaseModel):
    """Prices of calls."""

    price_overrides: Path | None = Field(None, description="YAML file of prices that win over the book.")

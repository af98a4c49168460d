"""Settings of what calls cost and may cost: prices, reserves, budgets, and who is told of them."""

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from genai_spine.costs import TICKS_PER_USD
from genai_spine.security.webhook_signature import secret_bytes

MAX_LIMIT_USD = 90_000_000
ACTIONS = {"warn": "warn", "block": "hard_block", "fallback": "fallback"}  # to the policies that they are


class Spending(BaseModel):
    """Prices of calls, what is reserved for them, and what a tenant without a budget may spend."""

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
    budget_daily: Decimal | None = Field(
        None,
        ge=0,
        le=MAX_LIMIT_USD,
        description="US dollars that each tenant without a budget of its own may spend a day. Unset: no "
        "limit. Older name: `GENAI_COST_BUDGET_DAILY`.",
    )
    budget_monthly: Decimal | None = Field(
        None,
        ge=0,
        le=MAX_LIMIT_USD,
        description="The same for a month. Older name: `AI_DEFAULT_MONTHLY_BUDGET_USD`.",
    )
    budget_policy: Literal["warn", "soft_block", "hard_block"] = Field(
        "soft_block",
        description="What becomes of calls for which these two have no room. Older name: `AI_BUDGET_POLICY`.",
    )
    budget_warn_daily: float = Field(
        0.8, ge=0.01, le=0.99, description="Part of the daily limit from which on a warning is given."
    )
    budget_warn_monthly: float = Field(
        0.9, ge=0.01, le=0.99, description="Part of the monthly limit from which on a warning is given."
    )
    budget_webhook_url: SecretStr | None = Field(
        None, description="Address that is told of warnings and of limits that were passed; https."
    )
    budget_webhook_secret: SecretStr | None = Field(
        None,
        description="Secret that these messages are signed with: `whsec_` and base64, or a text. Unset: they "
        "are not signed.",
    )
    budget_webhook_format: Literal["generic", "slack", "teams"] = Field(
        "generic",
        description="Form of these messages: `generic` is the event, `slack` is for an incoming webhook of "
        "Slack, `teams` for a workflow of Teams.",
    )
    budget_webhook_private: bool = Field(
        False, description="The webhook may be in a private network, or on this machine, and http is enough."
    )
    budget_action: Literal["warn", "block", "fallback"] | None = Field(
        None,
        description="In the place of `GENAI_BUDGET_POLICY`: `warn`, `block` (as `hard_block`) or `fallback`, "
        "which calls the cheapest candidate that fits.",
    )
    budget_counters_days: int = Field(
        400,
        ge=7,
        le=3650,
        description="Days that what was spent in a period of a budget is kept after its end, and of a period "
        "without an end after its budget was deleted.",
    )
    budget_alerts_days: int = Field(
        90,
        ge=32,
        le=3650,
        description="Days that alerts of budgets are kept which were delivered or given up.",
    )

    @property
    def default_policy(self) -> str:
        """Policy of the budgets of tenants without one of their own, as the contract names it."""
        action = self.budget_action
        return (self.budget_policy if action is None else ACTIONS[action]).upper()

    @field_validator("budget_webhook_secret")
    @classmethod
    def _readable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            secret_bytes(value.get_secret_value())
        return value

    @field_validator("budget_daily", "budget_monthly")
    @classmethod
    def _whole_ticks(cls, value: Decimal | None) -> Decimal | None:
        if value is not None and value * TICKS_PER_USD % 1:
            raise ValueError("has more than 10 decimals")
        return value

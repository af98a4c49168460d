"""Settings of the documentation of symbols; `WITHOUT_PREFIX` takes these also without GENAI_."""

from decimal import Decimal
from math import inf

from pydantic import BaseModel, Field

from genai_spine.symbols.question import JobRules


class Symbols(BaseModel):
    """Listener, model and limits of the documentation of symbols."""

    host: str | None = Field(
        None, description="Address of the listener for symbol documentation; unset: as `GENAI_API_HOST`."
    )
    port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Its port; existing callers use 8003. Unset: there is none. See docs/symbols.md.",
    )
    model_name: str = Field("gpt-5-nano", min_length=1, description="Model that documents symbols.")
    max_concurrent_requests: int = Field(
        10, ge=1, le=1000, description="Provider calls at a time, of one batch of symbols."
    )
    max_retries: int = Field(3, ge=1, le=100, description="Attempts at one symbol, the first one included.")
    retry_min_wait: float = Field(
        1.0, ge=0, lt=inf, description="Seconds between the first two attempts; doubled after each one more."
    )
    retry_max_wait: float = Field(60.0, ge=0, lt=inf, description="Seconds between two attempts at most.")
    max_prompt_tokens: int = Field(
        2000, ge=100, le=10_000_000, description="Tokens of the prompt about a symbol at most."
    )
    input_token_price: Decimal | None = Field(
        None,
        ge=0,
        description="US dollars for 1,000,000 input tokens of it; unset: the price book's.",
    )
    output_token_price: Decimal | None = Field(None, ge=0, description="The same for output tokens.")

    @property
    def symbols(self) -> JobRules:
        """Rules of symbol documentation jobs."""
        return JobRules(
            self.model_name,
            self.max_concurrent_requests,
            self.max_retries,
            self.retry_min_wait,
            self.retry_max_wait,
            self.max_prompt_tokens,
        )

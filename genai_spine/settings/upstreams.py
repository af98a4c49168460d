"""Settings of calls to providers: time limits, retries, circuit breakers, trust."""

from pathlib import Path

from pydantic import BaseModel, Field

from genai_spine.routing.circuit_breaker import UpstreamLimits


class Upstreams(BaseModel):
    """Calls of all providers; what is one provider's own is its Endpoint."""

    circuit_failures: int = Field(
        5, ge=0, description="Failed calls in a row that open a provider's circuit breaker; 0: never."
    )
    circuit_rest: float = Field(30.0, gt=0, description="Seconds that it stays open.")
    circuit_successes: int = Field(2, ge=1, description="Good trials after which it is back.")
    provider_retries: int = Field(3, ge=0, le=10, description="Attempts after the first, per request.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to connect to a provider.")
    token_timeout: float = Field(300.0, gt=0, description="Seconds of silence allowed inside a stream.")
    total_timeout: float | None = Field(
        None, gt=0, description="Seconds for a whole provider call; unset: no limit."
    )
    ca_file: Path | None = Field(
        None, description="PEM file of authorities to trust beside the system's, for all providers."
    )
    record: Path | None = Field(
        None, description="Folder to write all exchanges with providers to, for the provider `replay`."
    )

    @property
    def limits(self) -> UpstreamLimits:
        """Circuit breaker limits of every provider; the concurrency limit is its endpoint's."""
        return UpstreamLimits(self.circuit_failures, self.circuit_rest, self.circuit_successes)

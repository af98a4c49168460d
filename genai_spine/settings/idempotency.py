"""Settings of calls with an idempotency key."""

from pydantic import BaseModel, Field


class Idempotency(BaseModel):
    """How long outcomes and streams are kept, and calls without a listener."""

    idempotency_ttl_s: float = Field(
        86400.0, gt=0, le=31_536_000, description="Seconds that a call with an idempotency key is known."
    )
    resume_ttl_s: float = Field(
        3600.0,
        gt=0,
        le=31_536_000,
        description="Seconds that a stream with a key can be resumed.",
    )
    keyed_grace_s: float = Field(
        60.0,
        ge=0,
        le=86400,
        description="Seconds that a call with a key goes on without a caller.",
    )

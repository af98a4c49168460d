"""Settings of answers that are given again: the response cache, and calls with an idempotency key."""

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator


class Cache(BaseModel):
    """Answers that are given again."""

    cache_enabled: bool = Field(False, description="Answers are kept for requests that ask for it.")
    cache_ttl: float = Field(
        3600.0, gt=0, le=31_536_000, description="Seconds that an answer is kept at most."
    )
    cache_backend: Literal["memory", "database"] = Field(
        "memory", description="`memory` of each process, or `database` shared by all, with memory before it."
    )
    cache_memory_mb: int = Field(64, ge=1, le=65536, description="MiB of answers that a process keeps.")

    @field_validator("cache_backend", mode="before")
    @classmethod
    def _without_redis(cls, value: Any) -> Any:
        if isinstance(value, str) and value.lower() == "redis":
            raise ValueError("this version has no Redis; `database` is shared by all processes as well")
        return value


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

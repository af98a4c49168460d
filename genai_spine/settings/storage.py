"""Settings of what is stored, where, and for how long."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr


class Storage(BaseModel):
    """Database, leases and retention."""

    database_url: SecretStr | None = Field(
        None, description="`sqlite:///data/genai.db` or `postgresql://user:password@host/name`."
    )
    storage_backend: Literal["sqlite", "postgres", "postgresql", "memory"] = Field(
        "sqlite", description="Used when there is no DATABASE_URL."
    )
    sqlite_path: Path = Field(Path("data/genai_spine.db"), description="Used when there is no DATABASE_URL.")
    db_pool_min: int = Field(2, ge=0, description="Database connections kept open.")
    db_pool_max: int = Field(10, ge=1, description="Database connections at most.")
    lease_ttl: float = Field(10.0, gt=0, description="Seconds for which a server lives on without a sign.")
    ledger_ack: Literal["committed", "flushed"] = Field(
        "committed", description="When PostgreSQL has a call's row: committed, or flushed to the disk."
    )
    stored_completion_ttl: float = Field(
        86400.0, gt=0, le=31_536_000, description="Seconds that answers of `CONTINUE` requests are kept."
    )
    stored_completions_days: int = Field(
        30, ge=1, le=3650, description="Days that answers of requests with `store` are kept."
    )

    @property
    def database(self) -> str:
        """URL of the database; it may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        if self.storage_backend == "memory":
            return "sqlite://"
        if self.storage_backend != "sqlite":
            raise ValueError(f"GENAI_STORAGE_BACKEND={self.storage_backend} needs GENAI_DATABASE_URL")
        return f"sqlite:///{self.sqlite_path}"

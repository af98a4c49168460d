"""Settings of what is stored, where, and for how long."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from genai_spine.settings.notation import names


class Storage(BaseModel):
    """Database, leases and retention."""

    database_url: SecretStr | None = Field(
        None, description="`sqlite:///data/genai.db` or `postgresql://user:password@host/name`."
    )
    database_password: SecretStr | None = Field(
        None,
        description="Password for DATABASE_URL, where that has none: one that a secret store keeps apart.",
    )
    storage_backend: Literal["sqlite", "postgres", "postgresql", "memory"] = Field(
        "sqlite", description="Used when there is no DATABASE_URL."
    )
    sqlite_path: Path = Field(Path("data/genai_spine.db"), description="Used when there is no DATABASE_URL.")
    db_pool_min: int = Field(
        2, ge=0, description="Database connections kept open when there is little to do."
    )
    db_pool_max: int = Field(10, ge=1, description="Database connections at most.")
    lease_ttl: float = Field(10.0, gt=0, description="Seconds for which a server lives on without a sign.")
    ledger_ack: Literal["journaled", "committed", "flushed"] = Field(
        "committed",
        description="What an answer waits for: a journal's line, its row's commit, or PostgreSQL's flush.",
    )
    ledger_journal: Path = Field(
        Path("data/ledger"), description="Folder of journals that PostgreSQL's servers write, if `journaled`."
    )
    stored_completion_ttl: float = Field(
        86400.0, gt=0, le=31_536_000, description="Seconds that answers of `CONTINUE` requests are kept."
    )
    stored_completions_days: int = Field(
        30, ge=1, le=3650, description="Days that answers of requests with `store` are kept."
    )
    run_retention_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="Days that ended runs are kept, with their events and answers.",
    )
    request_log: Literal["off", "on"] = Field(
        "off", description="`on` keeps what is asked and answered, redacted: the default of all callers."
    )
    request_log_on: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Tenants, and keys as `key:ID`, whose calls are logged whatever the default is."
    )
    request_log_off: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Tenants and keys whose calls are not logged; a key's word goes before its tenant's."
    )
    request_log_days: int = Field(
        30, ge=1, le=3650, description="Days that entries of the request log are kept."
    )
    request_log_max_bytes: int = Field(
        65_536, ge=1024, le=1 << 20, description="Bytes of a request, and of an answer, in the request log."
    )
    request_log_patterns: tuple[str, ...] = Field(
        (),
        description="Regular expressions of what the request log redacts besides keys, as a JSON list: "
        '`["[0-9]{16}"]`.',
    )

    rag_matrix_mb: int = Field(
        512,
        ge=1,
        le=1_000_000,
        description="MiB of vectors that SQLite's collections have in memory, for each server process.",
    )

    @field_validator("request_log_on", "request_log_off", mode="before")
    @classmethod
    def _callers_apart(cls, value: Any) -> Any:
        return names(value)

    @field_validator("request_log_patterns")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return value

    @property
    def database(self) -> str:
        """URL of the database; it may hold a password."""
        if self.database_url is not None:
            return self._with_password(self.database_url.get_secret_value())
        if self.storage_backend == "memory":
            return "sqlite://"
        if self.storage_backend != "sqlite":
            raise ValueError(f"GENAI_STORAGE_BACKEND={self.storage_backend} needs GENAI_DATABASE_URL")
        return f"sqlite:///{self.sqlite_path}"

    def _with_password(self, url: str) -> str:
        if self.database_password is None:
            return url
        scheme, _, rest = url.partition("://")
        user, at, place = rest.rpartition("@")
        if not at or not user or ":" in user:
            problem = "names no user" if not at or not user else "has a password, too"
            raise ValueError(f"GENAI_DATABASE_PASSWORD is set, and GENAI_DATABASE_URL {problem}")
        return f"{scheme}://{user}:{quote(self.database_password.get_secret_value(), safe='')}@{place}"

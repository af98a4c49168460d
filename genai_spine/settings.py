"""Every setting, its unit and its default. Read from GENAI_ variables or .env, by cli and __main__ only.

`genai-spine doctor` shows what is in force; docs/configuration.md is made from this file.
"""

import json
import os
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from genai_spine.providers import PROVIDERS, Row
from genai_spine.providers.base import Endpoint, Timeouts

Lane = Literal["cpu", "gpu", "batch"]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="GENAI_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
        frozen=True,
    )

    api_host: str = Field("127.0.0.1", description="Address that Envoy listens on.")
    api_port: int = Field(8100, ge=0, le=65535, description="The one public port.")
    grpc_host: str = Field("127.0.0.1", description="Address that the gRPC server listens on, behind Envoy.")
    grpc_port: int = Field(50051, ge=0, le=65535, description="Port of the first server process.")
    envoy_admin_port: int = Field(0, ge=0, le=65535, description="Envoy's admin port on loopback; 0: any.")
    processes: int = Field(1, ge=1, le=256, description="Server processes, one port each.")
    lane: Lane = Field("cpu", description="Lane that this server serves.")
    auth: Literal["on", "off"] | None = Field(
        None, description="`off` allows listening beyond loopback without authentication."
    )
    debug: bool = Field(False, description="Log level DEBUG.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")
    default_provider: str = Field("ollama", description="Provider of a request that names none.")
    default_model: str | None = Field(
        None, description="Model of a request that names none; unset: the provider's own default."
    )
    model_aliases: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="Names for models: `fast=openai:gpt-4o-mini,local=ollama:llama3.2`, or JSON."
    )
    provider_retries: int = Field(3, ge=0, le=10, description="Attempts after the first, per request.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to connect to a provider.")
    token_timeout: float = Field(60.0, gt=0, description="Seconds of silence allowed inside a stream.")
    total_timeout: float | None = Field(
        None, gt=0, description="Seconds for a whole provider call; unset: no limit."
    )
    database_url: SecretStr | None = Field(
        None, description="`sqlite:///data/genai.db` or `postgresql://user:password@host/name`."
    )
    storage_backend: Literal["sqlite", "postgres", "postgresql", "memory"] = Field(
        "sqlite", description="Used when there is no DATABASE_URL."
    )
    sqlite_path: Path = Field(Path("data/genai_spine.db"), description="Used when there is no DATABASE_URL.")
    db_pool_min: int = Field(2, ge=0, description="Database connections kept open.")
    db_pool_max: int = Field(10, ge=1, description="Database connections at most.")
    lease_ttl: float = Field(15.0, gt=0, description="Seconds until a killed server's calls are settled.")
    price_overrides: Path | None = Field(None, description="YAML file of prices that win over the book.")
    drain_delay: float = Field(
        2.0, ge=0, description="Seconds in which Envoy hears of a stop, before connections are closed."
    )
    drain_timeout: float = Field(60.0, ge=0, description="Seconds that running calls get when it stops.")

    # Name of a provider to its endpoint: filled from GENAI_<PROVIDER>_API_KEY, _BASE_URL, ... below.
    endpoints: dict[str, Endpoint] = Field(default_factory=dict, exclude=True)

    @field_validator("model_aliases", mode="before")
    @classmethod
    def _aliases(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("{"):
            return json.loads(value)
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if any(not name.strip() or not model.strip() for name, _, model in pairs):
            raise ValueError("write it as name=provider:model,name=provider:model")
        return {name.strip(): model.strip() for name, _, model in pairs}

    @model_validator(mode="after")
    def _open_only_on_purpose(self) -> "Settings":
        if self.auth == "on":
            raise ValueError("GENAI_AUTH=on: this version has no authentication yet")
        for name in ("api_host", "grpc_host"):
            host = getattr(self, name)
            if host not in ("127.0.0.1", "::1", "localhost") and self.auth != "off":
                raise ValueError(
                    f"GENAI_{name.upper()}={host} listens beyond this machine without authentication; "
                    "set GENAI_AUTH=off if that is what you want"
                )
        return self

    @property
    def database(self) -> str:
        """The database's URL; it may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        if self.storage_backend == "memory":
            return "sqlite://"
        if self.storage_backend != "sqlite":
            raise ValueError(f"GENAI_STORAGE_BACKEND={self.storage_backend} needs GENAI_DATABASE_URL")
        return f"sqlite:///{self.sqlite_path}"


def load(**overrides: Any) -> Settings:
    """Settings of the environment; overrides are options of the command line, None where not given."""
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = Settings(**given)
    variables = {**_env_file(), **os.environ}
    endpoints = {
        name: endpoint
        for name, row in PROVIDERS.items()
        if (endpoint := _endpoint(name, row, variables, settings)) is not None
    }
    return settings.model_copy(update={"endpoints": endpoints})


def _env_file() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None}


def _endpoint(name: str, row: Row, variables: dict[str, str], settings: Settings) -> Endpoint | None:
    """None: not configured."""
    own = f"GENAI_{name.upper()}_"
    # The names without prefix are those that each provider's own tools read.
    key = variables.get(f"{own}API_KEY") or variables.get(f"{name.upper()}_API_KEY")
    own_url = variables.get(f"{own}BASE_URL") or variables.get(f"{own}URL")
    url = own_url or row.base_url
    if not url or (row.key and not key):
        return None
    timeout_s = _positive(f"{own}TIMEOUT", variables.get(f"{own}TIMEOUT")) or row.timeout_s
    return Endpoint(
        name=name,
        base_url=url,
        api_key=key or None,
        implicit=not own_url and not key and name not in (settings.default_provider, "builtin"),
        further={
            setting: value for setting in row.further if (value := variables.get(f"{own}{setting.upper()}"))
        },
        default_model=variables.get(f"{own}DEFAULT_MODEL") or row.model,
        default_embedding_model=variables.get(f"{own}DEFAULT_EMBEDDING_MODEL") or row.embedding_model,
        timeouts=Timeouts(
            connect_s=settings.connect_timeout,
            first_token_s=timeout_s,
            between_tokens_s=settings.token_timeout,
            total_s=settings.total_timeout,
        ),
    )


def _positive(name: str, value: str | None) -> float | None:
    """Seconds of a variable; None when it is not set."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise ValueError(f"{name}={value} is no number of seconds above 0")
    return seconds

"""Settings of the service, with units and defaults, from GENAI_ variables or .env; read by cli and server.

`genai-spine doctor` shows what is in force; docs/configuration.md is made from this file.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from genai_spine.billing.price import OwnPrice
from genai_spine.billing.price_book import OperatorModels
from genai_spine.billing.price_sources import StatedPrice
from genai_spine.origins import LOOPBACK_HOSTS, origin
from genai_spine.providers import PROVIDERS, ProviderRow, row_at
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.http.egress import Egress, of_environment
from genai_spine.routing.circuit_breaker import UpstreamLimits
from genai_spine.routing.quality_tiers import NAMES as TIER_NAMES
from genai_spine.routing.router import Alias, Member, Router
from genai_spine.symbols.question import JobRules
from genai_spine.v1 import routing_pb2

Lane = Literal["cpu", "gpu", "batch"]
# Variables that are read without GENAI_ too.
WITHOUT_PREFIX = (
    "HOST",
    "PORT",
    "MODEL_NAME",
    "MAX_CONCURRENT_REQUESTS",
    "MAX_RETRIES",
    "RETRY_MIN_WAIT",
    "RETRY_MAX_WAIT",
    "MAX_PROMPT_TOKENS",
    "INPUT_TOKEN_PRICE",
    "OUTPUT_TOKEN_PRICE",
)


class Settings(BaseSettings):
    """Environment variables as typed fields; a field's description is its documentation."""

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
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Web pages that may call, beside those of this machine: "
        "`https://app.example.com,http://10.0.0.5:3000`; `*`: all.",
    )
    grpc_host: str = Field("127.0.0.1", description="Address that the gRPC server listens on, behind Envoy.")
    grpc_port: int = Field(50051, ge=0, le=65535, description="Port of `serve`; `up` takes free ones.")
    envoy_admin_port: int = Field(0, ge=0, le=65535, description="Envoy's admin port; 0: a private socket.")
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
    model_aliases: Annotated[dict[str, Alias], NoDecode] = Field(
        {},
        description="Names for models: `fast=openai:gpt-4o-mini,local=ollama:llama3.2`, or JSON; "
        "see docs/routing.md.",
    )
    fallback_chain: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Providers, models or aliases to try when all others failed: `ollama,openai`."
    )
    quality_tiers: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="Ranks of models: `gpt-4o=premium,llama3.2=economy`; others by their family."
    )
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
    database_url: SecretStr | None = Field(
        None, description="`sqlite:///data/genai.db` or `postgresql://user:password@host/name`."
    )
    storage_backend: Literal["sqlite", "postgres", "postgresql", "memory"] = Field(
        "sqlite", description="Used when there is no DATABASE_URL."
    )
    sqlite_path: Path = Field(Path("data/genai_spine.db"), description="Used when there is no DATABASE_URL.")
    db_pool_min: int = Field(2, ge=0, description="Database connections kept open.")
    db_pool_max: int = Field(10, ge=1, description="Database connections at most.")
    lease_ttl: float = Field(
        15.0,
        gt=0,
        description="Seconds until a killed server's calls are settled and its chat sessions free.",
    )
    record: Path | None = Field(
        None, description="Folder to write all exchanges with providers to, for the provider `replay`."
    )
    price_overrides: Path | None = Field(None, description="YAML file of prices that win over the book.")
    behaviour: Path | None = Field(
        None, description="YAML file of rules of what models accept, that win over the behaviour book."
    )
    strict_options: bool = Field(
        False,
        description="Options that a model does not take are refused, in place of a warning.",
    )
    cache_enabled: bool = Field(False, description="Answers are kept for requests that ask for it.")
    cache_ttl: float = Field(
        3600.0, gt=0, le=31_536_000, description="Seconds that an answer is kept at most."
    )
    cache_backend: Literal["memory", "database"] = Field(
        "memory", description="`memory` of each process, or `database` shared by all, with memory before it."
    )
    cache_memory_mb: int = Field(64, ge=1, le=65536, description="MiB of answers that a process keeps.")
    stored_completion_ttl: float = Field(
        86400.0, gt=0, le=31_536_000, description="Seconds that answers of `CONTINUE` requests are kept."
    )
    stored_completions_days: int = Field(
        30, ge=1, le=3650, description="Days that answers of requests with `store` are kept."
    )
    drain_delay: float = Field(
        2.0, ge=0, description="Seconds in which Envoy hears of a stop, before connections are closed."
    )
    drain_timeout: float = Field(60.0, ge=0, description="Seconds that running calls get when it stops.")
    health_timeout: float = Field(
        30.0,
        ge=1,
        le=86400,
        description="Seconds without an answer to health checks, after which a process is replaced.",
    )

    # Documentation of symbols. load() takes these also without the prefix.
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

    # Name of a provider to its endpoint: filled from GENAI_<PROVIDER>_API_KEY, _BASE_URL, ... below, and from
    # genai.yaml, as those that follow are.
    endpoints: dict[str, Endpoint] = Field(default_factory=dict, exclude=True)
    fallbacks: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude=True)  # of one model each
    stated_prices: tuple[StatedPrice, ...] = Field((), exclude=True)
    other_lanes: dict[str, str] = Field(default_factory=dict, exclude=True)  # provider to its lane

    @property
    def limits(self) -> UpstreamLimits:
        """Circuit breaker limits of every provider; the concurrency limit is its endpoint's."""
        return UpstreamLimits(self.circuit_failures, self.circuit_rest, self.circuit_successes)

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

    @property
    def own_price(self) -> OwnPrice | None:
        """Price of the model that documents symbols, where it is set."""
        if self.input_token_price is None and self.output_token_price is None:
            return None
        alias = self.model_aliases.get(self.model_name)
        model = alias.members[0].model if alias else self.model_name
        owner = Router({}, self.default_provider).owner(model)
        return OwnPrice(*owner, self.input_token_price, self.output_token_price)

    @property
    def operator_models(self) -> OperatorModels:
        """Models that genai.yaml describes, for the price book."""
        return OperatorModels(
            self.stated_prices,
            {
                (name, model): terms.context_length
                for name, endpoint in self.endpoints.items()
                for model, terms in endpoint.models.items()
                if terms.context_length
            },
            {name: endpoint.row for name, endpoint in self.endpoints.items() if endpoint.row},
        )

    @property
    def symbols_address(self) -> tuple[str, int] | None:
        """Address of the listener for symbol documentation; None: there is none."""
        return None if self.port is None else (self.host or self.api_host, self.port)

    @field_validator("model_aliases", mode="before")
    @classmethod
    def _aliases(cls, value: Any) -> Any:
        named = _named(value, "name=provider:model,name=provider:model|provider:model")
        return {name: alias(name, models) for name, models in named.items()}

    @field_validator("quality_tiers", mode="before")
    @classmethod
    def _tiers(cls, value: Any) -> Any:
        named = _named(value, "model=economy,model=standard,model=premium")
        if wrong := [tier for tier in named.values() if not isinstance(tier, str) or tier not in TIER_NAMES]:
            raise ValueError(f"{wrong[0]!r} is not one of {', '.join(TIER_NAMES)}")
        return named

    @field_validator("fallback_chain", "cors_origins", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return (
            [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
        )

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one if one == "*" else origin(one) for one in value)

    @field_validator("cache_backend", mode="before")
    @classmethod
    def _without_redis(cls, value: Any) -> Any:
        if isinstance(value, str) and value.lower() == "redis":
            raise ValueError("this version has no Redis; `database` is shared by all processes as well")
        return value

    @model_validator(mode="after")
    def _open_only_on_purpose(self) -> "Settings":
        if self.auth == "on":
            raise ValueError("GENAI_AUTH=on: this version has no authentication yet")
        hosts = {"api_host": self.api_host, "grpc_host": self.grpc_host}
        if self.symbols_address:  # else HOST may mean something else
            hosts["host"] = self.symbols_address[0]
        for name, host in hosts.items():
            if host not in LOOPBACK_HOSTS and self.auth != "off":
                raise ValueError(
                    f"GENAI_{name.upper()}={host} listens beyond this machine without authentication; "
                    "set GENAI_AUTH=off if that is what you want"
                )
        return self

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


def load(**overrides: Any) -> Settings:
    """Settings of the environment. overrides: options of the command line, None where not given.

    Raises ValidationError naming the variable.
    """
    variables = environment()
    given = _without_prefix(variables)
    settings = Settings(**given | {name: value for name, value in overrides.items() if value is not None})
    endpoints = {
        name: found
        for name, row in PROVIDERS.items()
        if (found := endpoint(name, row, variables, settings)) is not None
    }
    return settings.model_copy(update={"endpoints": endpoints})


def environment() -> dict[str, str]:
    """Variables of the file .env and of the environment, which wins."""
    return {**_env_file(), **os.environ}


def variables_of(name: str, variables: Mapping[str, str]) -> list[str]:
    """Variables that are set and that a setting is read from, by its name in Settings."""
    names = [f"GENAI_{name.upper()}"]
    if name.upper() in WITHOUT_PREFIX:
        names.append(name.upper())
    return [found for found in names if variables.get(found)]


def _without_prefix(variables: Mapping[str, str]) -> dict[str, Any]:
    """Settings that are set by their older variable, without GENAI_, alone."""
    return {
        name.lower(): value
        for name in WITHOUT_PREFIX
        if (value := variables.get(name)) and not variables.get(f"GENAI_{name}")
    }


def _env_file() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None}


def endpoint(name: str, row: ProviderRow, variables: dict[str, str], settings: Settings) -> Endpoint | None:
    """Endpoint of a provider, from its variables. None: not configured."""
    own = f"GENAI_{name.upper()}_"
    # The names without prefix are those that each provider's own tools read.
    names = (f"{own}API_KEY", f"{name.upper()}_API_KEY", *row.key_variables)
    given = next((value for named in names if (value := variables.get(named))), "")
    keys = [key.strip() for key in given.split(",") if key.strip()]  # no provider's keys hold a comma
    key = keys[0] if keys else None
    own_url = variables.get(f"{own}BASE_URL") or variables.get(f"{own}URL")
    url = own_url or row.base_url
    further = {
        setting: value for setting in row.further if (value := variables.get(f"{own}{setting.upper()}"))
    }
    # Where credentials can come from elsewhere, a setting of its own says that it is meant. Not from .env:
    # the client that reads these variables does not know that file.
    meant = row.credential_variables and (own_url or further)
    stands_in = meant or any(map(os.environ.get, row.credential_variables))
    stands_in = stands_in or any(all(name in further for name in group) for group in row.credential_settings)
    if not url or (row.key and not (key or stands_in)):
        return None
    row = PROVIDERS.get(there := row_at(name, url), row)
    timeout_s = _positive(f"{own}TIMEOUT", variables.get(f"{own}TIMEOUT"))
    media_models = {
        kind: model
        for kind in ("image", "transcription", "speech")
        if (model := variables.get(f"{own}DEFAULT_{kind.upper()}_MODEL") or row.media_models.get(kind))
    }
    return Endpoint(
        name=name,
        row="" if there == name else there,
        base_url=url,
        api_key=key,
        more_keys=tuple(keys[1:]),
        max_concurrency=_count(f"{own}MAX_CONCURRENCY", variables.get(f"{own}MAX_CONCURRENCY")),
        implicit=not (own_url or key or further) and name not in (settings.default_provider, "builtin"),
        further=further,
        default_model=variables.get(f"{own}DEFAULT_MODEL") or row.model,
        default_embedding_model=variables.get(f"{own}DEFAULT_EMBEDDING_MODEL") or row.embedding_model,
        default_media_models=media_models,
        egress=_egress(own, url, variables, settings),
        timeouts=Timeouts(
            connect_s=settings.connect_timeout,
            first_token_s=timeout_s or row.timeout_s,
            are_callers=timeout_s is None,
            between_tokens_s=settings.token_timeout,
            total_s=settings.total_timeout,
        ),
    )


def _egress(own: str, url: str, variables: Mapping[str, str], settings: Settings) -> Egress:
    """Way out to a provider. own: beginning of its variables. Raises ValueError naming the variable."""
    files = {
        field: Path(value) if (value := variables.get(f"{own}{field.upper()}")) else None
        for field in ("ca_file", "client_certificate", "client_key")
    }
    found = replace(
        of_environment(variables),
        ca_file=files["ca_file"] or settings.ca_file,
        client_certificate=files["client_certificate"],
        client_key=files["client_key"],
    )
    if proxy := variables.get(f"{own}PROXY"):
        found = found.by(None if proxy == "none" else proxy)
    try:
        found.check_files()
    except ValueError as error:
        raise ValueError(f"GENAI_CA_FILE or one of {own}*: {error}") from None
    scheme, host = url.partition("://")[0].lower(), _host(url)
    try:
        found.proxy(scheme, host, 0)
    except ValueError as error:
        raise ValueError(
            f"{f'{own}PROXY' if proxy else f'{scheme.upper()}_PROXY or ALL_PROXY'}: {error}"
        ) from None
    return found


def _host(url: str) -> str:
    """Host of a URL; that of one that is none is nobody's, which its provider's client says."""
    try:
        return urlsplit(url).hostname or "localhost"
    except ValueError:
        return "localhost"


def _named(value: Any, form: str) -> dict[str, Any]:
    """Pairs of `name=value,name=value`, or of a JSON object; form: how to write it, for the error."""
    if isinstance(value, Mapping):
        return {str(name): given for name, given in value.items()}
    if not isinstance(value, str):
        raise ValueError(f"must be a mapping, or {form}")
    if value.lstrip().startswith("{"):
        return dict(json.loads(value))
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not name.strip() or not given.strip() for name, _, given in pairs):
        raise ValueError(f"write it as {form}")
    return {name.strip(): given.strip() for name, _, given in pairs}


def alias(name: str, given: Any) -> Alias:
    """Alias of one model, of models separated by |, of a list, or of {"models": [...], "strategy": ...}.

    Raises ValueError.
    """
    if isinstance(given, Alias):
        return given
    strategy = None
    if isinstance(given, dict):
        strategy = _strategy(name, given.get("strategy"))
        given = given.get("models")
    models = given.split("|") if isinstance(given, str) else given
    if not isinstance(models, list) or not models:
        raise ValueError(f"{name}: needs at least one model")
    return Alias(tuple(_member(name, model) for model in models), strategy)


def _member(name: str, given: Any) -> Member:
    """Member of an alias: a model with its weight. Raises ValueError."""
    model, weight = (given.get("model"), given.get("weight", 1)) if isinstance(given, dict) else (given, 1)
    if not isinstance(model, str) or not model.strip():
        raise ValueError(f"{name}: a model is a name such as openai:gpt-4o")
    if not isinstance(weight, int | float) or not 0 < weight < inf:
        raise ValueError(f"{name}: the weight of {model} must be a number above 0")
    return Member(model.strip(), float(weight))


def _strategy(name: str, given: str | None) -> "routing_pb2.RoutingStrategy | None":
    """Routing strategy by name. Raises ValueError."""
    if given is None:
        return None
    known = {
        key.removeprefix("ROUTING_STRATEGY_").lower(): key for key in routing_pb2.RoutingStrategy.keys()[1:]
    }
    if not isinstance(given, str) or given not in known:
        raise ValueError(f"{name}: strategy {given!r} is not one of {', '.join(known)}")
    found: routing_pb2.RoutingStrategy = getattr(routing_pb2, known[given])
    return found


def _count(name: str, value: str | None) -> int | None:
    """A whole number above 0 of a variable; None when it is not set."""
    if not value:
        return None
    if not value.isdigit() or not int(value):
        raise ValueError(f"{name}={value} is no whole number above 0")
    return int(value)


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

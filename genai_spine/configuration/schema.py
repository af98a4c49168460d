"""Sections of genai.yaml as typed fields; a field's description is its documentation.

Values come from YAML, with the environment's already in them. What is wrong becomes a Fault with its line,
and a key that nobody knows names the one that was probably meant.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from genai_spine.configuration.document import ConfigurationError, Document, Fault, Place
from genai_spine.settings import Lane

PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
# Headers that each request sets by itself.
FRAMING = ("connection", "content-length", "content-type", "transfer-encoding")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
ALL_MODELS = "*"  # of `fallbacks`
Protocol = Literal["openai", "anthropic", "bedrock", "azure", "ollama", "deepgram"]
Capability = Literal["tools", "structured_output", "images", "audio", "files", "reasoning", "logprobs"]
Seconds = Annotated[float, Field(gt=0, le=86400)]


class Section(BaseModel):
    """Mapping of the file whose keys are known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class TimeoutSection(Section):
    """Time limits of a provider's calls, in seconds; what is left out is as the settings have it."""

    connect_s: Seconds | None = Field(None, description="To connect.")
    first_token_s: Seconds | None = Field(
        None, description="To the first token of a stream, and for a whole answer that is not streamed."
    )
    between_tokens_s: Seconds | None = Field(None, description="Of silence inside a stream.")
    total_s: Seconds | None = Field(None, description="For a whole call.")


class ModelSection(Section):
    """One model of a provider, as the operator describes it."""

    aliases: list[str] = Field([], description="Further names, as those of `aliases`.")
    context_length: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Most tokens of input and output together."
    )
    capabilities: list[Capability] | None = Field(
        None, description="All that it can beyond text; a request for anything else goes to another model."
    )
    options: dict[str, Any] = Field(
        {}, description="Default options of a request that does not set them, by the names of the API."
    )
    price: dict[str, Any] | None = Field(
        None, description="US dollars for 1,000,000 tokens, or `free: true`: a row of a price file."
    )
    quality: Literal["economy", "standard", "premium"] | None = Field(
        None, description="Its rank, as in `quality_tiers`."
    )


class CertificateSection(Section):
    """Client certificate, as PEM files."""

    certificate: str = Field(description="File of the certificate, with its chain.")
    key: str | None = Field(None, description="File of its key; unset: in the same file.")


class ProviderSection(Section):
    """One named provider."""

    protocol: Protocol | None = Field(None, description="What it speaks.")
    provider: str | None = Field(
        None, description="Provider of the registry that it is one of: address, models and prices are its."
    )
    base_url: str | None = Field(None, description="Where it is reached.")
    base_urls: list[str] = Field([], description="Hosts of a pool, all of which serve the same.")
    api_key: SecretStr | None = Field(None, description="Key: `${NAME}`, or `file:PATH`.")
    api_keys: list[SecretStr] = Field([], description="Several keys that take turns.")
    headers: dict[str, SecretStr] = Field({}, description="Headers of every request.")
    timeouts: TimeoutSection | None = Field(None, description="Time limits.")
    max_concurrency: int | None = Field(None, ge=1, description="Calls at a time, of all hosts and keys.")
    default_model: str | None = Field(
        None, description="Model of a request that names only the provider; unset: the first of `models`."
    )
    default_embedding_model: str | None = Field(None, description="The same for embeddings.")
    default_image_model: str | None = Field(None, description="The same for images.")
    default_transcription_model: str | None = Field(None, description="The same for speech to text.")
    default_speech_model: str | None = Field(None, description="The same for text to speech.")
    models: dict[str, ModelSection] = Field(
        {}, description="Models by their names upstream: a list, or a mapping that says more."
    )
    local: bool | None = Field(
        None, description="Runs on machines of yours: tokens cost nothing unless a price says so."
    )
    residency: str | None = Field(
        None,
        min_length=1,
        description="Where it keeps and processes data, such as `eu`; for `routing.residencies`.",
    )
    retention_days: int | None = Field(
        None,
        ge=0,
        description="Days for which it keeps what it is sent, 0 for none; for `routing.max_retention_days`.",
    )
    proxy: SecretStr | None = Field(
        None,
        description="HTTP proxy, in place of HTTPS_PROXY: `http://user:word@proxy:3128`; `none`: no proxy.",
    )
    ca_file: str | None = Field(None, description="PEM file; trusted besides the system's certificates.")
    client_certificate: CertificateSection | None = Field(None, description="Who we are to the provider.")
    lane: Lane | None = Field(None, description="Only servers of this lane call it; unset: all.")
    health_check_s: Seconds = Field(10.0, description="Seconds between two health checks of a pool's hosts.")
    # Settings of azure, bedrock and replay, as ProviderRow.further names them.
    api_version: str | None = Field(None, description="Azure's; see below.")
    tenant_id: str | None = Field(None, description="Of Entra.")
    client_id: str | None = Field(None, description="Of Entra.")
    client_secret: SecretStr | None = Field(None, description="Of Entra.")
    token_url: str | None = Field(None, description="Of Entra.")
    token_command: SecretStr | None = Field(None, description="Prints a token for Azure.")
    region: str | None = Field(None, description="Of Bedrock.")
    control_url: str | None = Field(None, description="Of Bedrock: where models are listed.")
    speed: str | None = Field(None, description="Of replay.")
    num_ctx: str | None = Field(None, description="Of Ollama: most tokens that a model is loaded with.")

    @field_validator("models", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return {name: {} for name in value}
        if isinstance(value, dict):
            return {name: {} if section is None else section for name, section in value.items()}
        raise ValueError("must be a list of names, or a mapping of names to what is said of each")

    @field_validator("headers")
    @classmethod
    def _sendable(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, text in value.items():
            if not HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in FRAMING:
                raise ValueError(f"{name} is set by each request itself")
            if not text.get_secret_value().isprintable() or not text.get_secret_value().isascii():
                raise ValueError(f"the value of {name} must be printable ASCII")
        return {name.lower(): text for name, text in value.items()}

    @model_validator(mode="after")
    def _one_of_two(self) -> "ProviderSection":
        if self.base_url and self.base_urls:
            raise ValueError("has both base_url and base_urls")
        if self.api_key and self.api_keys:
            raise ValueError("has both api_key and api_keys")
        if len(set(self.base_urls)) < len(self.base_urls):
            raise ValueError("names a host twice in base_urls")
        return self


class FileSection(Section):
    """The whole file."""

    settings: dict[str, Any] = Field(
        {}, description="[Settings](#settings), in lower case and without `GENAI_`."
    )
    providers: dict[str, ProviderSection] = Field(
        {},
        description="Providers by names of yours; without `default_provider` the first is the default.",
    )
    aliases: dict[str, Any] = Field({}, description="Names for models, as `GENAI_MODEL_ALIASES`.")
    fallbacks: dict[str, list[str]] = Field(
        {}, description="Who is asked when all others failed: a list, or by model, `*` for all others."
    )

    @field_validator("settings", "providers", "aliases", "fallbacks", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _by_model(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: [one] if isinstance(one, str) else one for name, one in value.items()}
        if isinstance(value, list):
            return {ALL_MODELS: value}
        raise ValueError("must be a list of names, or a mapping of models to lists of names")

    @field_validator("providers")
    @classmethod
    def _nameable(cls, value: dict[str, ProviderSection]) -> dict[str, ProviderSection]:
        for name in value:
            if not PROVIDER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a provider: letters, digits, - _ and . only")
        return value


def checked(document: Document) -> FileSection:
    """Sections of a document. Raises ConfigurationError with every fault."""
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigurationError([document.fault("must be a mapping at its top")])
    try:
        return FileSection.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError([_fault(document, problem) for problem in error.errors()]) from None


def _fault(document: Document, problem: Any) -> Fault:
    place: Place = problem["loc"]
    text = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return document.fault(f"unknown key{meant(str(place[-1]), keys_at(place[:-1]))}", *place)
    if problem["type"] in ("model_type", "model_attributes_type", "dict_type"):
        text = "must be a mapping"
    return document.fault(in_lower_case(text), *place)


def in_lower_case(text: str) -> str:
    """Message of a validator as the end of a sentence."""
    return text[:1].lower() + text[1:]


def meant(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for a name that is close to a known one; else nothing."""
    close = get_close_matches(name.lower().replace("-", "_"), list(known), 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


def keys_at(place: Place) -> list[str]:
    """Known keys of the section at a place."""
    section: Any = FileSection
    for part in place:
        if isinstance(section, type) and issubclass(section, Section):
            field = section.model_fields.get(str(part))
            section = field.annotation if field else None
        else:  # a name or a number that the operator chose
            section = next(iter(get_args(section)[-1:]), None)
    sections = (section, *get_args(section))
    found = next((one for one in sections if isinstance(one, type) and issubclass(one, Section)), None)
    return list(found.model_fields) if found else []

"""Provider: an adapter between the contract's messages and one upstream API.

An adapter subclasses Provider in a folder of its own (`providers/<protocol>/adapter.py`) and is named by a
row of PROVIDERS; docs/adding-a-provider.md shows one. Retries, failover, prices and the ledger are above it:
an adapter makes one call, and says truthfully how it ended.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import msgspec

from genai_spine.behaviour.adaptation import Adaptation
from genai_spine.behaviour.book import ModelRules
from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.errors import UnsupportedOperation, UnsupportedOption
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.providers.http.egress import Egress
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, message_pb2, model_service_pb2, provider_service_pb2, usage_pb2
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files

if TYPE_CHECKING:
    from genai_spine.providers.batch_api import BatchApi


@dataclass(frozen=True, slots=True)
class Option:
    """Upstream's form of one field of ours: its name there, and bounds narrower than ours (inclusive)."""

    upstream: str
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of one call, in seconds. None: no limit."""

    connect_s: float = 5.0
    # From sending the request to the first byte of the answer's body, and for a whole answer.
    first_token_s: float = 600.0
    between_tokens_s: float = 300.0  # silence inside a stream
    total_s: float | None = None  # the whole call; the caller's deadline counts as well
    are_callers: bool = False  # the operator set no first_token_s: a caller's SDK that waits longer gets it


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """Terms of one model that the operator states: they win over what the upstream and the price book say."""

    context_length: int | None = None  # tokens of input and output together
    capabilities: frozenset[str] | None = (
        None  # all that it can beyond text, of routing.model_terms; None: not said
    )
    # Options of a request that does not set them; nothing else of the message is set.
    options: pb.CreateCompletionRequest | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address, credentials and defaults of one provider: a registry row filled in by the settings."""

    name: str
    base_url: str = ""
    api_key: str | None = field(default=None, repr=False)
    default_model: str | None = None
    default_embedding_model: str | None = None
    timeouts: Timeouts = Timeouts()
    more_keys: tuple[str, ...] = field(default=(), repr=False)  # used in turn with api_key
    max_concurrency: int | None = None  # calls at a time, of all keys together
    # Settings that only this provider has, by their names in the registry row; secrets may be among them.
    further: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Nobody asked for it: its address is the registry's. It is used when it answers, and not missed when
    # it does not.
    implicit: bool = False
    # Default models of image, transcription and speech, by these names.
    default_media_models: Mapping[str, str] = field(default_factory=dict)
    egress: Egress = field(default_factory=Egress)  # proxy, CA file, client certificate
    # Row of PROVIDERS that it is an instance of, whose rules of behaviour hold for it; "": of its name.
    row: str = ""
    more_base_urls: tuple[str, ...] = ()  # of further hosts that serve the same as base_url
    health_check_s: float = 10.0  # between two health checks, where there are several hosts
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # of every request, in lower case
    models: Mapping[str, ModelTerms] = field(default_factory=dict)  # by the upstream's name
    local: bool | None = None  # runs on the operator's machines; None: as the adapter says
    residency: str | None = None  # where it keeps and processes data
    retention_days: int | None = None  # for which it keeps what it is sent; None: nobody says

    @property
    def registry_name(self) -> str:
        """Name of its row of PROVIDERS."""
        return self.row or self.name


def further_fields(
    request: pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest,
) -> dict[str, Any]:
    """Fields for the upstream that our contract does not have, byte by byte as they were sent."""
    options_json = request.provider_options_json
    return dict(msgspec.json.decode(options_json, type=dict[str, msgspec.Raw])) if options_json else {}


def reported_usage(input_tokens: int, output_tokens: int) -> usage_pb2.Usage:
    """Usage of an upstream that counts input and output tokens, and no bucket apart."""
    counts = usage_pb2.Usage()  # fields given by name cost more
    counts.input_tokens, counts.output_tokens = input_tokens, output_tokens
    counts.total_tokens = input_tokens + output_tokens
    counts.uncached_input_tokens, counts.visible_output_tokens = input_tokens, output_tokens
    counts.input_provenance = counts.output_provenance = usage_pb2.PROVENANCE_PROVIDER_REPORTED
    return counts


NO_RULES = ModelRules()


@dataclass(frozen=True, slots=True)
class Route:
    """Candidate that answers a request: a provider and the upstream's own name of the model.

    With it travels what the behaviour book says of the model, and the adaptation of one request to it.
    """

    provider: "Provider"
    model: str
    weight: float = 1.0  # of a weighted choice among candidates
    rules: ModelRules = field(default=NO_RULES, compare=False, repr=False)
    # Fields of a request that no rule and no bound is about, with the options that most requests get.
    plain: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    adaptation: Adaptation | None = field(default=None, compare=False, repr=False)  # None: nothing to adapt
    file_ids: tuple[str, ...] = field(default=(), compare=False)  # of the files that a request uses


class Provider:
    """Base of all adapters. An operation that is not overridden raises UnsupportedOperation.

    A request arrives as the caller sent it and is not written into; `route.model` is the upstream's own name
    of the model, whatever the caller called it. An adapter fills id, created,
    model, choices and usage; inference.py adds provider, cost, latency and the ids of request and row.
    Errors are ProviderFailure subclasses or ProviderTimeout.
    """

    # Every field of CreateCompletionRequest that the upstream honours, and "messages.image",
    # "messages.audio", "messages.file", "tools.custom", "prompt.tokens" for kinds of parts.
    OPTIONS: ClassVar[Mapping[str, Option]] = {}
    # Every field of CreateTranscriptionRequest that the upstream honours, beside SOUND_ALWAYS.
    TRANSCRIPTION_OPTIONS: ClassVar[Mapping[str, Option]] = {}
    LOCAL: ClassVar[bool] = False  # runs on the operator's machines, so it costs nothing per token
    # What the upstream accepts of a JSON Schema; None: it takes none, and is told the schema in words.
    SCHEMA: ClassVar[SchemaRules | None] = None

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.kind = endpoint.registry_name
        self.transcription_options = self.TRANSCRIPTION_OPTIONS
        self.completes = type(self).stream is not Provider.stream  # false of a provider of sound alone
        self.options = self.OPTIONS  # of this endpoint; a dialect may add to the table
        self.local = self.LOCAL if endpoint.local is None else endpoint.local
        self.schema = self.SCHEMA
        self.batch_api: BatchApi | None = None  # None: it has none, or not at a lower price

    def stream(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> AsyncIterator[pb.CompletionChunk]:
        """Chunks as they arrive; what one read brought is one chunk; the last ones carry usage."""
        raise UnsupportedOperation(provider=self.name, operation="completions")

    async def complete(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        return await fold(self.stream(request, route, call))

    async def embed(
        self, request: pb.CreateEmbeddingsRequest, route: Route, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        raise UnsupportedOperation(provider=self.name, operation="embeddings")

    async def count_tokens(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> int:
        """Tokens of the request's input as the upstream counts them; makes no billed call."""
        raise UnsupportedOperation(provider=self.name, operation="counting of tokens")

    async def context_length(self, model: str, call: Call) -> int | None:
        """Most tokens of input and output together that a model takes here; None: nobody says.

        Asks the upstream where it can tell, and costs nothing. Errors: none.
        """
        return None

    async def create_images(
        self, request: media.CreateImagesRequest, route: Route, call: Call
    ) -> media.CreateImagesResponse:
        raise UnsupportedOperation(provider=self.name, operation="images")

    async def transcribe(
        self, request: media.CreateTranscriptionRequest, route: Route, call: Call
    ) -> media.Transcription:
        raise UnsupportedOperation(provider=self.name, operation="transcription")

    def create_speech(
        self, request: media.CreateSpeechRequest, route: Route, call: Call
    ) -> AsyncIterator[media.SpeechChunk]:
        """Sound as it arrives; the last chunk carries usage and units, as far as they are known."""
        raise UnsupportedOperation(provider=self.name, operation="speech")

    @property
    def stores_files(self) -> bool:
        """Whether files can be uploaded through it, so that it is known whose they are."""
        return type(self).upload_file is not Provider.upload_file

    async def upload_file(self, request: files.UploadFileRequest, call: Call) -> files.ProviderFile:
        raise UnsupportedOperation(provider=self.name, operation="files")

    async def list_files(self, request: files.ListFilesRequest, call: Call) -> files.ListFilesResponse:
        raise UnsupportedOperation(provider=self.name, operation="files")

    async def get_file(self, id: str, call: Call) -> files.ProviderFile:
        """Errors of this and all that take an id: ProviderObjectNotFound."""
        raise UnsupportedOperation(provider=self.name, operation="files")

    async def delete_file(self, id: str, call: Call) -> files.DeleteFileResponse:
        raise UnsupportedOperation(provider=self.name, operation="files")

    def read_file(self, id: str, call: Call) -> AsyncGenerator[tuple[str, bytes]]:
        """Media type and bytes, piece by piece."""
        raise UnsupportedOperation(provider=self.name, operation="files")

    async def create_batch(self, request: batches.CreateBatchRequest, call: Call) -> batches.ProviderBatch:
        raise UnsupportedOperation(provider=self.name, operation="batches")

    async def get_batch(self, id: str, call: Call) -> batches.ProviderBatch:
        raise UnsupportedOperation(provider=self.name, operation="batches")

    async def list_batches(
        self, request: batches.ListBatchesRequest, call: Call
    ) -> batches.ListBatchesResponse:
        raise UnsupportedOperation(provider=self.name, operation="batches")

    async def cancel_batch(self, id: str, call: Call) -> batches.ProviderBatch:
        raise UnsupportedOperation(provider=self.name, operation="batches")

    def batch_lines(
        self, batch: batches.ProviderBatch, call: Call
    ) -> AsyncGenerator[tuple[str, execution_pb2.Execution]]:
        """Answers of a batch that has ended: the caller's id of each, and model, outcome and usage."""
        raise UnsupportedOperation(provider=self.name, operation="batches")

    def pull(self, model: str, call: Call) -> AsyncIterator[provider_service_pb2.PullModelResponse]:
        """Fetches a model onto the upstream's disk; its progress."""
        raise UnsupportedOperation(provider=self.name, operation="pulling of models")

    async def list_models(self) -> list[model_service_pb2.Model]:
        """Models with id = the upstream's own name; created 0 where the upstream does not say."""
        raise UnsupportedOperation(provider=self.name, operation="a list of models")

    async def health(self) -> None:
        """Returns when the upstream answers, otherwise raises; makes no billed call."""
        await self.list_models()

    async def close(self) -> None:
        """Frees what the adapter holds; called once, at the end."""

    def options_for(self, request: pb.CreateCompletionRequest, route: Route) -> Mapping[str, Option]:
        """Options that hold for this request, where an upstream offers less to some models."""
        return self.options

    def check_options(self, request: pb.CreateCompletionRequest, route: Route) -> None:
        """Refuses what depends on the model or on several fields together, which no table of options can say.

        routing/candidates.py calls it after it has compared the request with options_for().
        Errors: UnsupportedOption, InvalidFields.
        """

    def _refuse(self, field: str, option: str | None = None) -> NoReturn:
        raise UnsupportedOption(field=field, provider=self.name, option=option or field)


# Fields that say what is asked for rather than how; every adapter takes them.
# The second line and the third are honoured above the adapters.
ALWAYS = frozenset(
    {"provider", "model", "messages", "prompt", "user", "provider_options_json"}
    | {"cost_labels", "routing", "disconnect_policy", "truncation", "cache_max_age_s", "coalesce"}
    | {"strict_options", "store", "metadata", "idempotency_key", "resume_after"}
)

# The same of CreateTranscriptionRequest.
SOUND_ALWAYS = frozenset(
    {"provider", "model", "data", "filename", "audio_url", "user", "provider_options_json", "cost_labels"}
    | {"idempotency_key"}
)

# Values that ask for what every upstream does anyway; SDKs send them without being asked.
NEUTRAL = {
    "choice_count": 1,
    "logprobs": False,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "parallel_tool_calls": True,
    "tool_choice": message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_AUTO),
    "response_format": pb.ResponseFormat(kind=pb.ResponseFormat.KIND_TEXT),
}

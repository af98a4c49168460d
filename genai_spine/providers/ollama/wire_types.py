"""Wire types of Ollama: parts of a request written, and the shapes of its answers.

Wire facts: https://github.com/ollama/ollama/blob/main/docs/api.md and https://docs.ollama.com/openapi.yaml,
2026-11-28. Durations are nanoseconds there and not read; times are RFC 3339.
"""

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from genai_spine import errors
from genai_spine.json_schema.rewrite import SchemaRules, portable
from genai_spine.providers.wire_types import MAX_TOKEN_COUNT, Token, parted
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

# Of a schema only a grammar is made, in which these are left out silently, and a pattern that is not
# anchored is an error: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md, 2026-11-28.
SCHEMA = SchemaRules(
    refused=frozenset(
        {"not", "if", "then", "else", "dependentRequired", "dependentSchemas", "pattern", "patternProperties"}
        | {"uniqueItems", "contains", "minContains", "maxContains", "prefixItems", "propertyNames"}
        | {"minProperties", "maxProperties", "multipleOf", "unevaluatedProperties", "unevaluatedItems"}
    ),
    references=False,  # nested ones are broken there
)


def own_options(body: dict[str, Any]) -> dict[str, Any]:
    """Options (`options`) among the caller's own fields. Errors: InvalidFields."""
    try:
        options: dict[str, Any] = msgspec.json.decode(body.get("options", b"{}"), type=dict[str, Raw])
    except msgspec.DecodeError as error:
        raise errors.InvalidFields([("provider_options_json", f"options: {error}")]) from error
    return options


def tool_json(tool: message_pb2.Tool) -> dict[str, Any]:
    """Tool declaration; a function without parameters takes any object."""
    function: dict[str, Any] = {"name": tool.function.name, "description": tool.function.description}
    function["parameters"] = Raw((tool.function.parameters_json or '{"type":"object"}').encode())
    return {"type": "function", "function": function}


def format_of(form: pb.ResponseFormat) -> dict[str, Any]:
    """Field `format`: a schema, "json", or none at all."""
    if form.HasField("json_schema"):
        return {"format": Raw(portable(form.json_schema.schema_json, SCHEMA).encode())}
    return {"format": "json"} if form.kind == pb.ResponseFormat.KIND_JSON_OBJECT else {}


def think(effort: pb.ReasoningEffort, form: str) -> bool | str:
    """Field `think`: false, low, medium, high or max; form "switch": the model knows on and off alone."""
    if effort == pb.REASONING_EFFORT_NONE:
        return False
    return True if form == "switch" else LEVELS[effort]


LEVELS = {
    pb.REASONING_EFFORT_MINIMAL: "low",
    pb.REASONING_EFFORT_LOW: "low",
    pb.REASONING_EFFORT_MEDIUM: "medium",
    pb.REASONING_EFFORT_HIGH: "high",
    pb.REASONING_EFFORT_XHIGH: "max",
    pb.REASONING_EFFORT_MAX: "max",
}


def seconds(rfc3339: str) -> int:
    """Unix time of an RFC 3339 text; 0: not known."""
    try:
        # Nanoseconds are more digits than fromisoformat takes.
        return int(datetime.fromisoformat(re.sub(r"\.\d+", "", rfc3339)).timestamp())
    except ValueError:
        return 0


Count = Annotated[int, Meta(ge=0, le=MAX_TOKEN_COUNT)]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]


class Function(Struct):
    """Function of a tool call; the arguments are an object, not text."""

    name: str = ""
    arguments: Raw = Raw(b"{}")

    @property
    def arguments_json(self) -> str:
        """JSON text of the arguments; gateways send the text in the place of the object."""
        text = bytes(self.arguments).decode()
        if text.startswith('"'):
            text = msgspec.json.decode(text, type=str)
        return "{}" if text in ("", "null") else text


class ToolCall(Struct):
    """Tool call, always whole; older servers give it no id."""

    function: Function
    id: str | None = None


class AssistantMessage(Struct):
    """Message of an answer, or what a line of a stream adds to it."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Content in parts becomes its text."""
        text, thinking, _ = parted(fields.get("content"))
        return {**fields, "content": text, "thinking": thinking or parted(fields.get("thinking"))[0]}


class Chat(Struct):
    """Answer of /api/chat, whole or one line of a stream."""

    model: str = ""
    message: AssistantMessage | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Count | None = None  # those that were cached among them
    prompt_eval_cached_count: Count | None = None
    eval_count: Count | None = None
    logprobs: list[Token] | None = None
    error: Raw | UnsetType = UNSET


class Embeddings(Struct):
    """Answer of /api/embed."""

    embeddings: list[list[float]]
    model: str = ""
    prompt_eval_count: Count | None = None


class Tag(Struct):
    """Model on the server's disk, from /api/tags."""

    name: str
    modified_at: str = ""
    digest: str = ""


class Tags(Struct):
    models: list[Tag]


class ModelDetails(Struct):
    """Answer of /api/show: abilities, and details under names that the architecture gives."""

    capabilities: list[str] = []
    model_info: dict[str, Any] = {}
    parameters: str = ""  # of the Modelfile, one a line: name, spaces, value

    def num_ctx(self) -> int | None:
        """Context that the model is loaded with by its Modelfile; None: it says nothing of it."""
        found = NUM_CTX.search(self.parameters)
        return int(found[1]) if found else None

    def context_length(self) -> int | None:
        """Context window in tokens: the one it was trained for, under a name that begins with the
        architecture's, or the smaller one of its Modelfile. Where the architecture is not told, the largest
        counts: a model that sees has a second one, of its images.
        """
        known = {
            name: value
            for name, value in self.model_info.items()
            if name.endswith(".context_length") and isinstance(value, int) and 0 < value < 2**32
        }
        of_text = known.get(f"{self.model_info.get('general.architecture')}.context_length")
        trained = of_text or max(known.values(), default=None)
        return min(
            [*([trained] if trained else []), *([own] if (own := self.num_ctx()) else [])], default=None
        )


class LoadedModel(Struct):
    """Model that is loaded now, from /api/ps."""

    name: str
    context_length: Bytes = 0


class Loaded(Struct):
    models: list[LoadedModel] = []


class PullProgress(Struct):
    """Line of /api/pull: a step, and bytes where it loads a layer."""

    status: str = ""
    digest: str | None = None
    total: Bytes | None = None
    completed: Bytes | None = None
    error: str | None = None


NUM_CTX = re.compile(r"^num_ctx\s+([1-9]\d{0,9})\s*$", re.MULTILINE)
CHAT = msgspec.json.Decoder(Chat)
EMBEDDINGS = msgspec.json.Decoder(Embeddings)
TAGS = msgspec.json.Decoder(Tags)
LOADED = msgspec.json.Decoder(Loaded)
MODEL_DETAILS = msgspec.json.Decoder(ModelDetails)
PULL_PROGRESS = msgspec.json.Decoder(PullProgress)

"""The JSON that OpenAI's clients send: every union, null and name of it, and nothing else.

Shapes: https://platform.openai.com/docs/api-reference, 2026-11-21.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

# A text, texts, token ids, or lists of token ids; that a list holds one kind only is checked later.
Texts = str | list[str | int | list[int]]
Mode = Literal["none", "auto", "required"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class CacheControl(Struct):
    """Anthropic's mark for caching, as OpenRouter and other gateways take it."""

    type: str = "ephemeral"
    ttl: Literal["5m", "1h"] | None = None


class CacheBreakpoint(Struct):
    """OpenAI's mark for caching."""

    mode: str = "explicit"
    ttl: Literal["30m", "12h"] | None = None


class Marked(Struct):
    """Part of a prompt that may end what is worth caching."""

    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class TextPart(Marked, tag="text", kw_only=True):
    text: str


class ImageUrl(Struct):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Marked, tag="image_url", kw_only=True):
    image_url: ImageUrl | str


class InputAudio(Struct):
    data: str  # base64
    format: str = ""


class AudioPart(Marked, tag="input_audio", kw_only=True):
    input_audio: InputAudio


class File(Struct):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class FilePart(Marked, tag="file", kw_only=True):
    file: File


class RefusalPart(Struct, tag="refusal"):
    refusal: str


class ThinkingPart(Struct, tag="thinking"):
    """Thinking of an earlier answer: Anthropic's block, or Mistral's with a list of texts."""

    thinking: str | list[TextPart] = ""
    signature: str | None = None


class RedactedThinkingPart(Struct, tag="redacted_thinking"):
    data: str


ContentPart = TextPart | ImagePart | AudioPart | FilePart | RefusalPart
Part = ContentPart | ThinkingPart | RedactedThinkingPart


class FunctionCall(Struct):
    name: str
    arguments: str = ""


class CustomCall(Struct):
    name: str
    input: str = ""


class FunctionToolCall(Struct, tag="function"):
    function: FunctionCall
    id: str | None = None
    extra_content: dict[str, Raw] | None = None  # Gemini's signature of the thought behind it


class CustomToolCall(Struct, tag="custom"):
    custom: CustomCall
    id: str | None = None
    extra_content: dict[str, Raw] | None = None


class EarlierAudio(Struct):
    id: str | None = None


class ChatMessage(Struct):
    """Message, with what callers send back of an earlier answer: its thinking, and what proves it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[FunctionToolCall | CustomToolCall] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    refusal: str | None = None
    audio: EarlierAudio | None = None
    cache_control: CacheControl | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None  # the same, in OpenRouter's word
    reasoning_details: list[dict[str, Raw]] | None = None
    thinking_blocks: list[dict[str, Raw]] | None = None  # the same, in Anthropic's form
    extra_content: dict[str, Raw] | None = None


class Function(Struct):
    name: str
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None
    cache_control: CacheControl | None = None


class FunctionTool(Marked, tag="function", kw_only=True):
    function: Function


class Custom(Struct):
    name: str
    description: str | None = None
    format: Raw | UnsetType = UNSET


class CustomTool(Marked, tag="custom", kw_only=True):
    custom: Custom


class Named(Struct):
    name: str


class FunctionChoice(Struct, tag="function"):
    function: Named


class CustomChoice(Struct, tag="custom"):
    custom: Named


class AllowedTool(Struct):
    type: str
    function: Named | None = None
    custom: Named | None = None


class AllowedTools(Struct):
    mode: Literal["auto", "required"]
    tools: list[AllowedTool]


class AllowedChoice(Struct, tag="allowed_tools"):
    allowed_tools: AllowedTools


class TextFormat(Struct, tag="text"):
    pass


class JsonFormat(Struct, tag="json_object"):
    pass


class Schema(Struct):
    name: str
    schema: Raw | UnsetType = UNSET
    description: str | None = None
    strict: bool | None = None


class SchemaFormat(Struct, tag="json_schema"):
    json_schema: Schema


class StreamOptions(Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Sampling(Struct):
    """Options that chat and text completions share."""

    model: str | None = None
    provider: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    strict_options: bool | None = None
    cost_labels: dict[str, str] | None = None
    idempotency_key: str | None = None  # as the header


class Chat(Sampling):
    messages: list[ChatMessage] | None = None
    max_completion_tokens: int | None = None
    tools: list[FunctionTool | CustomTool] | None = None
    tool_choice: (
        Literal["none", "auto", "required"] | FunctionChoice | CustomChoice | AllowedChoice | None
    ) = None
    functions: list[Function] | None = None
    function_call: Literal["none", "auto"] | Named | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | JsonFormat | SchemaFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: Effort | None = None
    store: bool | None = None
    metadata: Raw | UnsetType = UNSET


class PlainMessage(Struct, forbid_unknown_fields=True):
    """Message that is a role and one text, as most are."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Meta(min_length=1)]


class PlainChat(Chat, kw_only=True):
    """Chat whose messages are all plain, so that every upstream of this API takes them as they came."""

    messages: list[PlainMessage]  # type: ignore[assignment]


class ChatUpdate(Struct):
    """Change of a stored completion."""

    metadata: dict[str, str] | None


class Text(Sampling):
    prompt: Texts | None = None
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | None = None


class Native(Struct):
    """The older service's own body of /v1/completions, recognised by its messages."""

    model: str | None = None
    provider: str | None = None
    messages: list[ChatMessage] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    response_format: Literal["text", "json"] | None = None
    stream: bool | None = None
    user: str | None = None
    cost_labels: dict[str, str] | None = None
    idempotency_key: str | None = None  # as the header


class Embedding(Struct):
    input: Texts
    model: str | None = None
    provider: str | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    cost_labels: dict[str, str] | None = None
    idempotency_key: str | None = None  # as the header


class Image(Struct):
    prompt: str = ""
    model: str | None = None
    provider: str | None = None
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    stream: bool | None = None
    user: str | None = None
    cost_labels: dict[str, str] | None = None
    idempotency_key: str | None = None  # as the header


class Voice(Struct):
    id: str


class Speech(Struct):
    input: str = ""
    model: str | None = None
    provider: str | None = None
    voice: str | Voice | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    speed: float | None = None
    instructions: str | None = None
    stream_format: Literal["audio", "sse"] | None = None
    user: str | None = None
    cost_labels: dict[str, str] | None = None
    idempotency_key: str | None = None  # as the header


class Batch(Struct):
    input_file_id: str = ""
    endpoint: str = ""
    completion_window: str | None = None
    metadata: dict[str, str] | None = None
    cost_labels: dict[str, str] | None = None
    idempotency_key: str | None = None  # as the header

"""The JSON that OpenAI's clients send: every union, null and name of it, and nothing else.

Shapes: https://platform.openai.com/docs/api-reference, 2026-11-21.
"""

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

# A text, texts, token ids, or lists of token ids; that a list holds one kind only is checked later.
Texts = str | list[str | int | list[int]]
Mode = Literal["none", "auto", "required"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class TextPart(Struct, tag="text"):
    text: str


class ImageUrl(Struct):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Struct, tag="image_url"):
    image_url: ImageUrl


class InputAudio(Struct):
    data: bytes  # base64 in JSON
    format: str


class AudioPart(Struct, tag="input_audio"):
    input_audio: InputAudio


class File(Struct):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class FilePart(Struct, tag="file"):
    file: File


class RefusalPart(Struct, tag="refusal"):
    refusal: str


Part = TextPart | ImagePart | AudioPart | FilePart | RefusalPart


class FunctionCall(Struct):
    name: str
    arguments: str = ""


class CustomCall(Struct):
    name: str
    input: str = ""


class FunctionToolCall(Struct, tag="function"):
    function: FunctionCall
    id: str = ""


class CustomToolCall(Struct, tag="custom"):
    custom: CustomCall
    id: str = ""


class ChatMessage(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[FunctionToolCall | CustomToolCall] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    refusal: str | None = None


class Function(Struct):
    name: str
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None


class FunctionTool(Struct, tag="function"):
    function: Function


class Custom(Struct):
    name: str
    description: str | None = None
    format: Raw | UnsetType = UNSET


class CustomTool(Struct, tag="custom"):
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
    cost_labels: dict[str, str] | None = None


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


class Embedding(Struct):
    input: Texts
    model: str | None = None
    provider: str | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    cost_labels: dict[str, str] | None = None


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


class Batch(Struct):
    input_file_id: str = ""
    endpoint: str = ""
    completion_window: str | None = None
    metadata: dict[str, str] | None = None
    cost_labels: dict[str, str] | None = None

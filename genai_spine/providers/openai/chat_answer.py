"""Chat completions wire format: answers, whole or in chunks, as Structs; and their usage.

Shapes: https://platform.openai.com/docs/api-reference/chat, 2026-11-21. What compatible upstreams leave out
(index, usage, role) has a default. Other forms of a field are brought into this one by `mended`, which the
lenient decoder calls (http/lenient_json.py): the strict one knows only what is here.
"""

from typing import Annotated, Any

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from genai_spine.providers.http import lenient_json
from genai_spine.providers.raw_usage import tool_calls
from genai_spine.providers.wire_types import MAX_TOKEN_COUNT, Token, parted, token_logprob
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2

Index = Annotated[int, Meta(ge=0, le=1000)]
NO_NOTES = (UNSET, Raw(b"[]"), Raw(b"null"))  # annotations of an answer without any


class Function(Struct):
    """Function of a tool call, or a custom tool, whose `input` is free text."""

    name: str | None = None
    arguments: str | None = None
    input: str | None = None

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Arguments that are JSON and no text (llama.cpp, ggml-org/llama.cpp#20198) become its text."""
        spelled: dict[str, Any] = {name: fields[name] for name in ("arguments", "input") if name in fields}
        for name, value in spelled.items():
            if value is not None and not isinstance(value, str):
                spelled[name] = lenient_json.text(value)
        return {**fields, **spelled}


class ToolCall(Struct):
    """Tool call of a message, or what a chunk adds to one; `index` tells them apart."""

    index: Index | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Function | None = None
    name: str | None = None  # of servers that have no function around name and arguments
    arguments: str | None = None
    extra_content: Raw | UnsetType = UNSET  # Gemini

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """As of a function."""
        return Function.mended(fields)


class ChatMessage(Struct):
    """Message of an answer, or what a chunk adds to one."""

    content: str | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, xAI
    reasoning: str | None = None  # OpenRouter, Groq, newer vLLM
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    annotations: Raw | UnsetType = UNSET
    reasoning_details: Raw | UnsetType = UNSET  # OpenRouter
    extra_content: Raw | UnsetType = UNSET  # Gemini
    usage: "Usage | None" = None

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Content that is a list of parts (Mistral's text and thinking chunks) becomes text and reasoning.

        https://docs.mistral.ai/capabilities/reasoning, 2026-11-29.
        """
        text, thinking, refusal = parted(fields.get("content"))
        spelled: dict[str, Any] = {"content": text}
        for name in ("reasoning_content", "reasoning"):
            thought, thought_about, _ = parted(fields.get(name))
            spelled[name] = thought + thought_about
        if thinking:
            spelled["reasoning_content"] = thinking + (spelled["reasoning_content"] or spelled["reasoning"])
        if refusal and not fields.get("refusal"):
            spelled["refusal"] = refusal
        return {**fields, **spelled}


class ChatLogprobs(Struct):
    """Log probabilities of a chat's choice, by token."""

    content: list[Token] | None = None
    refusal: list[Token] | None = None


class TextLogprobs(Struct):
    """Log probabilities of a text completion: parallel lists."""

    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class ChatChoice(Struct):
    """Choice of a chat: `message` when it is whole, `delta` in a stream."""

    index: Index = 0
    message: ChatMessage | None = None
    delta: ChatMessage | None = None
    finish_reason: str | None = None
    logprobs: ChatLogprobs | None = None
    text: str | None = None  # of servers that answer a chat as they answer a prompt
    error: Raw | UnsetType = UNSET  # OpenRouter
    usage: "Usage | None" = None  # Moonshot

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Turns a finish reason that is an object (SGLang) into its type, and a text into a message."""
        return _mended_choice(fields)


class TextChoice(Struct):
    """Choice of a text completion, whole or in a stream."""

    index: Index = 0
    text: str | None = None
    finish_reason: str | None = None
    logprobs: TextLogprobs | None = None
    message: ChatMessage | None = None  # of servers that answer a prompt as they answer a chat
    delta: ChatMessage | None = None
    error: Raw | UnsetType = UNSET
    usage: "Usage | None" = None

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """As of a chat's choice; a text may be a list of parts."""
        mended = _mended_choice(fields)
        return {**mended, "text": parted(mended["text"])[0]} if "text" in mended else mended


def _mended_choice(fields: dict[str, Any]) -> dict[str, Any]:
    spelled: dict[str, Any] = {}
    reason = fields.get("finish_reason")
    if isinstance(reason, dict):
        spelled["finish_reason"] = reason.get("type") or reason.get("reason")
        if reason.get("message") and "error" not in fields:
            spelled["error"] = reason
    for name in ("message", "delta"):
        if isinstance(fields.get(name), str):
            spelled[name] = {"content": fields[name]}
    return {**fields, **spelled}


class CacheWrites(Struct):
    """Of the tokens written to the cache, those that it keeps for half a day; the others it keeps shorter."""

    ttl_12h_tokens: int | None = None


class InputDetails(Struct):
    """Input tokens by kind; all are part of prompt_tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_tokens_details: "CacheWrites | None" = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class OutputDetails(Struct):
    """Output tokens by kind; all are part of completion_tokens, except where `usage` says."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Usage(Struct):
    """Token counts of one call."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    input_tokens: int | None = None  # gateways that use the names of another API
    output_tokens: int | None = None
    server_tool_use: dict[str, int | None] | None = None  # OpenRouter
    server_side_tool_usage: dict[str, int | None] | None = None  # this and the next xAI
    server_side_tool_usage_details: dict[str, int | None] | None = None
    num_search_queries: int | None = None  # Perplexity

    def update(self, later: "Usage") -> None:
        """Takes over the counts of a later event, which may be totals so far, or only a part of them."""
        for name in self.__struct_fields__:
            if value := getattr(later, name):
                setattr(self, name, value)


USAGE = msgspec.json.Decoder(Usage)
NO_INPUT_DETAILS, NO_OUTPUT_DETAILS = InputDetails(), OutputDetails()


class OwnUsage(Struct):
    """Place of the usage at Groq."""

    usage: Usage | None = None


class Answer(Struct):
    """Chat completion, whole or one chunk of it."""

    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[ChatChoice] = []
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: Raw | UnsetType = UNSET
    x_groq: OwnUsage | None = None


class TextAnswer(Struct):
    """Text completion, whole or one chunk of it."""

    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[TextChoice] = []
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: Raw | UnsetType = UNSET
    x_groq: OwnUsage | None = None


def has_more(message: ChatMessage) -> bool:
    """Whether there is more in a message than text and thinking."""
    return bool(
        message.tool_calls
        or message.function_call
        or message.refusal
        or message.annotations not in NO_NOTES
        or message.reasoning_details is not UNSET
        or message.extra_content is not UNSET
        or message.usage
    )


def is_text(choice: Any, message: ChatMessage) -> bool:
    """Whether all of a choice is text or thinking of its message."""
    if not (message.content or message.reasoning_content or message.reasoning):
        return False
    more = choice.finish_reason or choice.text or choice.logprobs or choice.usage
    return not more and choice.error is UNSET and not has_more(message)


def usage(reported: Usage) -> usage_pb2.Usage:
    """Usage in disjoint buckets: OpenAI's prompt_tokens hold the cached ones, completion_tokens the
    reasoning.

    xAI leaves reasoning out of completion_tokens, which shows in the total (docs.x.ai, 2026-11-21).
    """
    input_details = reported.prompt_tokens_details or NO_INPUT_DETAILS
    output_details = reported.completion_tokens_details or NO_OUTPUT_DETAILS
    cached = _tokens(input_details.cached_tokens or reported.prompt_cache_hit_tokens)
    written, audio_in = _tokens(input_details.cache_write_tokens), _tokens(input_details.audio_tokens)
    lasting = input_details.cache_write_tokens_details
    written_12h = min(written, _tokens(lasting.ttl_12h_tokens)) if lasting else 0
    image = _tokens(input_details.image_tokens)
    reasoning, audio_out = _tokens(output_details.reasoning_tokens), _tokens(output_details.audio_tokens)
    prompt = _tokens(reported.prompt_tokens or reported.input_tokens)
    output = _tokens(reported.completion_tokens or reported.output_tokens)
    if prompt and reported.completion_tokens is None and not output:
        output = max(0, _tokens(reported.total_tokens) - prompt)
    if reasoning and reported.total_tokens == prompt + output + reasoning:
        output += reasoning
    uncached = max(0, prompt - cached - written - audio_in - image)
    visible = max(0, output - reasoning - audio_out)
    input_tokens = uncached + cached + written + audio_in + image
    output_tokens = visible + reasoning + audio_out
    counts = usage_pb2.Usage()  # fields given by name cost more
    counts.input_tokens, counts.output_tokens = input_tokens, output_tokens
    counts.total_tokens = input_tokens + output_tokens
    counts.uncached_input_tokens, counts.visible_output_tokens = uncached, visible
    counts.input_provenance = counts.output_provenance = usage_pb2.PROVENANCE_PROVIDER_REPORTED
    if cached or written:
        counts.cache_read_tokens = cached
        counts.cache_write_5m_tokens, counts.cache_write_1h_tokens = written - written_12h, written_12h
    if audio_in or image:
        counts.audio_input_tokens, counts.image_input_tokens = audio_in, image
    if reasoning or audio_out:
        counts.reasoning_tokens, counts.audio_output_tokens = reasoning, audio_out
    if predicted := output_details.accepted_prediction_tokens:
        counts.accepted_prediction_tokens = _tokens(predicted)
    if predicted := output_details.rejected_prediction_tokens:
        counts.rejected_prediction_tokens = _tokens(predicted)
    return counts


def tools(reported: Usage) -> dict[str, int]:
    """Calls of the upstream's own tools that its usage tells.

    https://openrouter.ai/docs/guides/features/server-tools, https://docs.x.ai/developers/tools/overview,
    https://docs.perplexity.ai/guides/pricing, 2026-11-29.
    """
    searched = reported.num_search_queries
    if not (
        reported.server_tool_use
        or reported.server_side_tool_usage
        or reported.server_side_tool_usage_details
        or searched
    ):
        return {}
    return tool_calls(
        reported.server_tool_use,
        reported.server_side_tool_usage,
        reported.server_side_tool_usage_details,
        {"web_search": searched},
    )


def add_logprobs(delta: pb.ChoiceDelta, logprobs: ChatLogprobs | TextLogprobs) -> None:
    """Adds log probabilities; those of a text completion are parallel lists."""
    content = delta.logprobs.content
    if isinstance(logprobs, ChatLogprobs):
        content.extend(token_logprob(token) for token in logprobs.content or ())
        delta.logprobs.refusal.extend(token_logprob(token) for token in logprobs.refusal or ())
        return
    tops = logprobs.top_logprobs or [None] * len(logprobs.tokens)
    for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs, tops, strict=False):
        entry = content.add(token=token, logprob=logprob or 0.0)
        for other, value in (top or {}).items():
            entry.top_logprobs.add(token=other, logprob=value)


def _tokens(reported: int | None) -> int:
    """Token count that the contract can hold; what is out of every bound is taken as none."""
    return reported if reported and 0 < reported < MAX_TOKEN_COUNT else 0


def moment(unix_time: float | None) -> Timestamp | None:
    """A time that the contract can hold, to the second; None: not known."""
    whole = seconds(unix_time)
    return Timestamp(seconds=whole) if whole else None


def seconds(unix_time: float | None) -> int:
    """Unix time that the contract can hold; 0: not known."""
    return int(unix_time) if unix_time and 0 < unix_time < 2**32 else 0

"""Tokens of requests and answers: counted with the model's encoding or estimated, never taken for a bill."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from genai_spine.tokens import images
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2

# OpenAI's rules for chats: https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
# (2026-11-28). They are documented for these models, by the beginnings of their names; others differ from
# them by a token or so: gpt-5 counts one less.
DOCUMENTED = ("gpt-3.5-turbo", "gpt-35-turbo", "gpt-4", "chatgpt-4o")
PER_MESSAGE = 4  # three, and one for the role
PER_NAME = 1
PER_REPLY = 3
# Of a tool, of its first property, of each property, of an enum, of each of its values, of the end.
PER_TOOL = {"cl100k_base": 10}
PER_TOOL_OTHERWISE = 7
PER_PROPERTIES, PER_PROPERTY, PER_ENUM, PER_VALUE, PER_TOOLS_END = 3, 3, -3, 3, 12

PER_AUDIO_BYTE = 10 / 32_000  # 10 tokens a second of 16 kHz, 16-bit sound
PER_FILE_BYTE = 1 / 32  # a page of a PDF: some 2,000 tokens in 64 kB; a guess
LARGE = 100_000  # bytes; a larger request is counted in a thread, because that may take 5 ms and more

_json = msgspec.json.Decoder(dict[str, Any])


@dataclass(slots=True)
class TokenTally:
    """Running count of tokens, and whether it is exact."""

    tokens: int = 0
    exact: bool = True  # by the model's own encoding and by documented rules

    def add(self, tokens: int, *, exact: bool = True) -> None:
        """Adds tokens; one inexact part makes the sum inexact."""
        self.tokens += tokens
        self.exact = self.exact and exact

    @property
    def provenance(self) -> usage_pb2.Provenance:
        """As CountTokens says it."""
        return usage_pb2.PROVENANCE_PROVIDER_REPORTED if self.exact else usage_pb2.PROVENANCE_ESTIMATED


def tally(request: pb.CreateCompletionRequest, tokenizer: Tokenizer) -> TokenTally:
    """Tokens of the input, as the tokenizer's model counts them."""
    if request.HasField("prompt"):
        return _prompt(request.prompt, tokenizer)
    total = overhead(request, tokenizer)
    for message in request.messages:
        one = tally_message(message, tokenizer)
        total.add(one.tokens, exact=one.exact)
    return total


async def tally_in_thread(request: pb.CreateCompletionRequest, tokenizer: Tokenizer) -> TokenTally:
    """As tally(); a large request is counted in a thread."""
    if request.ByteSize() < LARGE:
        return tally(request, tokenizer)
    return await asyncio.to_thread(tally, request, tokenizer)


async def lower_bound_in_thread(request: pb.CreateCompletionRequest, tokenizer: Tokenizer) -> int:
    """Tokens that the input has for certain: those of its text, without images, tools and frames."""

    def lower_bound() -> int:
        parts = (part for message in request.messages for part in message.content)
        tokens = sum(tokenizer.lower_bound(part.text or part.refusal) for part in parts)
        return tokens + tokenizer.lower_bound(request.prompt.text) + len(request.prompt.tokens.tokens)

    return lower_bound() if request.ByteSize() < LARGE else await asyncio.to_thread(lower_bound)


async def sizes_in_thread(request: pb.CreateCompletionRequest, tokenizer: Tokenizer) -> list[int]:
    """Tokens of each message; those of a large request are counted in a thread."""

    def sizes() -> list[int]:
        return [tally_message(message, tokenizer).tokens for message in request.messages]

    return sizes() if request.ByteSize() < LARGE else await asyncio.to_thread(sizes)


def overhead(request: pb.CreateCompletionRequest, tokenizer: Tokenizer) -> TokenTally:
    """Tokens of a chat besides its messages: the beginning of the reply, tools, the form of the answer."""
    total = TokenTally(
        PER_REPLY, exact=tokenizer.encoding is not None and tokenizer.model.startswith(DOCUMENTED)
    )
    for tool in request.tools:
        _tool(total, tool, tokenizer)
    if request.tools:
        total.add(PER_TOOLS_END)
    if request.response_format.HasField("json_schema"):
        total.add(tokenizer.count(request.response_format.json_schema.schema_json), exact=False)
    return total


def tally_message(message: message_pb2.Message, tokenizer: Tokenizer) -> TokenTally:
    """Tokens of one message: its frame, name, parts and tool calls."""
    total = TokenTally(PER_MESSAGE)
    if message.HasField("name"):
        total.add(PER_NAME + tokenizer.count(message.name))
    for part in message.content:
        _part(total, part, tokenizer)
    for call in message.tool_calls:
        total.add(PER_MESSAGE + _called(call, tokenizer), exact=False)
    return total


def estimate_input(request: pb.CreateCompletionRequest, model: str) -> int:
    """Estimated tokens of a request's input, with what is loaded already."""
    return tally(request, Tokenizer.if_loaded(model)).tokens


def estimate_inputs(request: pb.CreateEmbeddingsRequest, model: str) -> int:
    """Estimated tokens of all inputs of an embeddings request."""
    tokenizer = Tokenizer.if_loaded(model)
    return sum(len(entry.tokens.tokens) or tokenizer.count(entry.text) for entry in request.inputs)


def estimate_answer(completion: pb.Completion) -> int:
    """Estimated tokens of an answer's visible output, without its reasoning."""
    return sum(
        _message_tokens(choice.message, Tokenizer.if_loaded(completion.model))
        for choice in completion.choices
    )


def estimate_reasoning(completion: pb.Completion) -> int:
    """Estimated tokens of an answer's reasoning."""
    tokenizer = Tokenizer.if_loaded(completion.model)
    return sum(tokenizer.count(choice.message.reasoning) for choice in completion.choices)


def usage(
    input_tokens: int, visible: int, reasoning: int = 0, *, output: usage_pb2.Provenance
) -> usage_pb2.Usage:
    """Usage from estimates; `output` says where the output numbers come from."""
    return usage_pb2.Usage(
        input_tokens=input_tokens,
        output_tokens=visible + reasoning,
        total_tokens=input_tokens + visible + reasoning,
        uncached_input_tokens=input_tokens,
        visible_output_tokens=visible,
        reasoning_tokens=reasoning,
        input_provenance=usage_pb2.PROVENANCE_ESTIMATED,
        output_provenance=output,
    )


def _message_tokens(message: message_pb2.Message, tokenizer: Tokenizer) -> int:
    tokens = sum(tokenizer.count(part.text or part.refusal) for part in message.content)
    return tokens + sum(_called(call, tokenizer) for call in message.tool_calls)


def _called(call: message_pb2.ToolCall, tokenizer: Tokenizer) -> int:
    if call.HasField("custom"):
        return tokenizer.count(call.custom.name) + tokenizer.count(call.custom.input)
    return tokenizer.count(call.function.name) + tokenizer.count(call.function.arguments_json)


def _prompt(prompt: pb.TextPrompt, tokenizer: Tokenizer) -> TokenTally:
    """A bare text has no frame around it."""
    ids = len(prompt.tokens.tokens)
    total = TokenTally(exact=ids > 0 or tokenizer.encoding is not None)
    total.add(ids or tokenizer.count(prompt.text))
    if prompt.suffix:
        total.add(tokenizer.count(prompt.suffix), exact=False)
    return total


def _part(total: TokenTally, part: message_pb2.ContentPart, tokenizer: Tokenizer) -> None:
    kind = part.WhichOneof("part")
    if kind == "image":
        tokens, known = images.count(part.image, tokenizer.model)
        total.add(tokens, exact=known)
    elif kind == "audio":
        total.add(round(len(part.audio.data) * PER_AUDIO_BYTE), exact=False)
    elif kind == "file":
        total.add(round(len(part.file.file_data) * 3 / 4 * PER_FILE_BYTE), exact=False)
    else:
        total.add(tokenizer.count(part.text or part.refusal))


def _tool(total: TokenTally, tool: message_pb2.Tool, tokenizer: Tokenizer) -> None:
    """By the cookbook's formula, which covers flat objects; what is nested counts as its JSON."""
    kind = tool.function if tool.HasField("function") else tool.custom
    total.add(PER_TOOL.get(tokenizer.name, PER_TOOL_OTHERWISE), exact=tool.HasField("function"))
    total.add(tokenizer.count(f"{kind.name}:{kind.description.removesuffix('.')}"))
    if tool.HasField("custom"):
        total.add(tokenizer.count(tool.custom.format_json), exact=False)
        return
    schema = _json.decode(tool.function.parameters_json or "{}")
    properties = schema.get("properties", {})
    if schema.keys() - {"type", "properties", "required"} or not isinstance(properties, dict):
        total.add(tokenizer.count(tool.function.parameters_json), exact=False)
    elif properties:
        total.add(PER_PROPERTIES)
        for name, value in properties.items():
            _property(total, name, value, tokenizer)


def _property(total: TokenTally, name: str, value: Any, tokenizer: Tokenizer) -> None:
    plain = isinstance(value, dict) and isinstance(value.get("type"), str)
    if not plain or value.keys() - {"type", "description", "enum"}:
        text = msgspec.json.encode({name: value}).decode()
        total.add(PER_PROPERTY + tokenizer.count(text), exact=False)
        return
    total.add(PER_PROPERTY)
    if "enum" in value:
        values: Iterable[Any] = value["enum"] if isinstance(value["enum"], list) else ()
        total.add(PER_ENUM + sum(PER_VALUE + tokenizer.count(str(item)) for item in values))
    described = str(value.get("description", "")).removesuffix(".")
    total.add(tokenizer.count(f"{name}:{value['type']}:{described}"))

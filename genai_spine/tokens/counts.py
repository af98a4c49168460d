"""Tokens of requests and answers: counted with the model's encoding or estimated, never taken for a bill."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from typing import Any

import msgspec

from genai_spine.tokens import images
from genai_spine.tokens.tokenizer import Measure
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
class Tally:
    """What has been counted so far."""

    tokens: int = 0
    exact: bool = True  # by the model's own encoding and by documented rules

    def add(self, tokens: int, *, exact: bool = True) -> None:
        self.tokens += tokens
        self.exact = self.exact and exact

    @property
    def provenance(self) -> usage_pb2.Provenance:
        """As CountTokens says it."""
        return usage_pb2.PROVENANCE_PROVIDER_REPORTED if self.exact else usage_pb2.PROVENANCE_ESTIMATED


def tally(request: pb.CreateCompletionRequest, measure: Measure) -> Tally:
    """The input of a request whose model is the upstream's name."""
    if request.HasField("prompt"):
        return _prompt(request.prompt, measure)
    total = overhead(request, measure)
    for message in request.messages:
        one = tally_message(message, measure, request.model)
        total.add(one.tokens, exact=one.exact)
    return total


async def tally_soon(request: pb.CreateCompletionRequest, measure: Measure) -> Tally:
    """As tally(); a large request is counted in a thread."""
    if request.ByteSize() < LARGE:
        return tally(request, measure)
    return await asyncio.to_thread(tally, request, measure)


async def least_soon(request: pb.CreateCompletionRequest, measure: Measure) -> int:
    """Tokens that the input has for certain: those of its text, without images, tools and frames."""

    def least() -> int:
        parts = (part for message in request.messages for part in message.content)
        said = sum(measure.least(part.text or part.refusal) for part in parts)
        return said + measure.least(request.prompt.text) + len(request.prompt.tokens.tokens)

    return least() if request.ByteSize() < LARGE else await asyncio.to_thread(least)


async def sizes_soon(request: pb.CreateCompletionRequest, measure: Measure) -> list[int]:
    """Tokens of each message; those of a large request are counted in a thread."""

    def sizes() -> list[int]:
        return [tally_message(message, measure, request.model).tokens for message in request.messages]

    return sizes() if request.ByteSize() < LARGE else await asyncio.to_thread(sizes)


def overhead(request: pb.CreateCompletionRequest, measure: Measure) -> Tally:
    """What a chat has besides its messages: the beginning of the reply, tools, the form of the answer."""
    total = Tally(PER_REPLY, exact=measure.encoding is not None and request.model.startswith(DOCUMENTED))
    for tool in request.tools:
        _tool(total, tool, measure)
    if request.tools:
        total.add(PER_TOOLS_END)
    if request.response_format.HasField("json_schema"):
        total.add(measure.count(request.response_format.json_schema.schema_json), exact=False)
    return total


def tally_message(message: message_pb2.Message, measure: Measure, model: str) -> Tally:
    total = Tally(PER_MESSAGE)
    if message.HasField("name"):
        total.add(PER_NAME + measure.count(message.name))
    for part in message.content:
        _part(total, part, measure, model)
    for call in message.tool_calls:
        total.add(PER_MESSAGE + _called(call, measure), exact=False)
    return total


def estimate_input(request: pb.CreateCompletionRequest) -> int:
    return tally(request, Measure.at_hand(request.model)).tokens


def estimate_inputs(request: pb.CreateEmbeddingsRequest) -> int:
    measure = Measure.at_hand(request.model)
    return sum(len(entry.tokens.tokens) or measure.count(entry.text) for entry in request.inputs)


def estimate_answer(completion: pb.Completion) -> int:
    """What is seen of it; its reasoning is not among that."""
    return sum(_said(choice.message, Measure.at_hand(completion.model)) for choice in completion.choices)


def estimate_reasoning(completion: pb.Completion) -> int:
    measure = Measure.at_hand(completion.model)
    return sum(measure.count(choice.message.reasoning) for choice in completion.choices)


class Said:
    """What a stream has brought so far, kept as text, because it is counted only when it was cut."""

    __slots__ = ("_reasoning", "_visible")

    def __init__(self) -> None:
        self._visible: dict[int, StringIO] = {}  # by the number of the choice
        self._reasoning = StringIO()

    def add(self, delta: pb.ChoiceDelta) -> None:
        visible = self._visible.get(delta.index)
        if visible is None:
            visible = self._visible[delta.index] = StringIO()
        visible.write(delta.content or delta.refusal)
        if delta.reasoning:
            self._reasoning.write(delta.reasoning)
        for call in delta.tool_calls:
            visible.write(call.name)
            visible.write(call.arguments)

    def __bool__(self) -> bool:
        """Something has come."""
        return self._reasoning.tell() > 0 or any(text.tell() for text in self._visible.values())

    def usage(self, given: int, measure: Measure, output: usage_pb2.Provenance) -> usage_pb2.Usage:
        """given: tokens of the input. output: where the numbers of the output come from."""
        visible = sum(measure.count(text.getvalue()) for text in self._visible.values())
        return usage(given, visible, measure.count(self._reasoning.getvalue()), output=output)


def usage(given: int, visible: int, reasoning: int = 0, *, output: usage_pb2.Provenance) -> usage_pb2.Usage:
    """Usage from estimates; `output` says where the output numbers come from."""
    return usage_pb2.Usage(
        input_tokens=given,
        output_tokens=visible + reasoning,
        total_tokens=given + visible + reasoning,
        uncached_input_tokens=given,
        visible_output_tokens=visible,
        reasoning_tokens=reasoning,
        input_provenance=usage_pb2.PROVENANCE_ESTIMATED,
        output_provenance=output,
    )


def _said(message: message_pb2.Message, measure: Measure) -> int:
    said = sum(measure.count(part.text or part.refusal) for part in message.content)
    return said + sum(_called(call, measure) for call in message.tool_calls)


def _called(call: message_pb2.ToolCall, measure: Measure) -> int:
    if call.HasField("custom"):
        return measure.count(call.custom.name) + measure.count(call.custom.input)
    return measure.count(call.function.name) + measure.count(call.function.arguments_json)


def _prompt(prompt: pb.TextPrompt, measure: Measure) -> Tally:
    """A bare text has no frame around it."""
    ids = len(prompt.tokens.tokens)
    total = Tally(exact=ids > 0 or measure.encoding is not None)
    total.add(ids or measure.count(prompt.text))
    if prompt.suffix:
        total.add(measure.count(prompt.suffix), exact=False)
    return total


def _part(total: Tally, part: message_pb2.ContentPart, measure: Measure, model: str) -> None:
    kind = part.WhichOneof("part")
    if kind == "image":
        tokens, known = images.count(part.image, model)
        total.add(tokens, exact=known)
    elif kind == "audio":
        total.add(round(len(part.audio.data) * PER_AUDIO_BYTE), exact=False)
    elif kind == "file":
        total.add(round(len(part.file.file_data) * 3 / 4 * PER_FILE_BYTE), exact=False)
    else:
        total.add(measure.count(part.text or part.refusal))


def _tool(total: Tally, tool: message_pb2.Tool, measure: Measure) -> None:
    """By the cookbook's formula, which covers flat objects; what is nested counts as its JSON."""
    kind = tool.function if tool.HasField("function") else tool.custom
    total.add(PER_TOOL.get(measure.name, PER_TOOL_OTHERWISE), exact=tool.HasField("function"))
    total.add(measure.count(f"{kind.name}:{kind.description.removesuffix('.')}"))
    if tool.HasField("custom"):
        total.add(measure.count(tool.custom.format_json), exact=False)
        return
    schema = _json.decode(tool.function.parameters_json or "{}")
    properties = schema.get("properties", {})
    if schema.keys() - {"type", "properties", "required"} or not isinstance(properties, dict):
        total.add(measure.count(tool.function.parameters_json), exact=False)
    elif properties:
        total.add(PER_PROPERTIES)
        for name, value in properties.items():
            _property(total, name, value, measure)


def _property(total: Tally, name: str, value: Any, measure: Measure) -> None:
    plain = isinstance(value, dict) and isinstance(value.get("type"), str)
    if not plain or value.keys() - {"type", "description", "enum"}:
        text = msgspec.json.encode({name: value}).decode()
        total.add(PER_PROPERTY + measure.count(text), exact=False)
        return
    total.add(PER_PROPERTY)
    if "enum" in value:
        values: Iterable[Any] = value["enum"] if isinstance(value["enum"], list) else ()
        total.add(PER_ENUM + sum(PER_VALUE + measure.count(str(item)) for item in values))
    described = str(value.get("description", "")).removesuffix(".")
    total.add(measure.count(f"{name}:{value['type']}:{described}"))

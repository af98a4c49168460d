"""Chunks of a streamed answer: joined, folded into one Completion, and a Completion told as chunks."""

from collections.abc import AsyncIterator, Iterator, Sequence

from genai_spine.chunk_builder import ChunkBuilder
from genai_spine.v1 import completion_service_pb2 as pb

SCALARS = ("system_fingerprint", "service_tier", "latency_ms")  # optional in chunk and answer


async def fold(chunks: AsyncIterator[pb.CompletionChunk]) -> pb.Completion:
    """The Completion that the stream spells out."""
    whole = ChunkBuilder()
    async for chunk in chunks:
        whole.add(chunk)
    return completion(whole.build())


def joined(chunks: Sequence[pb.CompletionChunk]) -> pb.CompletionChunk:
    """One chunk that says what all of them say; at least one, and they stay as they are."""
    if len(chunks) == 1:
        copy = pb.CompletionChunk()
        copy.CopyFrom(chunks[0])
        return copy
    whole = ChunkBuilder()
    for chunk in chunks:
        whole.add(chunk)
    return whole.build()


def completion(whole: pb.CompletionChunk) -> pb.Completion:
    """A Completion from a chunk into which the whole stream was merged."""
    result = pb.Completion(id=whole.id, created=whole.created, model=whole.model, provider=whole.provider)
    result.request_id, result.execution_id = whole.request_id, whole.execution_id
    for name in ("usage", "cost"):
        if whole.HasField(name):
            getattr(result, name).CopyFrom(getattr(whole, name))
    for name in SCALARS:
        if whole.HasField(name):
            setattr(result, name, getattr(whole, name))
    result.cache_status = whole.cache_status
    for delta in sorted(whole.choices, key=lambda delta: delta.index):
        result.choices.append(_choice(delta))
    return result


def as_chunk(answer: pb.Completion) -> pb.CompletionChunk:
    """The one chunk of a stream that spells out the answer."""
    chunk = _totals_of(answer)
    chunk.choices.extend(map(_delta, answer.choices))
    return chunk


def unfold(whole: pb.Completion) -> Iterator[pb.CompletionChunk]:
    """The answer as a stream: one chunk for each choice, and one more with usage and cost."""
    for choice in whole.choices:
        chunk = _part_of(whole)
        chunk.choices.append(_delta(choice))
        yield chunk
    last = _totals_of(whole)
    last.latency_ms, last.cache_status = whole.latency_ms, whole.cache_status
    yield last


def _totals_of(whole: pb.Completion) -> pb.CompletionChunk:
    chunk = _part_of(whole)
    for name in ("usage", "cost"):
        if whole.HasField(name):
            getattr(chunk, name).CopyFrom(getattr(whole, name))
    return chunk


def _part_of(whole: pb.Completion) -> pb.CompletionChunk:
    chunk = pb.CompletionChunk(id=whole.id, created=whole.created, model=whole.model, provider=whole.provider)
    chunk.request_id, chunk.execution_id = whole.request_id, whole.execution_id
    for name in ("system_fingerprint", "service_tier"):
        if whole.HasField(name):
            setattr(chunk, name, getattr(whole, name))
    return chunk


def _delta(choice: pb.Choice) -> pb.ChoiceDelta:
    message = choice.message
    delta = pb.ChoiceDelta(
        index=choice.index, finish_reason=choice.finish_reason, reasoning=message.reasoning
    )
    delta.content = "".join(part.text for part in message.content)
    delta.refusal = "".join(part.refusal for part in message.content)
    for name in ("annotations_json", "reasoning_state_json"):
        if message.HasField(name):
            setattr(delta, name, getattr(message, name))
    for index, call in enumerate(message.tool_calls):
        custom = call.WhichOneof("call") == "custom"
        called = call.custom if custom else call.function
        arguments = call.custom.input if custom else call.function.arguments
        delta.tool_calls.add(index=index, id=call.id, name=called.name, arguments=arguments, is_custom=custom)
    if choice.HasField("logprobs"):
        delta.logprobs.CopyFrom(choice.logprobs)
    if choice.HasField("parsed_json"):
        delta.parsed_json = choice.parsed_json
    return delta


def _choice(delta: pb.ChoiceDelta) -> pb.Choice:
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    if delta.content:
        message.content.add(text=delta.content)
    if delta.refusal:
        message.content.add(refusal=delta.refusal)
    if delta.reasoning:
        message.reasoning = delta.reasoning
    for name in ("annotations_json", "reasoning_state_json"):
        if delta.HasField(name):
            setattr(message, name, getattr(delta, name))
    for piece in sorted(delta.tool_calls, key=lambda piece: piece.index):
        message.tool_calls.append(_tool_call(piece))
    choice = pb.Choice(index=delta.index, message=message, finish_reason=delta.finish_reason)
    if delta.HasField("logprobs"):
        choice.logprobs.CopyFrom(delta.logprobs)
    if delta.HasField("parsed_json"):
        choice.parsed_json = delta.parsed_json
    return choice


def _tool_call(piece: pb.ToolCallDelta) -> pb.ToolCall:
    if piece.is_custom:
        return pb.ToolCall(id=piece.id, custom=pb.CustomCall(name=piece.name, input=piece.arguments))
    return pb.ToolCall(id=piece.id, function=pb.FunctionCall(name=piece.name, arguments=piece.arguments))

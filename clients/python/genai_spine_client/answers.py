"""Answers: the contract's messages, with what most callers read within one step."""

from dataclasses import dataclass

from genai_spine_client.gen.genai_spine.v1 import (
    ChoiceDelta,
    Completion,
    CompletionChunk,
    Cost,
    CreateEmbeddingsResponse,
    FinishReason,
    ToolCall,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a call consumed and what that cost."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cost: float | None  # US dollars; None when the model's price is not known


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. With several choices, content, tool_calls and finish_reason are the first one's."""

    completion: Completion

    @property
    def content(self) -> str:
        message = self.completion.choices[0].message
        return "".join(part.text or "" for part in message.content) if message else ""

    @property
    def tool_calls(self) -> list[ToolCall]:
        message = self.completion.choices[0].message
        return message.tool_calls if message else []

    @property
    def finish_reason(self) -> FinishReason:
        return self.completion.choices[0].finish_reason

    @property
    def usage(self) -> Spent:
        return _spent(self.completion.usage, self.completion.cost)

    @property
    def model(self) -> str:
        return self.completion.model

    @property
    def provider(self) -> str:
        return self.completion.provider

    @property
    def request_id(self) -> str:
        return self.completion.request_id

    @property
    def execution_id(self) -> str:
        return self.completion.execution_id


@dataclass(frozen=True, slots=True)
class Piece:
    """What was added to an answer. With several choices, see chunk.choices."""

    chunk: CompletionChunk

    @property
    def content(self) -> str:
        """The next characters of the first choice; empty in a piece that brings something else."""
        first = self._first
        return first.content if first else ""

    @property
    def finish_reason(self) -> FinishReason | None:
        first = self._first
        return first.finish_reason or None if first else None

    @property
    def usage(self) -> Spent | None:
        """Only in the last piece."""
        return _spent(self.chunk.usage, self.chunk.cost) if self.chunk.usage else None

    @property
    def request_id(self) -> str:
        return self.chunk.request_id

    @property
    def execution_id(self) -> str:
        return self.chunk.execution_id

    @property
    def _first(self) -> ChoiceDelta | None:
        return next((delta for delta in self.chunk.choices if delta.index == 0), None)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors in the order of the texts."""

    response: CreateEmbeddingsResponse

    @property
    def vectors(self) -> list[list[float]]:
        return [embedding.values for embedding in self.response.embeddings]

    @property
    def usage(self) -> Spent:
        return _spent(self.response.usage, self.response.cost)

    @property
    def model(self) -> str:
        return self.response.model

    @property
    def request_id(self) -> str:
        return self.response.request_id


def _spent(usage: Usage | None, cost: Cost | None) -> Spent:
    usage = usage or Usage()
    price = cost.cost_usd if cost and cost.price_known else None
    return Spent(usage.input_tokens, usage.output_tokens, usage.total_tokens, price)

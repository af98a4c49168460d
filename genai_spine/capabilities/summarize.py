"""Summarize: a text in some sentences or bullet points."""

from typing import Any

from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.text import answer_parsing, chunking
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb

BULLET = "•"
BULLETS = "bullet_points"


class Summarize(Capability[pb.SummarizeRequest, pb.SummarizeResponse]):
    """Summarization as a paragraph or bullet points, with the compression ratio."""

    NAME = "summarize"
    METHOD = "Summarize"
    REQUEST = pb.SummarizeRequest
    RESPONSE = pb.SummarizeResponse
    TEMPERATURE = 0.3

    def apply_defaults(self, request: pb.SummarizeRequest) -> None:
        request.max_sentences = request.max_sentences or 3
        request.output_format = request.output_format or "paragraph"

    def variables(self, request: pb.SummarizeRequest, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "max_sentences": request.max_sentences,
            "output_format": request.output_format,
            "focus": request.focus,
            "max_words": request.max_words,
        }

    def read(self, answer: Answer, request: pb.SummarizeRequest, chunk: TextChunk) -> pb.SummarizeResponse:
        summary = answer_parsing.unfenced(answer_parsing.plain(answer.text)).strip()
        if not summary:
            raise answer_parsing.UnreadableAnswer("the answer holds no summary")
        points: list[str] = []
        if request.output_format == BULLETS:
            points = _points(summary)
            summary = "\n".join(f"{BULLET} {point}" for point in points)
        return pb.SummarizeResponse(
            summary=summary,
            key_points=points,
            word_count=_word_count(summary),
        )

    async def finish(self, response: pb.SummarizeResponse, request: pb.SummarizeRequest) -> None:
        words = _word_count(request.content)
        response.compression_ratio = round(1 - response.word_count / words, 3) if words else 0.0

    async def join(
        self, results: list[ChunkResult], request: pb.SummarizeRequest, context: Context
    ) -> pb.SummarizeResponse:
        """A summary of the summaries; where those are too long together, again in chunks."""
        summaries = "\n\n".join(result.response.summary for result in results)
        if sum(len(result.chunk.text) for result in results) <= len(summaries):
            raise answer_parsing.UnreadableAnswer("the summaries are as long as the text")
        return await self.process(await self.chunks(TextChunk(summaries), request, context), request, context)


def _points(summary: str) -> list[str]:
    """The bullet points; of an answer without bullets its lines, and of one line its sentences."""
    lines = [line.strip() for line in summary.splitlines() if line.strip()]
    marked = [line for line in lines if answer_parsing.BULLET.match(line) or line.startswith(BULLET)]
    if not marked and len(lines) == 1:
        marked = [summary[start:end] for start, end in chunking.sentences(summary)]
    return [answer_parsing.BULLET.sub("", line).removeprefix(BULLET).strip() for line in marked or lines]


def _word_count(text: str) -> int:
    return sum(word != BULLET for word in text.split())

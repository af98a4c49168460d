"""Rewrite: the same text in another form or tone."""

import json
from typing import Any

from google.protobuf import json_format

from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb

TEMPERATURES = {
    "clean": 0.3,
    "format": 0.3,
    "organize": 0.3,
    "professional": 0.4,
    "casual": 0.6,
    "summarize": 0.2,
    "technical": 0.3,
}


class Rewrite(Capability[pb.RewriteRequest, pb.RewriteResponse]):
    """Rewriting of a text in a mode: cleaned, formatted, in another tone."""

    NAME = "rewrite"
    METHOD = "Rewrite"
    REQUEST = pb.RewriteRequest
    RESPONSE = pb.RewriteResponse
    TEMPERATURE = 0.3
    ECHOES = True

    def apply_defaults(self, request: pb.RewriteRequest) -> None:
        request.mode = request.mode or request.style or "clean"

    def tag(self, request: pb.RewriteRequest) -> str:
        return f"rewrite-{request.mode}"

    def temperature(self, request: pb.RewriteRequest) -> float:
        return request.temperature if request.HasField("temperature") else TEMPERATURES[request.mode]

    def variables(self, request: pb.RewriteRequest, chunk: TextChunk) -> dict[str, Any]:
        preserve = request.preserve_code_blocks or not request.HasField("preserve_code_blocks")
        return {
            "content": chunk.text,
            "mode": request.mode,
            "preserve_code_blocks": preserve,
            "context": _instruction(request.context),
            "part": f"part {chunk.number} of {chunk.total}" if chunk.total > 1 else "",
        }

    def read(self, answer: Answer, request: pb.RewriteRequest, chunk: TextChunk) -> pb.RewriteResponse:
        text = answer_parsing.plain(answer.text)
        if not chunk.text.lstrip().startswith("```"):
            text = answer_parsing.unfenced(text)
        return _response(text.strip(), request)

    async def join(
        self, results: list[ChunkResult], request: pb.RewriteRequest, context: Context
    ) -> pb.RewriteResponse:
        """The rewritten chunks one after another, with the blanks that stood between them."""
        written = "".join(result.response.rewritten + _end(result.chunk.text) for result in results)
        return _response(written.strip(), request)


def _response(text: str, request: pb.RewriteRequest) -> pb.RewriteResponse:
    if not text:
        raise answer_parsing.UnreadableAnswer("the answer holds no text")
    return pb.RewriteResponse(original=request.content, rewritten=text, content=text, mode=request.mode)


def _end(text: str) -> str:
    """The blanks at the end of a text."""
    return text[len(text.rstrip()) :]


def _instruction(context: Any) -> str:
    """A context as text: a string as it is, anything else as JSON; empty: there is none."""
    kind = context.WhichOneof("kind")
    if kind in (None, "null_value"):
        return ""
    if kind == "string_value":
        return str(context.string_value)
    return json.dumps(_whole_text(json_format.MessageToDict(context)), ensure_ascii=False, sort_keys=True)


def _whole_text(value: Any) -> Any:
    """JSON's 3.0 is the integer 3."""
    if isinstance(value, dict):
        return {name: _whole_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole_text(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

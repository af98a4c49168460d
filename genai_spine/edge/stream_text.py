"""Kept text: what a message of a stream says, read from its bytes as they went out."""

from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message_factory import GetMessageClass

from genai_spine.delivery.lost_streams import StreamText
from genai_spine.edge.keyed_calls import described
from genai_spine.openai_api import sse
from genai_spine.v1 import completion_service_pb2 as pb

CHUNK = pb.CompletionChunk.DESCRIPTOR.full_name
BYTES = HttpBody.DESCRIPTOR.full_name


def stream_text(method: str, data: bytes) -> StreamText:
    """Text of a message of a method; empty: it has none that is counted."""
    contract = described(method)
    if contract is None:
        return StreamText()
    kind = contract.output_type
    if kind.full_name == BYTES:
        return StreamText(*sse.text_of(data))
    if kind.full_name == CHUNK:
        deltas = pb.CompletionChunk.FromString(data).choices
        return StreamText("".join(map(_visible, deltas)), "".join(delta.reasoning for delta in deltas))
    message: Any = GetMessageClass(kind).FromString(data)
    return StreamText(message.text if "text" in kind.fields_by_name else "")


def _visible(delta: pb.ChoiceDelta) -> str:
    called = "".join(call.name + call.arguments for call in delta.tool_calls)
    return (delta.content or delta.refusal) + called

"""Lines of OpenAI's batch files: requests read into items of a batch, and items written as answers.

Shapes: https://platform.openai.com/docs/api-reference/batch/request-input, 2026-11-30.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from genai_spine import validation
from genai_spine.errors import InvalidRequest, SpineError
from genai_spine.openai_api import requests, responses
from genai_spine.openai_api.schemas import Embedding, Text
from genai_spine.v1.batch_pb2 import BatchItem, RunItem
from genai_spine.v1.item_work_pb2 import ItemWork

CHAT, TEXT, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
ENDPOINTS = (CHAT, TEXT, EMBEDDINGS)
MAX_LINES = 50_000
MAX_LINE_BYTES = 16 << 20


class Line(Struct):
    """One request of an input file."""

    custom_id: str
    url: str
    body: Raw
    method: str = "POST"


LINE = msgspec.json.Decoder(Line)


async def items_of(pieces: AsyncIterator[bytes], endpoint: str) -> list[BatchItem]:
    """Items of an input file. Errors: InvalidRequest that names the line."""
    items: list[BatchItem] = []
    seen: set[str] = set()
    async for text in _lines(pieces):
        if not text.strip():
            continue
        number = len(items) + 1
        if number > MAX_LINES:
            raise _wrong(number, f"is one more than a batch may have, {MAX_LINES}")
        item = _item(text, endpoint, number)
        if item.item_id in seen:
            raise _wrong(number, f"has custom_id {item.item_id[:128]!r} again")
        seen.add(item.item_id)
        items.append(item)
    if not items:
        raise InvalidRequest(field="input_file_id", problem="names a file without a request")
    return items


def answer_line(item: RunItem, run_id: str) -> dict[str, Any]:
    """Line of an output file, or, of an item that failed, of an error file."""
    id = f"batch_req_{run_id.replace('-', '')}_{item.index}"
    line: dict[str, Any] = {"id": id, "custom_id": item.item_id, "response": None, "error": None}
    if item.status != "completed":
        code = item.error_type or "batch_expired"
        line["error"] = {"code": code.lower(), "message": item.error or "this request was not made"}
        return line
    body = _body(item)
    line["response"] = {"status_code": 200, "request_id": id, "body": body}
    return line


def _body(item: RunItem) -> Any:
    response = item.response
    if response.HasField("embeddings"):
        return Raw(responses.embeddings(response.embeddings, as_base64=False))
    if item.work.completion.HasField("prompt"):
        return Raw(responses.text([response.completion], [""]))
    return responses.chat_object(response.completion, before_tools=False)


def _item(text: bytes, endpoint: str, number: int) -> BatchItem:
    """Errors: InvalidRequest that names the line."""
    try:
        line = LINE.decode(text)
    except msgspec.MsgspecError as error:
        raise _wrong(number, str(error)) from None
    if line.url != endpoint:
        raise _wrong(number, f"has url {line.url[:100]!r}, and the batch is for {endpoint}")
    if line.method.upper() != "POST":
        raise _wrong(number, "must have the method POST")
    if not 1 <= len(line.custom_id) <= 128 or "\0" in line.custom_id:
        raise _wrong(number, "must have a custom_id of 1 to 128 characters")
    item = BatchItem(item_id=line.custom_id)
    try:
        _read(item.work, endpoint, bytes(line.body))
        validation.check_without_aliases(item)
    except SpineError as error:
        raise _wrong(number, f"body: {error}") from None
    return item


def _read(work: ItemWork, endpoint: str, body: bytes) -> None:
    """Errors: InvalidRequest, InvalidFields."""
    if endpoint == EMBEDDINGS:
        embedding = requests.decode(body, Embedding)
        work.embeddings.CopyFrom(requests.embedding_request(requests.fields(body), embedding))
        return
    if endpoint == TEXT:
        texts = requests.text_requests(body, text := requests.decode(body, Text))
        if len(texts) != 1 or text.stream:
            raise InvalidRequest(field="prompt", problem="must be one prompt, and not streamed")
        work.completion.CopyFrom(texts[0])
        return
    chat = requests.decode_chat(body)
    if chat.stream:
        raise InvalidRequest(field="stream", problem="cannot be asked for in a batch")
    work.completion.CopyFrom(requests.chat_request(requests.fields(body), chat))


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Errors: InvalidRequest for a line that is too long."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > MAX_LINE_BYTES:
            raise InvalidRequest(
                field="input_file_id", problem=f"has a line of more than {MAX_LINE_BYTES} bytes"
            )
    yield rest


def _wrong(number: int, problem: str) -> InvalidRequest:
    return InvalidRequest(field="input_file_id", problem=f"line {number} {problem}"[:500])

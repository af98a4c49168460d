"""Streams after the examples of Anthropic's documentation, and the completions that they spell out.

golden/anthropic/NAME.sse is the body of an answer, NAME.json the completion.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, completion
from genai_spine.providers.anthropic.response import EVENT, MessageReader
from genai_spine.providers.http.event_stream import ServerSentEvents
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2
from tests.contract.spoken import Spoken, folded, speaking
from tests.direct import direct
from tests.upstreams.reply import Reply

GOLDEN = Path(__file__).parent / "golden" / "anthropic"
WHOLE = sorted(path.stem for path in GOLDEN.glob("*.json"))


def expected(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def shown(found: pb.Completion) -> Any:
    found.usage.ClearField("reported_json")  # the transcript's own, which the readers' tests look at
    return MessageToDict(found, preserving_proto_field_name=True)


def read_in(*reads: bytes) -> Any:
    """The completion that comes of a stream which arrived in these reads."""
    splitter, reader, whole = ServerSentEvents(), MessageReader(), ChunkBuilder()
    for read in reads:
        for payload in splitter.feed(read):
            reader.take(EVENT.decode(payload))
        whole.add(reader.chunk())
    assert reader.done
    return shown(completion(whole.build()))


def test_every_whole_transcript_has_its_completion() -> None:
    assert set(WHOLE) == {path.stem for path in GOLDEN.glob("*.sse")} - {"cut", "overloaded"}


@pytest.mark.parametrize("pace", [{}, {"bytes_per_write": 1}, {"bytes_per_write": 1000}])
@pytest.mark.parametrize("name", WHOLE)
async def test_a_transcript_becomes_its_completion(name: str, pace: Any) -> None:
    body = (GOLDEN / f"{name}.sse").read_text()
    async with speaking("anthropic") as spoken:
        spoken.up.script(Reply(body=body, content_type="text/event-stream", **pace))
        assert shown(await folded(await spoken.chunks(spoken.request()))) == expected(name)


@pytest.mark.parametrize("name", WHOLE)
def test_wherever_a_transcript_is_cut_into_two_reads_it_says_the_same(name: str) -> None:
    body = (GOLDEN / f"{name}.sse").read_bytes()
    for at in range(len(body)):
        assert read_in(body[:at], body[at:]) == expected(name), at


@pytest.mark.parametrize("name", WHOLE)
def test_line_ends_of_two_bytes_change_nothing(name: str) -> None:
    body = (GOLDEN / f"{name}.sse").read_bytes().replace(b"\n", b"\r\n")
    for at in range(0, len(body), 7):
        assert read_in(body[:at], body[at:]) == expected(name), at


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("cut", errors.ProviderError, "cut_stream"),
        ("overloaded", errors.ProviderUnavailable, "overloaded_error"),
    ],
)
async def test_a_stream_that_breaks_off_has_told_its_text_and_its_input(
    name: str, kind: Any, code: str
) -> None:
    async with speaking("anthropic") as spoken:
        body = (GOLDEN / f"{name}.sse").read_text()
        spoken.up.script(Reply(body=body, content_type="text/event-stream"))
        chunks, error = await _until_error(spoken)
    told = await folded(chunks)
    assert (type(error), error.metadata["provider_code"]) == (kind, code)
    assert told.choices[0].message.content[0].text == "Once upon"
    usage = told.usage
    assert usage.uncached_input_tokens == 33
    assert usage.input_tokens == usage.total_tokens == (45 if name == "cut" else 33)
    assert usage.input_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
    assert not usage.output_provenance, "the output was not counted to its end"


async def _until_error(spoken: Spoken) -> tuple[list[pb.CompletionChunk], errors.SpineError]:
    chunks = []
    try:
        async for chunk in direct(spoken.provider).stream(spoken.request(), Call()):
            chunks.append(chunk)
    except errors.SpineError as error:
        return chunks, error
    raise AssertionError("no error")

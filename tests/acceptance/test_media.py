"""Images, sound, files and batches by the official SDK and by REST, through real Envoy and a real server."""

import base64
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import openai
import pytest

from genai_spine.v1.operation_pb2 import (
    OPERATION_BATCH,
    OPERATION_IMAGE,
    OPERATION_SPEECH,
    OPERATION_TRANSCRIPTION,
)
from tests.acceptance import node
from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.upstreams import forms, openai_errors, openai_media
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply, Usage

# All bytes, line ends and boundaries among them; an edge that reads text would change it.
SOUND = bytes(range(256)) * 40 + b"\r\n--boundary--\r\n" + bytes(range(256))
BOTH_PREFIXES = pytest.mark.parametrize("sdk", ["/v1", "/api/v1"], indirect=True)
MIB = 1 << 20


@pytest.fixture
async def sdk(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    http = openai.DefaultAsyncHttpxClient(verify=False)  # no TLS here, and reading certificates takes 50 ms
    url = stack.url + getattr(request, "param", "/v1")
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
        yield client


@pytest.fixture
def provider_sdk(sdk: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    """Client whose files and batches are the provider's; without the header they are kept here."""
    return sdk.with_options(default_headers={"x-genai-provider": "openai"})


async def row(stack: Stack, answer: Any) -> Any:
    (execution,) = await stack.executions(answer.request_id)
    return execution


# --- Images


@BOTH_PREFIXES
async def test_images_come_back_byte_by_byte_and_are_on_the_books(
    sdk: openai.AsyncOpenAI, stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(usage=Usage(prompt_tokens=11)))
    answer: Any = await sdk.images.generate(
        model="gpt-image-1", prompt="A red fox", n=2, extra_body={"background": "opaque"}
    )
    assert [base64.b64decode(one.b64_json) for one in answer.data] == [
        openai_media.PNG + bytes([number]) for number in range(2)
    ]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 2 * openai_media.IMAGE_TOKENS)
    assert openai_upstream.bill()[0].body["background"] == "opaque"
    booked = await row(stack, answer)
    assert (booked.operation, booked.model, booked.units.images) == (OPERATION_IMAGE, "gpt-image-1", 2)
    assert (booked.usage.input_tokens, booked.usage.output_tokens) == (11, 544)
    assert booked.cost.price_known
    assert answer.cost_usd == pytest.approx((11 * 5 + 544 * 40) / 1e6)


async def test_image_that_the_provider_keeps_is_a_url(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    answer: Any = await sdk.images.generate(model="dall-e-3", prompt="A red fox")
    assert answer.data[0].url == "https://images.example/0.png"
    again: Any = await sdk.images.generate(model="dall-e-3", prompt="Fox", response_format="b64_json")
    assert again.data[0].b64_json


async def test_images_of_many_megabytes_come_through(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    data = bytes(range(256)) * (22 * MIB // 256)
    large = {"b64_json": base64.b64encode(data).decode()}
    openai_upstream.script(Reply(body={"created": 1, "data": [large, large]}))
    answer: Any = await sdk.images.generate(model="gpt-image-1", prompt="A red fox", n=2)
    assert [base64.b64decode(one.b64_json) == data for one in answer.data] == [True, True]


# --- Speech to text


@BOTH_PREFIXES
async def test_recorded_sound_arrives_byte_by_byte(
    sdk: openai.AsyncOpenAI, stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    answer: Any = await sdk.audio.transcriptions.create(
        model="whisper-1", file=("talk é.wav", SOUND), language="en", prompt="Fox", temperature=0.25
    )
    (entry,) = openai_upstream.bill()
    assert forms.data_of(entry.body["file"]) == SOUND
    assert entry.body["file"]["filename"] == "talk é.wav"
    assert (entry.body["language"], entry.body["prompt"], entry.body["temperature"]) == ("en", "Fox", "0.25")
    assert answer.text == "Hé llo wörld, 日本."
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 5)
    booked = await row(stack, answer)
    assert (booked.operation, booked.units.audio_ms) == (OPERATION_TRANSCRIPTION, 5000)


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
async def test_captions_are_those_of_openai_itself(
    sdk: openai.AsyncOpenAI, openai_process: UpstreamProcess, form: Any
) -> None:
    ours: Any = await sdk.audio.transcriptions.create(
        model="whisper-1", file=("a.mp3", SOUND), response_format=form
    )
    async with openai.AsyncOpenAI(base_url=openai_process.base_url, api_key="sk", max_retries=0) as direct:
        theirs: Any = await direct.audio.transcriptions.create(
            model="whisper-1", file=("a.mp3", SOUND), response_format=form
        )
    assert ours == theirs


async def test_verbose_transcription_has_openais_own_details(
    sdk: openai.AsyncOpenAI, openai_process: UpstreamProcess
) -> None:
    asked: Any = {
        "model": "whisper-1",
        "file": ("a.mp3", SOUND),
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
    }
    ours: Any = await sdk.audio.transcriptions.create(**asked)
    async with openai.AsyncOpenAI(base_url=openai_process.base_url, api_key="sk", max_retries=0) as direct:
        theirs: Any = await direct.audio.transcriptions.create(**asked)
    for name in ("text", "language", "duration", "segments", "words", "task", "usage"):
        assert getattr(ours, name) == getattr(theirs, name), name


async def test_translation_is_a_path_of_its_own(stack: Stack, openai_upstream: UpstreamProcess) -> None:
    answer = await posted_form(stack, "/v1/audio/translations", {"model": "whisper-1"}, SOUND)
    assert answer["status"] == 200
    assert answer["json"]["text"] == "Hé llo wörld, 日本."
    assert openai_upstream.bill()[0].path == "/v1/audio/translations"


async def posted_form(
    stack: Stack, path: str, texts: dict[str, str], data: bytes | None, **headers: str
) -> dict[str, Any]:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, text in texts.items():
        form.add_field(name, text)
    if data is not None:
        form.add_field("file", BytesIO(data), filename="a.wav", content_type="audio/wav")
    async with session(stack.url) as http, http.post(path, data=form, headers=headers) as answer:
        body = await answer.read()
        return {
            "status": answer.status,
            "headers": answer.headers,
            "json": json.loads(body) if answer.content_type == "application/json" else None,
        }


@pytest.mark.parametrize(
    ("texts", "data", "param", "said"),
    [
        ({"model": "whisper-1"}, None, "file", "is required"),
        ({"model": "whisper-1"}, b"", "file", "the file is empty"),
        ({"model": "whisper-1", "file": "text"}, None, "file", "must be a file, with a filename"),
        ({"model": "whisper-1", "stream": "true"}, b"x", "stream", "not streamed"),
        ({"model": "whisper-1", "response_format": "xml"}, b"x", "response_format", "must be one of json"),
        ({"model": "whisper-1", "temperature": "warm"}, b"x", "temperature", "must be a number"),
        ({"model": "whisper-1", "temperature": "3"}, b"x", "temperature", "must be at most 1"),
        (
            {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities[]": "hour"},
            b"x",
            "timestamp_granularities",
            "must be segment or word",
        ),
        ({}, b"x", "model", "has no default model"),
    ],
)
async def test_bad_form_is_refused_and_names_the_field(
    stack: Stack,
    openai_upstream: UpstreamProcess,
    texts: dict[str, str],
    data: bytes | None,
    param: str,
    said: str,
) -> None:
    answer = await posted_form(stack, "/v1/audio/transcriptions", texts, data)
    assert answer["status"] == 400, answer
    error = answer["json"]["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert said in error["message"]
    assert openai_upstream.bill() == []


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("application/json", b"{}", "must be multipart/form-data"),
        ("multipart/form-data", b"x", "names no boundary"),
        ("multipart/form-data; boundary=x", b"--y\r\n", "not a multipart body"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1',
            "it ends",
        ),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n1\r\n--x--\r\n", "part 1 has no name"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations", "/v1/files"])
async def test_body_that_is_no_form_is_refused(
    stack: Stack, path: str, content_type: str, body: bytes, said: str
) -> None:
    headers = {"content-type": content_type}
    async with session(stack.url) as http, http.post(path, data=body, headers=headers) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
    assert error["param"] == "body"
    assert said in error["message"]


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/files"])
async def test_form_beyond_the_limit_is_413(stack: Stack, path: str) -> None:
    answer = await posted_form(stack, path, {"model": "whisper-1", "purpose": "batch"}, bytes(33 * MIB))
    assert answer["status"] == 413
    assert answer["json"]["error"]["type"] == "invalid_request_error"


# --- Text to speech


@BOTH_PREFIXES
async def test_speech_is_streamed_as_it_is_made(
    sdk: openai.AsyncOpenAI, stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(interval_s=0.1))
    speech = sdk.audio.speech.with_streaming_response.create(
        model="tts-1", input="Good day é", voice="nova", response_format="wav", speed=1.5
    )
    pieces = []
    async with speech as answer:
        assert answer.headers["content-type"] == "audio/wav"
        request_id, execution_id = answer.headers["x-request-id"], answer.headers["x-genai-execution-id"]
        async for piece in answer.iter_bytes():
            if not pieces:
                assert not openai_upstream.bill()[0].finished, "the first bytes come before the last are made"
            pieces.append(piece)
    assert b"".join(pieces) == b"".join(openai_media.SOUND)
    (booked,) = await stack.executions(request_id)
    assert (booked.id, booked.operation, booked.streamed) == (execution_id, OPERATION_SPEECH, True)
    assert booked.units.characters == len("Good day é")
    assert booked.first_token_ms < booked.latency_ms


async def test_speech_fails_before_its_first_byte_with_a_status(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(openai_errors.rate_limited(7))
    with pytest.raises(openai.RateLimitError) as failed:
        await sdk.audio.speech.create(model="tts-1", input="Hello", voice="nova")
    assert failed.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.BadRequestError, match="stream_format") as refused:
        await sdk.audio.speech.create(model="tts-1", input="Hello", voice="nova", stream_format="sse")
    assert refused.value.param == "stream_format"


async def test_typed_routes_answer_over_rest(stack: Stack, openai_upstream: UpstreamProcess) -> None:
    async with session(stack.url) as http:
        body = {"model": "gpt-image-1", "prompt": "A red fox"}
        async with http.post("/v1/images:create", json=body) as answer:
            image = await answer.json()
        assert base64.b64decode(image["images"][0]["data"]) == openai_media.PNG + b"\0"
        body = {"model": "whisper-1", "filename": "a.wav", "data": base64.b64encode(SOUND).decode()}
        async with http.post("/v1/transcriptions:create", json=body | {"segments": True}) as answer:
            heard = await answer.json()
        assert [segment["text"] for segment in heard["segments"]] == openai_media.HEARD
        async with http.post("/v1/speech:create", json={"model": "tts-1", "input": "Hi"}) as answer:
            assert answer.content_type == "text/event-stream"
            events = [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: ")]
        assert b"".join(base64.b64decode(event["data"]) for event in events) == b"".join(openai_media.SOUND)
        assert events[-1]["units"]["characters"] == 2


# --- Files and batches


def requests_file(*ids: str) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
    lines = [{"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body} for id in ids]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@BOTH_PREFIXES
async def test_official_client_keeps_files(
    provider_sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    content = SOUND + b"\n{}"
    kept = await provider_sdk.files.create(
        file=("a é.bin", content),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (kept.object, kept.bytes, kept.filename, kept.purpose) == (
        "file",
        len(content),
        "a é.bin",
        "user_data",
    )
    assert kept.expires_at
    second = await provider_sdk.files.create(file=("b.jsonl", requests_file("a")), purpose="batch")
    assert [file.id async for file in provider_sdk.files.list(limit=1)] == [second.id, kept.id]
    assert [file.id async for file in provider_sdk.files.list(order="asc", limit=1)] == [kept.id, second.id]
    assert [file.id async for file in provider_sdk.files.list(purpose="batch")] == [second.id]
    assert await provider_sdk.files.retrieve(kept.id) == kept
    assert (await provider_sdk.files.content(kept.id)).content == content
    gone = await provider_sdk.files.delete(kept.id)
    assert (gone.id, gone.deleted) == (kept.id, True)
    for call in (provider_sdk.files.retrieve, provider_sdk.files.delete, provider_sdk.files.content):
        with pytest.raises(openai.NotFoundError) as failed:
            await call(kept.id)
        assert failed.value.code == "NOT_FOUND"


@BOTH_PREFIXES
async def test_batch_of_the_official_client_is_booked_once(
    provider_sdk: openai.AsyncOpenAI, stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    file = await provider_sdk.files.create(
        file=("in.jsonl", requests_file("a", "b", "refuse-c")), purpose="batch"
    )
    prefix = str(provider_sdk.base_url).split("/")[3]  # of the two runs of this test, which share a ledger
    made = await provider_sdk.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"run": prefix},
    )
    assert (made.object, made.status, made.metadata) == ("batch", "validating", {"run": prefix})
    assert made.request_counts
    states = []
    for _ in range(5):
        batch: Any = await provider_sdk.batches.retrieve(made.id)
        states.append(batch.status)
    assert states == ["in_progress", "finalizing", "completed", "completed", "completed"]
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
    output = (await provider_sdk.files.content(batch.output_file_id)).text
    used = [json.loads(line)["response"]["body"]["usage"] for line in output.splitlines()]
    rows = await stack.executions(made.id)
    assert sorted(row.usage.input_tokens for row in rows) == [0, *(usage["prompt_tokens"] for usage in used)]
    assert [row.operation for row in rows] == [OPERATION_BATCH] * 3
    assert batch.booked_count == 3
    assert batch.cost_usd == pytest.approx(sum(row.cost.cost_ticks for row in rows) / 1e10)
    assert batch.cost_usd > 0
    assert [one.id async for one in provider_sdk.batches.list(limit=1)] == [made.id]


async def test_batch_can_be_cancelled(
    provider_sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    file = await provider_sdk.files.create(file=("in.jsonl", requests_file("a")), purpose="batch")
    made = await provider_sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert (await provider_sdk.batches.cancel(made.id)).status == "cancelling"
    with pytest.raises(openai.NotFoundError):
        await provider_sdk.batches.cancel("batch_none")
    with pytest.raises(openai.NotFoundError):
        await provider_sdk.batches.create(
            input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"
        )


async def test_header_chooses_the_provider_of_files(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="ollama does not offer files"):
        await sdk.files.list(extra_headers={"x-genai-provider": "ollama"})
    with pytest.raises(openai.BadRequestError, match="unknown provider 'nobody'") as failed:
        await sdk.batches.list(extra_headers={"x-genai-provider": "nobody"})
    assert failed.value.param == "provider"


async def test_typed_files_and_batches_over_rest(stack: Stack, openai_upstream: UpstreamProcess) -> None:
    async with session(stack.url) as http:
        body = {"filename": "in.jsonl", "purpose": "batch"}
        body["data"] = base64.b64encode(requests_file("a")).decode()
        async with http.post("/v1/providers/openai/files", json=body) as answer:
            file = await answer.json()
        assert (answer.status, file["provider"], file["status"]) == (200, "openai", "processed")
        async with http.get(f"/v1/providers/openai/files/{file['id']}/content") as answer:
            assert await answer.read() == requests_file("a")
        body = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions"}
        async with http.post("/v1/providers/openai/batches", json=body) as answer:
            batch = await answer.json()
        assert batch["state"] == "BATCH_STATE_VALIDATING"
        async with http.post(f"/v1/providers/openai/batches/{batch['id']}:cancel", json={}) as answer:
            assert (await answer.json())["state"] == "BATCH_STATE_CANCELLING"
        async with http.get("/v1/providers/openai/batches/batch_none") as answer:
            error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (404, "NOT_FOUND")


# --- Node


@pytest.fixture(scope="module")
def node_results(stack: Stack, openai_process: UpstreamProcess, typescript_client: object) -> dict[str, str]:
    return node.results("openai_media.mjs", SPINE_URL=stack.url, OPENAI_UPSTREAM_URL=openai_process.url)


@pytest.mark.parametrize("name", node.names("openai_media.mjs"))
def test_node_sdk(node_results: dict[str, str], name: str) -> None:
    assert node_results[name] == ""

"""Images and sound through a real channel: the answer, and the one row that each call leaves."""

import asyncio
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import media_service_pb2 as media
from tests.service.running import Running, failure
from tests.upstreams import openai_errors, openai_media
from tests.upstreams.reply import Reply, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED
FAILED = execution_pb2.EXECUTION_STATE_FAILED
CANCELLED = execution_pb2.EXECUTION_STATE_CANCELLED
SOUND = b"RIFF\x00\xff"
HOUR_OF_WHISPER_TICKS = 3_600_000_000  # 0.36 USD


def image(**fields: Any) -> media.CreateImagesRequest:
    return media.CreateImagesRequest(**({"model": "gpt-image-1", "prompt": "A fox"} | fields))


def sound(**fields: Any) -> media.CreateTranscriptionRequest:
    given: dict[str, Any] = {"model": "whisper-1", "data": SOUND, "filename": "a.wav"}
    return media.CreateTranscriptionRequest(**(given | fields))


def speech(**fields: Any) -> media.CreateSpeechRequest:
    return media.CreateSpeechRequest(**({"model": "tts-1", "input": "Good day é"} | fields))


async def only_row(service: Running, request_id: str) -> execution_pb2.Execution:
    [row] = await service.rows(request_id)
    return row


async def test_image_is_one_row_with_tokens_images_and_cost(booked: Running) -> None:
    booked.openai.script(Reply(usage=Usage(prompt_tokens=100)))
    answer = await booked.media.CreateImages(image(image_count=2, user="ann"))
    row = await only_row(booked, answer.request_id)
    assert (row.id, row.state, row.operation) == (answer.execution_id, SUCCEEDED, "image")
    assert (row.provider, row.model, row.requested_model, row.user) == (
        "openai",
        "gpt-image-1",
        "gpt-image-1",
        "ann",
    )
    assert row.units.images == answer.units.images == 2
    assert (row.usage.input_tokens, row.usage.output_tokens) == (100, 2 * openai_media.IMAGE_TOKENS)
    # gpt-image-1: 5 USD for 1M input, 40 for output.
    assert row.cost.cost_ticks == answer.cost.cost_ticks == (100 * 5 + 544 * 40) * 10_000
    assert (answer.provider, answer.model) == ("openai", "gpt-image-1")
    assert answer.created == 1763683200


async def test_image_that_is_not_billed_in_tokens_has_no_price_that_could_be_wrong(service: Running) -> None:
    answer = await service.media.CreateImages(image(model="dall-e-3"))
    row = await only_row(service, answer.request_id)
    assert (row.units.images, row.usage.total_tokens) == (1, 0)
    assert (row.cost.cost_ticks, row.cost.price_known) == (0, False)


@pytest.mark.parametrize(
    ("method", "request_of", "model"),
    [
        ("CreateImages", image, "gpt-image-1"),
        ("CreateTranscription", sound, "gpt-4o-mini-transcribe"),
        ("CreateSpeech", speech, "gpt-4o-mini-tts"),
    ],
)
async def test_provider_alone_means_its_default_model(
    service: Running, method: str, request_of: Any, model: str
) -> None:
    call = getattr(service.media, method)(request_of(model=None, provider="openai"))
    answers = [answer async for answer in call] if method == "CreateSpeech" else [await call]
    row = await only_row(service, answers[0].request_id)
    assert (row.model, row.requested_model) == (model, "")
    found = await failure(getattr(service.media, method)(request_of(model=None)))
    assert (found.reason, found.fields) == ("INVALID_REQUEST", ["model"])
    assert "provider ollama has no default model" in found.message


async def test_transcription_by_the_second_says_so(booked: Running) -> None:
    answer = await booked.media.CreateTranscription(sound(segments=True))
    row = await only_row(booked, answer.request_id)
    assert (row.operation, row.units.audio_ms, row.usage.total_tokens) == ("transcription", 5000, 0)
    assert answer.units == row.units
    assert [segment.text for segment in answer.segments] == openai_media.HEARD
    assert answer.cost.cost_ticks == row.cost.cost_ticks
    assert row.cost.cost_ticks in (0, HOUR_OF_WHISPER_TICKS * 5 // 3600)
    assert row.cost.price_known == bool(row.cost.cost_ticks)


async def test_transcription_by_tokens_is_priced_by_tokens(service: Running) -> None:
    service.openai.script(Reply(usage=Usage(prompt_tokens=103)))
    answer = await service.media.CreateTranscription(sound(model="gpt-4o-transcribe"))
    row = await only_row(service, answer.request_id)
    assert (row.usage.audio_input_tokens, row.usage.uncached_input_tokens) == (100, 3)
    # 6 USD for 1M tokens of sound, 2.50 of text, 10 of output.
    expected = 100 * 60_000 + 3 * 25_000 + row.usage.output_tokens * 100_000
    assert row.cost.cost_ticks == expected


async def test_speech_is_one_row_that_is_durable_before_the_first_byte(booked: Running) -> None:
    booked.openai.script(Reply(interval_s=0.05))
    call = booked.media.CreateSpeech(speech())
    chunks = []
    async for chunk in call:
        if not chunks:
            [intent] = await booked.executions.by_request(chunk.request_id)
            assert intent.state == execution_pb2.EXECUTION_STATE_PENDING
        chunks.append(chunk)
    assert b"".join(chunk.data for chunk in chunks) == b"".join(openai_media.SOUND)
    first, last = chunks[0], chunks[-1]
    assert (first.media_type, first.model, first.provider) == ("audio/mpeg", "tts-1", "openai")
    assert {chunk.execution_id for chunk in chunks} == {first.execution_id}
    row = await only_row(booked, first.request_id)
    assert (row.id, row.state, row.operation, row.streamed) == (
        first.execution_id,
        SUCCEEDED,
        "speech",
        True,
    )
    assert row.units.characters == last.units.characters == len("Good day é")
    assert row.HasField("first_token_ms")
    assert last.cost.cost_ticks == row.cost.cost_ticks


async def test_caller_who_leaves_stops_the_upstream_and_the_row_says_so(service: Running) -> None:
    service.openai.script(Reply(text=["abc"] * 200, interval_s=0.05))
    call = service.media.CreateSpeech(speech())
    first = await call.read()
    call.cancel()
    row = await only_row(service, first.request_id)
    assert (row.state, row.units.characters) == (CANCELLED, len("Good day é"))
    assert row.cost.price_known == bool(row.cost.cost_ticks)
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_UNKNOWN
    await service.openai.bill.until(lambda bill: bill[0].disconnected)


async def test_speech_that_is_cut_is_a_failed_row_and_an_error(service: Running) -> None:
    service.openai.script(Reply(fault="close", after=3))
    found = await failure(service.media.CreateSpeech(speech()))
    assert found.reason == "PROVIDER_ERROR"
    row = await only_row(service, found.request_id)
    assert (row.state, row.error_reason) == (FAILED, "PROVIDER_ERROR")
    assert row.units.characters == len("Good day é")
    assert row.cost.price_known == bool(row.cost.cost_ticks)
    assert len(service.openai.bill.calls) == 1


async def test_image_that_may_have_been_made_has_no_known_cost(service: Running) -> None:
    service.openai.script(Reply(fault="reset", after=0))
    found = await failure(service.media.CreateImages(image()))
    row = await only_row(service, found.request_id)
    assert (row.state, row.cost.price_known, row.cost.cost_ticks) == (FAILED, False, 0)
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_UNKNOWN


async def test_refused_call_has_used_nothing(service: Running) -> None:
    service.openai.script(openai_errors.rate_limited(7))
    found = await failure(service.media.CreateImages(image()))
    assert (found.code, found.reason, found.retry_after_s) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "PROVIDER_RATE_LIMITED",
        7,
    )
    row = await only_row(service, found.request_id)
    assert (row.state, row.usage.total_tokens, row.cost.cost_ticks) == (FAILED, 0, 0)


async def test_provider_that_cannot_says_so_and_is_no_fault_of_the_caller(service: Running) -> None:
    found = await failure(service.media.CreateImages(image(provider="ollama")))
    assert (found.code, found.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_OPERATION")
    assert found.metadata["operation"] == "images"


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("CreateImages", image(prompt=""), "prompt"),
        ("CreateImages", image(image_count=11), "image_count"),
        ("CreateImages", image(image_count=0), "image_count"),
        ("CreateImages", image(size="huge"), "size"),
        ("CreateImages", image(media_type="image/tiff"), "media_type"),
        ("CreateImages", image(provider_options_json="[]"), "provider_options_json"),
        ("CreateTranscription", sound(data=b""), "data"),
        ("CreateTranscription", sound(filename=""), "filename"),
        ("CreateTranscription", sound(temperature=1.5), "temperature"),
        ("CreateTranscription", sound(temperature=float("nan")), "temperature"),
        ("CreateSpeech", speech(input=""), "input"),
        ("CreateSpeech", speech(speed=5), "speed"),
        ("CreateSpeech", speech(media_type="audio/midi"), "media_type"),
    ],
)
async def test_bad_field_is_named_before_any_call(
    service: Running, method: str, request_: Any, field: str
) -> None:
    found = await failure(getattr(service.media, method)(request_))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert found.fields == [field]
    assert len(service.openai.bill) == 0


async def test_many_calls_at_once_keep_their_own_answers(service: Running) -> None:
    async def one(number: int) -> tuple[int, media.CreateImagesResponse]:
        return number, await service.media.CreateImages(image(model="dall-e-3", prompt=f"fox {number}"))

    for number, answer in await asyncio.gather(*(one(number) for number in range(40))):
        assert answer.images[0].revised_prompt == f"better fox {number}"
    assert len(service.openai.bill) == 40


async def test_openais_body_of_an_image_is_the_typed_request(service: Running) -> None:
    body = b'{"model":"gpt-image-1","prompt":"A fox","n":2,"output_format":"webp","user":"ann",'
    body += b'"background":"opaque"}'
    metadata = [("x-envoy-original-path", "/v1/images/generations")]
    await service.facade.CreateImage(HttpBody(data=body), metadata=metadata)
    await service.media.CreateImages(
        image(
            image_count=2,
            media_type="image/webp",
            user="ann",
            provider_options_json='{"background":"opaque"}',
        )
    )
    first, second = service.openai.bill
    assert first.body == second.body


@pytest.mark.parametrize(
    ("path", "method", "body", "param"),
    [
        ("/v1/images/generations", "CreateImage", b'{"model":"gpt-image-1"}', "prompt"),
        ("/v1/images/generations", "CreateImage", b'{"prompt":"x","n":0}', "n"),
        ("/v1/images/generations", "CreateImage", b'{"prompt":"x","n":-1}', "n"),
        ("/v1/images/generations", "CreateImage", b'{"prompt":"x","n":"two"}', "n"),
        ("/v1/images/generations", "CreateImage", b'{"prompt":"x","stream":true}', "stream"),
        ("/v1/images/generations", "CreateImage", b'{"prompt":"x","output_format":"bmp"}', "output_format"),
        ("/v1/images/generations", "CreateImage", b"{", "body"),
        ("/v1/batches", "CreateBatchObject", b'{"endpoint":"/v1/responses"}', "input_file_id"),
        ("/v1/batches", "CreateBatchObject", b'{"input_file_id":"f"}', "endpoint"),
    ],
)
async def test_bad_body_on_openais_paths_is_400_and_names_the_field(
    service: Running, path: str, method: str, body: bytes, param: str
) -> None:
    posted = await service.raw(method, path, body)
    assert (posted.problem["status"], posted.problem["param"]) == (400, param)
    assert posted.problem["type"] == "invalid_request_error"
    assert len(service.openai.bill) == 0

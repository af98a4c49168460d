"""Images and sound: what our adapter finds in an exchange is what the official package finds in it."""

from typing import Any

import openai
import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import usage_pb2
from tests.contract.spoken import Spoken, speaking, spoken_by
from tests.direct import direct
from tests.upstreams import openai_errors, openai_media
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply, Usage

WAV = b"RIFF\x00\x01\xff\r\n--not-the-boundary\r\n" + bytes(range(256))
OFFERED = ("openai", "azure", "groq", "vllm")  # adapters that have these paths: one with each kind of key
WITHOUT = ("ollama", "builtin")


def image(**fields: Any) -> media.CreateImagesRequest:
    return media.CreateImagesRequest(**({"model": "gpt-image-1", "prompt": "A red fox"} | fields))


def sound(**fields: Any) -> media.CreateTranscriptionRequest:
    given: dict[str, Any] = {"model": "whisper-1", "data": WAV, "filename": "talk é.wav"}
    return media.CreateTranscriptionRequest(**(given | fields))


def speech(**fields: Any) -> media.CreateSpeechRequest:
    return media.CreateSpeechRequest(**({"model": "tts-1", "input": "Good day é", "voice": "nova"} | fields))


async def said(spoken: Spoken, request: media.CreateSpeechRequest) -> list[media.SpeechChunk]:
    return [chunk async for chunk in direct(spoken.provider).create_speech(request, Call())]


@spoken_by(*OFFERED)
async def test_images_and_their_usage_are_those_of_the_official_client(
    spoken: Spoken, sdk: openai.AsyncOpenAI
) -> None:
    spoken.up.script(Reply(usage=Usage(prompt_tokens=11)), Reply(usage=Usage(prompt_tokens=11)))
    ours = await direct(spoken.provider).create_images(
        image(image_count=2, size="1024x1024", media_type="image/png"), Call()
    )
    theirs = await sdk.images.generate(
        model="gpt-image-1", prompt="A red fox", n=2, size="1024x1024", output_format="png"
    )
    assert spoken.up.bill[0].body == spoken.up.bill[1].body
    assert [one.data for one in ours.images] == [openai_media.PNG + bytes([number]) for number in range(2)]
    assert theirs.data
    assert len(theirs.data) == 2
    assert theirs.usage
    assert (ours.usage.input_tokens, ours.usage.output_tokens) == (
        theirs.usage.input_tokens,
        theirs.usage.output_tokens,
    )
    assert ours.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
    assert ours.units.images == 2
    assert ours.images[0].media_type == "image/png"


@spoken_by("openai")
async def test_images_that_the_provider_keeps_are_urls_without_tokens(spoken: Spoken) -> None:
    ours = await direct(spoken.provider).create_images(image(model="dall-e-3"), Call())
    (one,) = ours.images
    assert one.url == "https://images.example/0.png"
    assert one.revised_prompt == "better A red fox"
    assert not ours.HasField("usage")
    assert ours.units.images == 1


@spoken_by("openai")
async def test_further_fields_go_out_as_they_are(spoken: Spoken) -> None:
    extra = '{"background": "transparent", "seed": 9007199254740993}'
    await direct(spoken.provider).create_images(image(provider_options_json=extra), Call())
    assert spoken.up.bill[0].body["background"] == "transparent"
    assert spoken.up.bill[0].body["seed"] == 9007199254740993


@spoken_by(*OFFERED)
async def test_sound_arrives_byte_by_byte_with_every_field(spoken: Spoken) -> None:
    request = sound(language="en", prompt="Fox", temperature=0.25, segments=True, words=True)
    ours = await direct(spoken.provider).transcribe(request, Call())
    body = spoken.up.bill[0].body
    assert openai_media.forms.data_of(body["file"]) == WAV
    assert body["file"]["filename"] == "talk é.wav"
    assert (body["language"], body["prompt"], body["temperature"]) == ("en", "Fox", "0.25")
    assert body["timestamp_granularities[]"] == ["segment", "word"]
    assert ours.text == "Hé llo wörld, 日本."
    assert (ours.language, ours.audio_ms, ours.units.audio_ms) == ("english", 4250, 5000)
    assert [(one.start_ms, one.end_ms, one.text) for one in ours.segments] == [
        (0, 1750, "Hé llo"),
        (2500, 4250, "wörld, 日本."),
    ]
    assert '"avg_logprob":-0.25' in ours.segments[0].details_json
    assert [word.text for word in ours.words] == ["Hé", "llo", "wörld,", "日本."]


@spoken_by("openai")
async def test_transcription_without_times_has_the_tokens_that_the_official_client_sees(
    spoken: Spoken, sdk: openai.AsyncOpenAI
) -> None:
    ours = await direct(spoken.provider).transcribe(sound(model="gpt-4o-mini-transcribe"), Call())
    theirs: Any = await sdk.audio.transcriptions.create(
        model="gpt-4o-mini-transcribe", file=("talk é.wav", WAV), response_format="json"
    )
    assert spoken.up.bill[0].body == spoken.up.bill[1].body
    assert ours.text == theirs.text
    assert ours.usage.input_tokens == theirs.usage.input_tokens
    assert ours.usage.audio_input_tokens == theirs.usage.input_token_details.audio_tokens
    assert ours.usage.uncached_input_tokens == theirs.usage.input_token_details.text_tokens
    assert ours.usage.output_tokens == theirs.usage.output_tokens
    assert not ours.HasField("units")


@spoken_by("openai")
async def test_translation_has_its_own_path(spoken: Spoken) -> None:
    await direct(spoken.provider).transcribe(sound(translate=True, segments=True), Call())
    assert spoken.up.bill[0].path == "/v1/audio/translations"
    for field in ({"language": "de"}, {"words": True}):
        with pytest.raises(errors.UnsupportedOption) as refused:
            await direct(spoken.provider).transcribe(sound(translate=True, **field), Call())
        assert refused.value.metadata["field"] == next(iter(field))
    assert len(spoken.up.bill) == 1


@spoken_by(*OFFERED)
async def test_speech_is_the_bytes_of_the_official_client(spoken: Spoken, sdk: openai.AsyncOpenAI) -> None:
    chunks = await said(spoken, speech(speed=1.5, instructions="Whisper", media_type="audio/flac"))
    theirs = await sdk.audio.speech.create(
        model="tts-1",
        input="Good day é",
        voice="nova",
        response_format="flac",
        speed=1.5,
        instructions="Whisper",
    )
    assert spoken.up.bill[0].body == spoken.up.bill[1].body
    assert b"".join(chunk.data for chunk in chunks) == theirs.content == b"".join(openai_media.SOUND)
    assert chunks[0].media_type == "audio/flac"
    assert [chunk.media_type for chunk in chunks[1:]] == [""] * (len(chunks) - 1)
    assert chunks[-1].units.characters == len("Good day é")


@spoken_by("openai")
async def test_speech_comes_as_it_is_made(spoken: Spoken) -> None:
    spoken.up.script(Reply(interval_s=0.05))
    chunks = await said(spoken, speech())
    assert len([chunk for chunk in chunks if chunk.data]) > 3


@spoken_by("openai")
async def test_unknown_kind_of_sound_is_refused_before_the_call(spoken: Spoken) -> None:
    with pytest.raises(errors.InvalidFields, match="media_type: must be one of audio/mpeg"):
        await said(spoken, speech(media_type="audio/midi"))
    assert len(spoken.up.bill) == 0


@spoken_by(*WITHOUT)
async def test_provider_without_an_operation_says_so(spoken: Spoken) -> None:
    with pytest.raises(errors.UnsupportedOperation, match="does not offer images"):
        await direct(spoken.provider).create_images(image(), Call())
    with pytest.raises(errors.UnsupportedOperation, match="does not offer transcription"):
        await direct(spoken.provider).transcribe(sound(), Call())
    with pytest.raises(errors.UnsupportedOperation, match="does not offer speech"):
        await said(spoken, speech())
    with pytest.raises(errors.UnsupportedOperation, match="does not offer files"):
        await spoken.provider.get_file("file-1", Call())
    with pytest.raises(errors.UnsupportedOperation, match="does not offer batches"):
        await spoken.provider.get_batch("batch_1", Call())


def test_names_that_only_openai_uses_have_defaults() -> None:
    assert set(PROVIDERS["openai"].media_models) == {"image", "transcription", "speech"}


FAULTS: dict[str, tuple[Reply, type[errors.SpineError], dict[str, Any]]] = {
    "rate": (
        openai_errors.rate_limited(3),
        errors.ProviderRateLimited,
        {"provider_code": "rate_limit_exceeded"},
    ),
    "quota": (openai_errors.insufficient_quota(), errors.ProviderQuotaExceeded, {}),
    "key": (openai_errors.invalid_key("sk-test-1"), errors.ProviderAuthentication, {}),
    "server": (openai_errors.server_error(), errors.ProviderUnavailable, {}),
    "proxy": (openai_errors.bad_gateway(), errors.ProviderUnavailable, {}),
    "filter": (openai_errors.content_filter(), errors.ContentFiltered, {}),
    "model": (openai_errors.model_not_found("tts-1"), errors.ModelNotFound, {}),
    "closed": (Reply(fault="close"), errors.ProviderUnavailable, {"provider_code": "connection_lost"}),
    "reset": (Reply(fault="reset"), errors.ProviderUnavailable, {"provider_code": "connection_lost"}),
}


@spoken_by("openai")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", ["create_images", "transcribe", "create_speech"])
async def test_each_fault_has_its_error(spoken: Spoken, fault: str, operation: str) -> None:
    reply, kind, metadata = FAULTS[fault]
    spoken.up.default = reply
    with pytest.raises(kind) as failed:
        await called(spoken, operation)
    assert type(failed.value) is kind
    assert metadata.items() <= failed.value.metadata.items()
    assert "sk-test-1" not in str(failed.value)
    assert failed.value.retry_after_s == (3 if fault == "rate" else None)
    assert len(spoken.up.bill) == 1, "the SDK's own retries are off"


async def called(spoken: Spoken, operation: str) -> None:
    if operation == "create_images":
        await direct(spoken.provider).create_images(image(), Call())
    elif operation == "transcribe":
        await direct(spoken.provider).transcribe(sound(), Call())
    else:
        await said(spoken, speech())


@spoken_by("openai")
@pytest.mark.parametrize("operation", ["create_images", "transcribe", "create_speech"])
async def test_silent_upstream_is_a_timeout(spoken: Spoken, operation: str) -> None:
    await spoken.hurry()
    spoken.up.script(Reply(fault="stall"))
    with pytest.raises(errors.ProviderTimeout):
        await called(spoken, operation)


@spoken_by("openai")
async def test_deadline_of_the_caller_counts(spoken: Spoken) -> None:
    spoken.up.script(Reply(fault="stall"))
    call = Call()
    call.deadline = call.started + 0.2
    with pytest.raises(errors.DeadlineExceeded):
        await direct(spoken.provider).create_images(image(), call)


@spoken_by("openai")
@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("fault", ["close", "reset"])
async def test_cut_speech_is_an_error(spoken: Spoken, fault: Any, after: int) -> None:
    spoken.up.script(Reply(fault=fault, after=after))
    with pytest.raises(errors.ProviderError) as failed:
        await said(spoken, speech())
    assert failed.value.metadata["provider_code"] == "cut_stream"


@spoken_by("openai")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "invalid_json"),
        ({"created": 1, "data": []}, "no_images"),
        ({"created": 1}, "no_images"),
        ({"created": 1, "data": [{"revised_prompt": "x"}]}, "no_images"),
        ({"created": 1, "data": [{"b64_json": "*"}]}, "invalid_base64"),
        ("no images", "invalid_json"),
    ],
)
async def test_images_that_cannot_be_read_are_an_error(spoken: Spoken, body: Any, code: str) -> None:
    spoken.up.script(Reply(body=body))
    with pytest.raises(errors.ProviderError) as failed:
        await direct(spoken.provider).create_images(image(), Call())
    assert failed.value.metadata["provider_code"] == code


@spoken_by("openai")
@pytest.mark.parametrize("body", ["[]", {"no": 1}, {"text": "a", "segments": [{"start": "x", "end": 1}]}])
async def test_transcriptions_that_cannot_be_read_are_an_error(spoken: Spoken, body: Any) -> None:
    spoken.up.script(Reply(body=body))
    with pytest.raises(errors.ProviderError):
        await direct(spoken.provider).transcribe(sound(segments=True), Call())


@spoken_by("openai")
async def test_speech_without_sound_is_an_error(spoken: Spoken) -> None:
    spoken.up.script(Reply(text=[]))
    with pytest.raises(errors.ProviderError) as failed:
        await said(spoken, speech())
    assert failed.value.metadata["provider_code"] == "no_sound"


async def test_nobody_listens_is_an_unavailable_provider() -> None:
    async with speaking("openai") as spoken:
        await spoken.up.__aexit__()
        with pytest.raises(errors.ProviderUnavailable) as failed:
            await direct(spoken.provider).create_images(image(), Call())
        assert failed.value.metadata["provider_code"] == "connect"


async def test_environment_of_the_official_package_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "foreign")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    async with speaking("azure") as spoken:
        await direct(spoken.provider).create_images(image(), Call())
        headers = spoken.up.bill[0].headers
        assert "foreign" not in headers.values()
        assert (headers["api-key"], headers["user-agent"]) == ("sk-test-1", "genai-spine")
        assert "authorization" not in headers


async def test_deployments_of_azure_have_paths_of_their_own() -> None:
    async with OpenAIUpstream() as upstream:
        further = {"api_version": "2024-10-21"}
        provider = PROVIDERS["azure"].make(Endpoint("azure", upstream.url, "sk-test-1", further=further))
        with pytest.raises(errors.ModelNotFound):  # this upstream is none of Azure's
            await direct(provider).create_images(image(model="my images"), Call())
        with pytest.raises(errors.ModelNotFound):
            await direct(provider).transcribe(sound(model="ears"), Call())
        with pytest.raises(errors.ProviderObjectNotFound):
            await provider.get_file("file-1", Call())
        await provider.close()
        below = "/openai/deployments"
        assert [entry.path for entry in upstream.bill] == [
            f"{below}/my images/images/generations",
            f"{below}/ears/audio/transcriptions",
            "/openai/files/file-1",
        ]
        assert {entry.query["api-version"] for entry in upstream.bill} == {"2024-10-21"}
        assert {entry.headers["api-key"] for entry in upstream.bill} == {"sk-test-1"}

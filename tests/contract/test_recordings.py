"""Every provider can be recorded and played back: what comes out is what went in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.errors import SpineError, UnsupportedOperation
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.providers.replay.adapter import Replay
from genai_spine.providers.replay.recorder import Recorder, recorded, secrets_of
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from tests.contract import options
from tests.contract.options import SAMPLES
from tests.contract.spoken import SPOKEN, Spoken, folded, spoken_by
from tests.direct import direct
from tests.upstreams.reply import Reply, ToolCall


@pytest.fixture
def recorder(spoken: Spoken, tmp_path: Path) -> Recorder:
    """Of the provider, whose simulator still answers."""
    return Recorder(spoken.provider, tmp_path / "recordings")


def replay(recorder: Recorder) -> Replay:
    return Replay(Endpoint("replay", f"file:{recorder.folder}", further={"speed": "0"}))


def played(request: Any, recorder: Recorder) -> Any:
    """The same request of the recording."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.model = f"{recorder.name}/{request.model}"
    return copy


def replies() -> Any:
    weather = ToolCall("weather", ['{"city"', ':"Ülm"}'], id="a")
    yield pytest.param(Reply(["Hé", "llo", " 🙂"], reasoning=["hm, ", "well"]), id="text")
    yield pytest.param(Reply("Let me see", tool_calls=[weather, ToolCall("time", id="b")]), id="calls")
    yield pytest.param(Reply(""), id="nothing said")


@spoken_by(*SPOKEN)
@pytest.mark.parametrize("reply", list(replies()))
async def test_answers_and_streams_are_played_back_as_they_were(
    spoken: Spoken, recorder: Recorder, reply: Reply
) -> None:
    spoken.up.default = reply
    request = spoken.request()
    whole = await direct(recorder).complete(request, Call())
    chunks = [chunk async for chunk in direct(recorder).stream(request, Call())]
    provider, again = replay(recorder), played(request, recorder)
    assert await direct(provider).complete(again, Call()) == whole
    assert [chunk async for chunk in direct(provider).stream(again, Call())] == chunks
    assert await direct(provider).complete(again, Call()) == await folded(chunks)


async def test_embeddings_are_played_back_to_the_last_bit(spoken: Spoken, recorder: Recorder) -> None:
    inputs = [pb.EmbeddingInput(text=text) for text in ("one", "two")]
    model = "hashing" if spoken.upstream is None else "embedding-model"
    request = pb.CreateEmbeddingsRequest(model=model, inputs=inputs)
    try:
        answer: Any = await direct(recorder).embed(request, Call())
    except SpineError as error:  # some have none, which is recorded as well
        with pytest.raises(type(error)):
            await direct(replay(recorder)).embed(played(request, recorder), Call())
        return
    again = await direct(replay(recorder)).embed(played(request, recorder), Call())
    assert again.SerializeToString() == answer.SerializeToString()


@spoken_by(*SPOKEN)
@pytest.mark.parametrize("status", [401, 429, 500])
async def test_errors_are_played_back_as_they_were(spoken: Spoken, recorder: Recorder, status: int) -> None:
    spoken.up.default = Reply(status=status)
    request = spoken.request()
    for method in ("complete", "embed"):
        asked: Any = request
        if method == "embed":
            asked = pb.CreateEmbeddingsRequest(model="e", inputs=[pb.EmbeddingInput(text="x")])
        with pytest.raises(SpineError) as first:
            await getattr(direct(recorder), method)(asked, Call())
        with pytest.raises(SpineError) as second:
            await getattr(direct(replay(recorder)), method)(played(asked, recorder), Call())
        assert type(second.value) is type(first.value)
        assert str(second.value) == str(first.value)
        assert second.value.metadata == first.value.metadata
        assert second.value.retry_after_s == first.value.retry_after_s


@spoken_by(*SPOKEN)
async def test_a_stream_that_breaks_off_breaks_off_again(spoken: Spoken, recorder: Recorder) -> None:
    spoken.up.default = Reply(["a", "b", "c"], fault="truncate", after=2)
    request = spoken.request()

    async def seen(provider: Any, asked: Any) -> tuple[list[pb.CompletionChunk], str]:
        chunks = []
        try:
            async for chunk in direct(provider).stream(asked, Call()):
                chunks.append(chunk)
        except SpineError as error:
            return chunks, f"{type(error).__name__} {error}"
        raise AssertionError("the stream did not break off")

    first = await seen(recorder, request)
    assert await seen(replay(recorder), played(request, recorder)) == first


@pytest.mark.parametrize("field", SAMPLES)
@spoken_by("openai", "ollama")
async def test_a_request_is_found_whatever_it_holds(spoken: Spoken, recorder: Recorder, field: str) -> None:
    request = options.request(field, spoken.model)
    try:
        direct(recorder).check_options(request)
    except SpineError:
        return
    if field == "response_format":
        spoken.up.default = Reply('{"z": 1, "a": "x"}')
    answer = await direct(recorder).complete(request, Call())
    assert await direct(replay(recorder)).complete(played(request, recorder), Call()) == answer


@spoken_by(*SPOKEN)
async def test_keys_and_files_are_in_no_recording(spoken: Spoken, recorder: Recorder) -> None:
    key = spoken.provider.endpoint.api_key
    assert key
    asked = spoken.request(f"My keys are {key} and sk-proj-abcdefghijklmnop1234", user="me@example.com")
    await direct(recorder).complete(asked, Call())
    (path,) = recorder.folder.iterdir()
    text = path.read_text()
    assert not [word for word in (key, "abcdefghijklmnop1234", "me@example.com") if word in text]


@spoken_by("openai")
async def test_a_call_whose_caller_goes_away_is_not_recorded(spoken: Spoken, recorder: Recorder) -> None:
    spoken.up.default = Reply(["a", "b"], fault="stall", after=2)
    stream = direct(recorder).stream(spoken.request(), Call())
    await anext(stream)
    await stream.aclose()
    await spoken.up.bill.until(lambda bill: bill[-1].disconnected)
    assert not recorder.folder.exists()


async def test_a_recorder_is_the_provider_in_everything_else(spoken: Spoken, recorder: Recorder) -> None:
    inner = spoken.provider
    assert (recorder.name, recorder.options, recorder.local) == (inner.name, inner.options, inner.local)
    assert recorder.schema == inner.schema
    assert await recorder.list_models() == await inner.list_models()
    await recorder.health()


@pytest.mark.parametrize(
    ("method", "request_of_it"),
    [
        ("count_tokens", pb.CreateCompletionRequest()),
        ("create_images", media.CreateImagesRequest()),
        ("transcribe", media.CreateTranscriptionRequest()),
        ("create_speech", media.CreateSpeechRequest()),
    ],
)
async def test_what_is_not_recorded_goes_to_the_provider(
    tmp_path: Path, method: str, request_of_it: Any
) -> None:
    recorder = Recorder(Provider(Endpoint("bare")), tmp_path)
    with pytest.raises(UnsupportedOperation, match="provider bare does not offer"):
        await getattr(direct(recorder), method)(request_of_it, Call())
    with pytest.raises(UnsupportedOperation, match="provider bare does not offer"):
        await anext(recorder.pull("model", Call()))


def test_every_secret_of_an_endpoint_is_known_to_its_recorder() -> None:
    further = {"secret_access_key": "s3cr3t", "session_token": "t0ken", "region": "us-east-1"}
    endpoint = Endpoint("x", api_key="k1", more_keys=("k2",), further=further)
    assert secrets_of(endpoint) == ("k1", "k2", "s3cr3t", "t0ken")
    assert secrets_of(Endpoint("x")) == ()


def test_only_real_providers_are_recorded_and_only_on_demand(tmp_path: Path) -> None:
    provider = Replay(Endpoint("replay", "file:x"))
    assert recorded(provider, tmp_path) is provider
    other = Replay(replace(provider.endpoint, name="other"))
    assert recorded(other, None) is other
    assert isinstance(recorded(other, tmp_path), Recorder)

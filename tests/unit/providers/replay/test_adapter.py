"""What was recorded is played back: the same answers, in turn, with the same timing and the same errors."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.json_schema.describe import with_instruction
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.providers.replay import recording
from genai_spine.providers.replay.adapter import Replay
from genai_spine.providers.replay.recording import begun, recorded_error
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.contract.options import SAMPLES

Request = pb.CreateCompletionRequest


def completion_request(text: str = "Hello", **fields: Any) -> Request:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text=text)])
    return Request(**{"model": "openai/gpt-4o", "messages": [message]} | fields)


def chunk(text: str, **fields: Any) -> pb.CompletionChunk:
    delta = pb.ChoiceDelta(index=0, content=text, **fields)
    return pb.CompletionChunk(id="c1", model="gpt-4o-2024", created=5, choices=[delta])


def record(
    folder: Path, *chunks: tuple[float, pb.CompletionChunk], text: str = "Hello", **fields: Any
) -> Any:
    """A stream of gpt-4o, with the times of its chunks in ms."""
    error, name = fields.pop("error", None), fields.pop("name", None)
    exchange = begun("openai", "completion", completion_request(text, model="gpt-4o", **fields))
    exchange.chunks = [(ms, MessageToDict(one, preserving_proto_field_name=True)) for ms, one in chunks]
    exchange.error = error
    recording.append(folder, exchange)
    if name:
        next(folder.iterdir()).rename(folder / f"{name}.jsonl")
    return exchange


def replay(folder: Path, speed: str = "0") -> Replay:
    return Replay(Endpoint("replay", f"file:{folder}", further={"speed": speed}))


def text_of(answer: pb.Completion) -> str:
    return answer.choices[0].message.content[0].text


def texts_of(chunks: Iterable[pb.CompletionChunk]) -> list[str]:
    return [one.choices[0].content for one in chunks]


STOP = {"finish_reason": pb.FINISH_REASON_STOP}


class TestReplayPlaying:
    async def test_stream_stays_a_stream_and_can_be_asked_for_whole(self, tmp_path: Path) -> None:
        record(tmp_path, (1, chunk("a")), (2, chunk("b", **STOP)))
        provider = replay(tmp_path)
        assert texts_of([one async for one in provider.stream(completion_request(), Call())]) == ["a", "b"]
        answer = await provider.complete(completion_request(), Call())
        assert (text_of(answer), answer.id, answer.model, answer.created) == ("ab", "c1", "gpt-4o-2024", 5)

    async def test_whole_answer_stays_whole_and_can_be_streamed(self, tmp_path: Path) -> None:
        calls = [
            message_pb2.ToolCall(id="a", function=message_pb2.FunctionCall(name="f", arguments="{}")),
            message_pb2.ToolCall(id="b", custom=message_pb2.CustomCall(name="g", input="x")),
        ]
        message = message_pb2.Message(
            role=message_pb2.ROLE_ASSISTANT, tool_calls=calls, reasoning="hm", annotations_json="[1]"
        )
        message.content.add(text="hi")
        message.content.add(refusal="no")
        message.reasoning_state_json = "[2]"
        logprobs = pb.Logprobs(content=[pb.TokenLogprob(token="hi", logprob=-0.5, token_bytes=b"hi")])
        choice = pb.Choice(
            index=0, message=message, finish_reason=pb.FINISH_REASON_TOOL_CALLS, logprobs=logprobs
        )
        answer = pb.Completion(id="x", model="m", created=7, choices=[choice], service_tier="flex")
        answer.usage.total_tokens = 3
        exchange = begun("openai", "completion", completion_request(model="gpt-4o"))
        exchange.answer = 3.0, recording.redacted(answer)
        recording.append(tmp_path, exchange)
        provider = replay(tmp_path)
        assert await provider.complete(completion_request(), Call()) == answer
        assert len([one async for one in provider.stream(completion_request(), Call())]) == 1

    async def test_exchanges_come_in_turn_and_the_last_one_again(self, tmp_path: Path) -> None:
        for text in ("one", "two"):
            record(tmp_path, (0, chunk(text)))
        record(tmp_path, (0, chunk("other")), text="Bye")
        provider = replay(tmp_path)
        found = [text_of(await provider.complete(completion_request(), Call())) for _ in range(4)]
        assert found == ["one", "two", "two", "two"]
        assert text_of(await provider.complete(completion_request("Bye"), Call())) == "other"

    async def test_errors_are_raised_again_after_what_came_before_them(self, tmp_path: Path) -> None:
        error = errors.ProviderError(provider="openai", provider_code="cut_stream", provider_message="cut")
        record(tmp_path, (0, chunk("a")), error=recorded_error(error, 1.0))
        stream = replay(tmp_path).stream(completion_request(), Call())
        assert texts_of([await anext(stream)]) == ["a"]
        with pytest.raises(errors.ProviderError, match="cut"):
            await anext(stream)
        with pytest.raises(errors.ProviderError):
            await replay(tmp_path).complete(completion_request(), Call())

    async def test_errors_of_embeddings_too(self, tmp_path: Path) -> None:
        request = pb.CreateEmbeddingsRequest(model="e", inputs=[pb.EmbeddingInput(text="x")])
        exchange = begun("openai", "embeddings", request)
        exchange.error = recorded_error(
            errors.ProviderRateLimited(provider="openai", provider_message="slow down"), 1.0
        )
        recording.append(tmp_path, exchange)
        with pytest.raises(errors.ProviderRateLimited):
            await replay(tmp_path).embed(request, Call())

    @pytest.mark.parametrize("options", [("response_format",), ()])
    async def test_schema_that_was_said_in_words_is_found(self, tmp_path: Path, options: Any) -> None:
        request = completion_request(response_format=SAMPLES["response_format"].fields["response_format"])
        told = with_instruction(request, options)
        told.model = "gpt-4o"
        exchange = begun("openai", "completion", told)
        exchange.chunks = [(0, {"choices": [{"content": "{}"}]})]
        recording.append(tmp_path, exchange)
        assert text_of(await replay(tmp_path).complete(request, Call())) == "{}"


class TestReplayTiming:
    async def took_ms(self, folder: Path, speed: str) -> list[float]:
        started = time.monotonic()
        provider = replay(folder, speed)
        return [
            (time.monotonic() - started) * 1000 async for _ in provider.stream(completion_request(), Call())
        ]

    async def test_chunks_come_when_they_came(self, tmp_path: Path) -> None:
        record(tmp_path, (50, chunk("a")), (150, chunk("b")))
        first, second = await self.took_ms(tmp_path, "1")
        assert first >= 49
        assert second >= 149
        assert (await self.took_ms(tmp_path, "2"))[1] >= 299

    async def test_exchange_without_pace_comes_at_once(self, tmp_path: Path) -> None:
        record(tmp_path, (50_000, chunk("a")), error=recorded_error(errors.InternalError(), 100_000.0))
        started = time.monotonic()
        with pytest.raises(errors.InternalError):
            await replay(tmp_path).complete(completion_request(), Call())
        assert time.monotonic() - started < 5

    async def test_callers_deadline_is_kept(self, tmp_path: Path) -> None:
        record(tmp_path, (60_000, chunk("a")))
        with pytest.raises(errors.DeadlineExceeded):
            await replay(tmp_path, "1").complete(completion_request(), Call(deadline=time.monotonic() + 0.05))

    @pytest.mark.parametrize("speed", ["fast", "-1", "nan", "inf"])
    def test_pace_that_is_none_is_refused(self, tmp_path: Path, speed: str) -> None:
        with pytest.raises(ValueError, match=f"GENAI_REPLAY_SPEED={speed}"):
            replay(tmp_path, speed)


class TestReplayFinding:
    async def test_model_without_its_provider_is_found(self, tmp_path: Path) -> None:
        record(tmp_path, (0, chunk("a")))
        assert text_of(await replay(tmp_path).complete(completion_request(model="gpt-4o"), Call())) == "a"

    async def test_models_are_listed_by_the_names_that_play_them(self, tmp_path: Path) -> None:
        record(tmp_path, (0, chunk("a")))
        record(tmp_path, (0, chunk("a")), text="again")
        (model,) = await replay(tmp_path).list_models()
        assert (model.id, model.owned_by) == ("openai/gpt-4o", "openai")
        await replay(tmp_path).health()

    async def test_request_that_was_not_recorded_names_the_nearest(self, tmp_path: Path) -> None:
        far = record(tmp_path, (0, chunk("a")), text="Something else", temperature=1, seed=5)
        near = record(tmp_path, (0, chunk("a")), text="Hello!")
        with pytest.raises(errors.ProviderRejected) as refusal:
            await replay(tmp_path).complete(completion_request("Hello?"), Call())
        found = refusal.value.metadata
        assert found["provider_code"] == "not_recorded"
        assert len(found["sha256"]) == 64
        assert found["sha256"] not in (far.sha256, near.sha256)
        told = "the nearest one differs in messages[0].content[0].text: 'Hello?' in place of 'Hello!'"
        assert found["provider_message"] == f"no recording has sha256 {found['sha256']}; {told}"

    async def test_model_that_was_not_recorded_is_not_found(self, tmp_path: Path) -> None:
        record(tmp_path, (0, chunk("a")))
        with pytest.raises(errors.ModelNotFound, match="recorded completion: openai/gpt-4o"):
            await replay(tmp_path).complete(completion_request(model="openai/o1"), Call())
        embedding = pb.CreateEmbeddingsRequest(model="openai/gpt-4o", inputs=[pb.EmbeddingInput(text="x")])
        with pytest.raises(errors.ModelNotFound, match="recorded embeddings: none"):
            await replay(tmp_path).embed(embedding, Call())

    @pytest.mark.parametrize("url", ["file:/nowhere/at/all", "http://localhost", "file:"])
    async def test_recordings_that_cannot_be_read_are_unavailable(self, url: str) -> None:
        provider = Replay(Endpoint("replay", url))
        with pytest.raises(errors.ProviderUnavailable):
            await provider.health()

    @pytest.mark.parametrize("place", ["file:{}", "file://{}", "file:{}/all%20of%20it.jsonl"])
    async def test_files_and_folders_are_named_by_url(self, tmp_path: Path, place: str) -> None:
        record(tmp_path, (0, chunk("a")), name="all of it")
        assert await Replay(Endpoint("replay", place.format(tmp_path))).list_models()

    @pytest.mark.parametrize("field", SAMPLES)
    def test_options_are_all_taken(self, tmp_path: Path, field: str) -> None:
        PROVIDERS["replay"].make(Endpoint("replay", f"file:{tmp_path}")).check_options(
            completion_request(**SAMPLES[field].fields)
        )

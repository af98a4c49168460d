"""Inference by itself: scripted providers, a ledger in memory."""

import asyncio
from typing import Any

import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder
from genai_spine.inference import failover
from genai_spine.inference.inference import is_plain
from genai_spine.runs.execution.paid_answers import RunPaidAnswers
from genai_spine.store.runs.events import Owner
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, routing_pb2
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1.operation_pb2 import OPERATION_EMBEDDINGS, OPERATION_TRANSCRIPTION
from tests.unit.inference.scripted import MODEL, Scripted, World, asked, text_of

SUCCEEDED, FAILED = execution_pb2.EXECUTION_STATE_SUCCEEDED, execution_pb2.EXECUTION_STATE_FAILED
DRAIN = pb.DISCONNECT_POLICY_DRAIN_FOR_USAGE
DOWN = errors.ProviderUnavailable(provider="openai", provider_message="down")
BROKEN = errors.ProviderError(provider="openai", provider_message="broken")
FALLBACK = routing_pb2.Routing(fallback_models=[f"ollama:{MODEL}"])
SCHEMA = '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}'
FORM = pb.ResponseFormat(json_schema=pb.JsonSchema(name="person", schema_json=SCHEMA))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "FIRST_DELAY_S", 0.0)


async def streamed(world: World, request: pb.CreateCompletionRequest) -> list[pb.CompletionChunk]:
    return [chunk async for chunk in world.inference.stream(request, Call())]


def test_inference_is_plain_unless_the_request_asks_for_something() -> None:
    assert is_plain(asked(), Call())
    assert is_plain(asked(disconnect_policy=pb.DISCONNECT_POLICY_CANCEL_UPSTREAM, coalesce=False), Call())
    assert is_plain(pb.CreateEmbeddingsRequest(), Call())
    fields: dict[str, Any] = {"cache_max_age_s": 0, "coalesce": True, "disconnect_policy": DRAIN}
    for field, value in fields.items():
        assert not is_plain(asked(**{field: value}), Call())
    for request in (asked(), pb.CreateEmbeddingsRequest()):
        assert not is_plain(request, Call(cache_control="max-age=1"))


async def test_inference_complete_books_each_call_and_leaves_the_request_alone() -> None:
    world = World(Scripted("openai", "Hi"))
    request = asked()
    before = request.SerializeToString(deterministic=True)
    answer = await world.inference.complete(request, Call())
    assert (text_of(answer), answer.model) == ("Hi", MODEL)
    assert [row.state for row in world.rows.settled] == [SUCCEEDED]
    assert request.SerializeToString(deterministic=True) == before
    [(seen, route)] = world.providers["openai"].seen
    assert seen is request
    assert route.model == MODEL


async def test_inference_complete_retries_and_books_every_attempt() -> None:
    world = World(Scripted("openai", DOWN, "Hi"), retries=1)
    assert text_of(await world.inference.complete(asked(), Call())) == "Hi"
    assert [(row.attempt, row.state) for row in world.rows.settled] == [(1, FAILED), (2, SUCCEEDED)]


async def test_inference_complete_falls_back_to_the_next_candidate() -> None:
    world = World(Scripted("openai", BROKEN), Scripted("ollama", "Here"))
    answer = await world.inference.complete(asked(routing=FALLBACK), Call())
    assert (answer.provider, text_of(answer)) == ("ollama", "Here")


async def test_inference_complete_repairs_an_answer_once() -> None:
    world = World(Scripted("openai", '{"name": 7}', '{"name": "Ada"}'))
    answer = await world.inference.complete(asked(response_format=FORM), Call())
    assert answer.choices[0].parsed_json == '{"name": "Ada"}'
    assert [row.state for row in world.rows.settled] == [FAILED, SUCCEEDED]


async def test_inference_complete_answers_from_the_cache() -> None:
    world = World(Scripted("openai", "one", "two"))
    first, second = [await world.inference.complete(asked(cache_max_age_s=60), Call()) for _ in range(2)]
    assert text_of(first) == text_of(second) == "one"
    assert second.cache_status == pb.CACHE_STATUS_HIT


async def test_inference_complete_gathers_choices() -> None:
    world = World(Scripted("openai", "one", "two"))
    answer = await world.inference.complete(asked(choice_count=2), Call())
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert len(world.rows.settled) == 2


async def test_inference_complete_hedges() -> None:
    world = World(Scripted("openai", "slow"), Scripted("ollama", "fast"))
    world.providers["openai"].gate.clear()
    routing = routing_pb2.Routing(fallback_models=[f"ollama:{MODEL}"], hedge_after_ms=1)
    assert text_of(await world.inference.complete(asked(routing=routing), Call())) == "fast"


async def test_inference_complete_refuses_what_fits_no_candidate() -> None:
    world = World(Scripted("openai"))
    with pytest.raises(errors.ContextLengthExceeded):
        await world.inference.complete(asked("word " * 200_000), Call())
    assert world.rows.begun == []


async def test_inference_stream_ends_with_usage_and_cost() -> None:
    world = World(Scripted("openai", "one two"))
    chunks = await streamed(world, asked())
    assert [chunk.choices[0].content for chunk in chunks if chunk.choices] == ["one", "two", ""]
    assert chunks[-1].HasField("usage")
    assert chunks[-1].cost.cost_ticks == world.rows.settled[0].cost.cost_ticks > 0


async def test_inference_stream_fails_over_only_before_the_first_chunk() -> None:
    world = World(Scripted("openai", BROKEN), Scripted("ollama", "Here"))
    chunks = await streamed(world, asked(routing=FALLBACK))
    assert {chunk.provider for chunk in chunks} == {"ollama"}


async def test_inference_stream_refuses_what_fits_no_candidate() -> None:
    with pytest.raises(errors.ContextLengthExceeded):
        await streamed(World(Scripted("openai")), asked("word " * 200_000))


async def test_inference_stream_of_a_caller_that_left_is_booked_as_cancelled() -> None:
    world = World(Scripted("openai", "one two"))
    chunks = world.inference.stream(asked(), Call())
    await anext(chunks)
    await chunks.aclose()
    assert [row.state for row in world.rows.settled] == [execution_pb2.EXECUTION_STATE_CANCELLED]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"choice_count": 2},
        {"routing": {"hedge_after_ms": 60_000}},
        {"response_format": FORM},
        {"coalesce": True},
    ],
)
async def test_inference_stream_gives_the_whole_of_what_it_streams(fields: dict[str, Any]) -> None:
    world = World(Scripted("openai", '{"name":"Ada"}'))
    whole, seen = ChunkBuilder(), ChunkBuilder()
    async for chunk in world.inference.stream(asked(**fields), Call(), whole):
        seen.add(chunk)
    assert text_of(seen.completion()) == '{"name":"Ada"}' * (2 if "choice_count" in fields else 1)
    assert whole.completion() == seen.completion()


async def test_inference_stream_of_a_run_is_folded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, added = World(Scripted("openai", "one two")), []
    call = Call(run_id="r", step_id="s", paid_answers=RunPaidAnswers(Owner("r", 1, "a")))
    add = ChunkBuilder.add
    monkeypatch.setattr(ChunkBuilder, "add", lambda self, chunk: (added.append(chunk), add(self, chunk)))
    whole = ChunkBuilder()
    chunks = [chunk async for chunk in world.inference.stream(asked(), call, whole)]
    assert len(added) == len(chunks)
    booked = pb.Completion.FromString(world.rows.answers[0].body)
    booked.latency_ms = chunks[-1].latency_ms
    assert whole.completion() == booked


async def test_inference_stream_checks_json_at_its_end() -> None:
    world = World(Scripted("openai", '{"name":"Ada"}'))
    chunks = await streamed(world, asked(response_format=FORM))
    assert [delta.parsed_json for chunk in chunks for delta in chunk.choices if delta.parsed_json]
    with pytest.raises(errors.SchemaMismatch):
        await streamed(World(Scripted("openai", "prose")), asked(response_format=FORM))


async def test_inference_embed_estimates_usage_that_nobody_reported() -> None:
    world = World(Scripted("openai"))
    request = pb.CreateEmbeddingsRequest(model=f"openai:{MODEL}", inputs=[pb.EmbeddingInput(text="Hello")])
    response = await world.inference.embed(request, Call())
    assert response.usage.input_tokens > 0
    assert (world.rows.settled[0].operation, request.model) == (OPERATION_EMBEDDINGS, f"openai:{MODEL}")


async def test_inference_create_images_books_units() -> None:
    world = World(Scripted("openai"))
    response = await world.inference.create_images(media.CreateImagesRequest(model="openai:dall-e-3"), Call())
    assert (response.model, len(response.images)) == ("dall-e-3", 1)
    assert world.rows.settled[0].units.images == 1


async def test_inference_transcribe_gives_the_text() -> None:
    world = World(Scripted("openai", "spoken"))
    request = media.CreateTranscriptionRequest(model="openai:whisper-1", data=b"x", filename="a.wav")
    assert (await world.inference.transcribe(request, Call())).text == "spoken"
    assert world.rows.settled[0].operation == OPERATION_TRANSCRIPTION


async def test_inference_create_speech_ends_with_units_and_cost() -> None:
    world = World(Scripted("openai", BROKEN, "sound"), Scripted("ollama"), retries=0)
    request = media.CreateSpeechRequest(model="openai:tts-1", input="Hello")
    with pytest.raises(errors.ProviderError):
        [chunk async for chunk in world.inference.create_speech(request, Call())]
    chunks = [chunk async for chunk in world.inference.create_speech(request, Call())]
    assert [chunk.data for chunk in chunks] == [b"sound", b""]
    assert chunks[-1].units.characters == 5
    assert [row.state for row in world.rows.settled] == [FAILED, SUCCEEDED]


async def test_inference_complete_of_a_caller_that_left_gives_the_key_back() -> None:
    world = World(Scripted("openai"))
    provider = world.providers["openai"]
    provider.gate.clear()
    asking = asyncio.create_task(world.inference.complete(asked(), Call()))
    await provider.called.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert world.upstreams["openai"].running == 0

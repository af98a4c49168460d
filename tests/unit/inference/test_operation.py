"""Operations: one request on its way, shared by its attempts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import Message

from genai_spine import errors
from genai_spine.call import Call, PaidAnswer
from genai_spine.chunks import ChunkBuilder, fold
from genai_spine.inference.operation import SchemaViolation
from genai_spine.runs.execution.context import content_hash
from genai_spine.runs.execution.paid_answers import RunPaidAnswers
from genai_spine.store.runs.events import Owner
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2
from genai_spine.v1 import media_service_pb2 as media
from tests.unit.inference.scripted import MODEL, Scripted, World, asked, text_of

SCHEMA = '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}'
FORM = pb.ResponseFormat(json_schema=pb.JsonSchema(name="person", schema_json=SCHEMA))


def test_operation_copies_share_successes_and_nothing_else() -> None:
    world = World(Scripted("openai"))
    operation = world.operation()
    copy = replace(operation, routes=[])
    copy.successful_routes.append(world.routes()[0])
    copy.superseded = True
    assert operation.successful_routes == world.routes()
    assert (operation.superseded, operation.routes) == (False, world.routes())


def test_operation_schema_violation_holds_the_call_and_not_the_attempt() -> None:
    world = World(Scripted("openai"))
    answer = pb.Completion(choices=[pb.Choice()])
    violation = SchemaViolation(
        asked(), world.routes()[0], execution_pb2.Execution(id="1"), answer, answer.choices[0]
    )
    assert (violation.route.model, violation.execution.id) == (world.routes()[0].model, "1")
    assert violation.choice in violation.answer.choices


class Paid:
    """Answers of a run: those that a world before this one has paid for."""

    def __init__(self, answers: Sequence[PaidAnswer] = ()) -> None:
        self.waiting = list(answers)

    def find(self, call: Call, request: Message) -> bytes | None:
        digest = content_hash(request)
        for place, answer in enumerate(self.waiting):
            if (answer.step_id, answer.request_hash) == (call.step_id, digest):
                return self.waiting.pop(place).body
        return None

    def written(self, call: Call, request: Message, answer: Message) -> PaidAnswer:
        return RunPaidAnswers(Owner("r", 1, "a")).written(call, request, answer) or pytest.fail("too large")


def run_call(answers: Sequence[PaidAnswer] = (), step_id: str = "s.0") -> Call:
    return Call(run_id="r", step_id=step_id, paid_answers=Paid(answers))


async def completed(world: World, call: Call) -> list[Message]:
    return [await world.inference.complete(asked(), call)]


async def streamed(world: World, call: Call) -> list[Message]:
    return [await fold(world.inference.stream(asked(), call))]


async def streamed_whole(world: World, call: Call) -> list[Message]:
    whole = ChunkBuilder()
    async for _ in world.inference.stream(asked(), call, whole):
        pass
    return [whole.completion()]


async def chosen(world: World, call: Call) -> list[Message]:
    return [await world.inference.complete(asked(choice_count=3), call)]


async def hedged(world: World, call: Call) -> list[Message]:
    return [await world.inference.complete(asked(routing={"hedge_after_ms": 60_000}), call)]


async def equal_ones(world: World, call: Call) -> list[Message]:
    return [await world.inference.complete(asked(), call) for _ in range(2)]


async def embedded(world: World, call: Call) -> list[Message]:
    request = pb.CreateEmbeddingsRequest(model=f"openai:{MODEL}", inputs=[{"text": "a"}])
    return [await world.inference.embed(request, call)]


async def drawn(world: World, call: Call) -> list[Message]:
    request = media.CreateImagesRequest(model=f"openai:{MODEL}", prompt="p")
    return [await world.inference.create_images(request, call)]


async def transcribed(world: World, call: Call) -> list[Message]:
    request = media.CreateTranscriptionRequest(model=f"openai:{MODEL}", data=b"x", filename="a.mp3")
    return [await world.inference.transcribe(request, call)]


async def spoken(world: World, call: Call) -> list[Message]:
    request, whole = media.CreateSpeechRequest(model=f"openai:{MODEL}", input="x"), media.SpeechChunk()
    async for chunk in world.inference.create_speech(request, call):
        sound = whole.data + chunk.data
        whole.MergeFrom(chunk)
        whole.data = sound
    return [whole]


async def repaired(world: World, call: Call) -> list[Message]:
    world.providers["openai"].answers[:] = ['{"name": 7}', '{"name": "Ada"}']
    return [await world.inference.complete(asked(response_format=FORM), call)]


@pytest.mark.parametrize(
    ("ask", "calls"),
    [
        *(
            (completed, 1),
            (streamed, 1),
            (streamed_whole, 1),
            (chosen, 3),
            (hedged, 1),
            (equal_ones, 2),
            (embedded, 1),
        ),
        *((drawn, 1), (transcribed, 1), (spoken, 1), (repaired, 2)),
    ],
)
async def test_operation_paid_before_answers_in_the_place_of_a_call(ask: Any, calls: int) -> None:
    first, second = World(Scripted("openai", "Hi you")), World(Scripted("openai", "other"))
    made = await ask(first, run_call())
    assert len(first.rows.settled) == calls
    assert first.rows.answers
    again = await ask(second, run_call(first.rows.answers))
    for one in (*made, *again):
        if hasattr(one, "latency_ms"):
            one.ClearField("latency_ms")
    assert again == made
    assert second.rows.settled == []


async def test_operation_paid_before_is_of_the_same_step_and_request() -> None:
    first, second = World(Scripted("openai", "Hi")), World(Scripted("openai", "other"))
    await first.inference.complete(asked(), run_call())
    assert text_of(await second.inference.complete(asked(), run_call(first.rows.answers, "s.1"))) == "other"
    assert text_of(await second.inference.complete(asked("Bye"), run_call(first.rows.answers))) == "other"
    assert text_of(await second.inference.complete(asked(), Call())) == "other"


async def test_operation_paid_writes_no_answer_of_a_call_that_failed_or_is_of_no_run() -> None:
    down = errors.ProviderUnavailable(provider="openai", provider_message="down")
    world = World(Scripted("openai", down, "Hi"))
    with pytest.raises(errors.ProviderUnavailable):
        await world.inference.complete(asked(), run_call())
    await world.inference.complete(asked(), Call())
    assert (len(world.rows.settled), world.rows.answers) == (2, [])

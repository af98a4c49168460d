"""A job that is stopped: before it begins it makes no call, once it is through nothing changes."""

from typing import Any

from genai_spine.call import Call
from genai_spine.symbols.job import Job, JobDependencies
from genai_spine.symbols.question import JobRules
from genai_spine.tokens import encodings
from genai_spine.tokens.tokenizer import Measure
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import symbol_service_pb2 as pb

Request = completions.CreateCompletionRequest
MEASURE = Measure(encodings.load("cl100k_base"))


class Asked:
    """What a job asked, and a good answer to all of it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def complete(
        self, request: completions.CreateCompletionRequest, call: Call
    ) -> completions.Completion:
        self.calls.append(call)
        answer = completions.Completion(choices=[completions.Choice()])
        answer.choices[0].message.content.add(text='{"summary": "It is one."}')
        return answer


def job(count: int, asked: Asked) -> Job:
    symbols = [pb.Symbol(symbol_id=f"s{n}", context=pb.SymbolContext(name="n")) for n in range(count)]
    request = pb.DocumentSymbolsRequest(job_id="job_1", symbols=symbols)
    return Job(request, Call(), JobDependencies(asked.complete, JobRules(), "gpt-4o-mini", MEASURE, "1"))


async def run(one: Job) -> tuple[pb.DocumentSymbolsResponse, list[Any]]:
    events: list[pb.SymbolEvent] = []
    return await one.run(events.append), events


async def test_a_job_that_is_stopped_before_it_begins_makes_no_call() -> None:
    asked = Asked()
    one = job(3, asked)
    one.stop("nobody approved it")
    response, events = await run(one)
    assert asked.calls == []
    assert [entry.symbol_id for entry in response.documented_symbols] == ["s0", "s1", "s2"]
    assert {entry.error.code for entry in response.documented_symbols} == {"CANCELLED"}
    assert len(response.warnings) == 4
    assert response.warnings[-1] == (
        "the job was cancelled: nobody approved it; 3 of 3 symbols were not asked about"
    )
    assert [event.type for event in events] == ["generation.started.v1", "generation.completed.v1"]
    assert events[-1].status == "failed"
    assert response.total_tokens == response.total_cost_ticks == 0


async def test_a_stop_comes_too_late_for_a_job_that_is_through() -> None:
    one = job(2, Asked())
    response, events = await run(one)
    one.stop("too late")
    assert events[-1].status == "success"
    assert list(response.warnings) == []


async def test_an_empty_job_cannot_be_stopped() -> None:
    one = job(0, Asked())
    one.stop("why not")
    _, events = await run(one)
    assert events[-1].status == "success"

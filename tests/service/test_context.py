"""Inputs that do not fit the model: refused before they cost anything, passed on, or shortened as asked."""

import pytest

from genai_spine.v1 import capability_service_pb2 as capability_pb
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, routing_pb2
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from tests.service.running import Running, asked, failure, user

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOO_LONG = "CONTEXT_LENGTH_EXCEEDED"
SMALL = "gpt-3.5-turbo"  # 16,385 tokens
LONG = "one two three four five six seven eight nine ten. " * 4000  # 44,001 tokens


async def test_it_is_refused_with_the_numbers_before_a_provider_is_asked(service: Running) -> None:
    found = await failure(service.completions.CreateCompletion(asked(LONG, model=SMALL)))
    assert found.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert found.metadata["context_length"] == "16385"
    assert int(found.metadata["input_tokens"]) > 40_000
    assert not service.openai.bill.calls


async def test_a_candidate_with_more_room_answers(service: Running) -> None:
    request = asked(LONG, model=SMALL, routing=routing_pb2.Routing(fallback_models=["gpt-4o"]))
    answer = await service.completions.CreateCompletion(request)
    assert answer.model == "gpt-4o"
    assert len(service.openai.bill.calls) == 1
    assert [row.requested_model for row in await service.rows(answer.request_id)] == [SMALL]


async def test_the_oldest_messages_are_left_out_when_asked(service: Running) -> None:
    system = message_pb2.Message(
        role=message_pb2.ROLE_SYSTEM, content=[message_pb2.ContentPart(text="Be brief.")]
    )
    request = asked("and now?", model=SMALL, truncation=pb.TRUNCATION_OLDEST_MESSAGES)
    last = request.messages.pop()
    request.messages.extend([system, user(LONG), user("earlier"), last])
    await service.completions.CreateCompletion(request)
    sent = service.openai.bill[-1].body["messages"]
    assert [message["content"] for message in sent] == ["Be brief.", "earlier", "and now?"]


@pytest.mark.parametrize("model", ["ollama:small", "ollama:small:latest"])
async def test_whoever_is_asked_knows_the_context_that_ollama_loads_a_model_with(
    service: Running, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(service.ollama.models, "small:latest", ["completion"])
    service.ollama.contexts["small:latest"] = 512
    long = "word " * 4460
    counted = await service.completions.CountTokens(pb.CountTokensRequest(request=asked(long, model=model)))
    assert (counted.fits, counted.context_length) == (False, 512)
    assert (
        await service.completions.CountTokens(pb.CountTokensRequest(request=asked("short", model=model)))
    ).fits
    assert (await failure(service.completions.CreateCompletion(asked(long, model=model)))).reason == TOO_LONG
    assert (await failure(service.completions.StreamCompletion(asked(long, model=model)))).reason == TOO_LONG
    summarize = capability_pb.SummarizeRequest(content=long, model=model)
    capabilities = CapabilityServiceStub(service.channel)
    assert (await failure(capabilities.Summarize(summarize))).reason == TOO_LONG
    problem = (await service.chat(model=model, messages=[{"role": "user", "content": long}])).problem
    assert (problem["status"], problem["code"]) == (400, "context_length_exceeded")


async def test_an_input_beyond_ollamas_default_is_read_in_full(service: Running) -> None:
    request = asked("word " * 30_000, model="ollama:llama3.2:latest", max_tokens=10)
    counted = await service.completions.CountTokens(pb.CountTokensRequest(request=request))
    assert (counted.fits, counted.context_length) == (True, 131072)
    answer = await service.completions.CreateCompletion(request)
    assert answer.usage.input_tokens > 30_000


async def test_the_oldest_messages_are_left_out_where_ollama_takes_less(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(service.ollama.models, "narrow:latest", ["completion"])
    service.ollama.contexts["narrow:latest"] = 2048
    request = asked("and now?", model="ollama:narrow", truncation=pb.TRUNCATION_OLDEST_MESSAGES)
    last = request.messages.pop()
    request.messages.extend([user("word " * 4000), user("earlier"), last])
    await service.completions.CreateCompletion(request)
    [call] = service.ollama.bill.calls
    assert [message["content"] for message in call.body["messages"]] == ["earlier", "and now?"]

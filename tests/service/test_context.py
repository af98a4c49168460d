"""Inputs that do not fit the model: refused before they cost anything, passed on, or shortened as asked."""

import pytest

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, routing_pb2
from tests.service.running import Running, asked, failure, user

pytestmark = pytest.mark.asyncio(loop_scope="session")

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

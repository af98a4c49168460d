"""Names of REST in answers: there for a call that came over REST, and never for a gRPC caller."""

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub
from tests.service.chats import begun
from tests.service.running import Running, asked, failure

if TYPE_CHECKING:
    from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_aliases_are_filled_only_over_rest(service: Running) -> None:
    chat = await begun(service)
    answer = await chat.send()
    assert (answer.cost, answer.cost_usd, answer.response.cost) == (0, 0, 0)
    request = pb.ListMessagesRequest(session_id=chat.id)
    messages = {
        path: (await chat.stub.ListMessages(request, metadata=metadata)).messages
        for path, metadata in (("", None), ("rest", [("x-envoy-original-path", "/v1/sessions/x/messages")]))
    }
    assert [each.cost for each in messages[""]] == [0, 0]
    assert [each.cost for each in messages["rest"]] == [0, answer.message_cost.cost_usd]


async def test_aliases_of_a_stream_are_filled_only_over_rest(service: Running) -> None:
    chat = await begun(service)
    metadata = [("x-envoy-original-path", "/v1/sessions/x/messages:stream")]
    [*_, plain] = [event async for event in chat.stub.StreamMessage(chat.said("a"))]
    [*_, rest] = [event async for event in chat.stub.StreamMessage(chat.said("b"), metadata=metadata)]
    assert (plain.result.cost, plain.result.response.cost) == (0, 0)
    assert (
        rest.result.cost
        == rest.result.response.cost
        == rest.result.cost_usd
        == rest.result.message_cost.cost_usd
        > 0
    )


async def test_aliases_that_a_grpc_caller_sets_are_refused_by_name(service: Running) -> None:
    request = asked("Hello")
    request.routing.max_cost_usd = 0.5
    refusal = await failure(service.completions.CreateCompletion(request))
    assert refusal.reason == "INVALID_FIELDS"
    assert "routing.max_cost_usd: is a name of REST; set routing.max_cost_ticks" in refusal.message


async def test_aliases_of_a_prompt_are_there_over_rest_and_refused_over_grpc(booked: Running) -> None:
    stub: PromptServiceAsyncStub = PromptServiceStub(booked.channel)
    rest = [("x-envoy-original-path", "/v1/prompts")]
    slug = f"alias-{uuid4().hex[:12]}"
    older = prompts.CreatePromptRequest(prompt=prompts.Prompt(name="A", slug=slug, template="Hi"))
    refusal = await failure(stub.CreatePrompt(older))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELDS", ["prompt.template"])
    assert "prompt.template: is a name of REST; set prompt.user_prompt_template" in refusal.message
    made = await stub.CreatePrompt(older, metadata=rest)
    assert made.template == made.user_prompt_template == "Hi"
    assert made.default_temperature == made.temperature == 0.7
    read = await stub.GetPrompt(prompts.GetPromptRequest(slug=slug))
    assert read.user_prompt_template == "Hi"
    assert not any(read.HasField(alias) for alias in ("template", "default_model", "default_temperature"))
    update = prompts.UpdatePromptRequest(prompt_id=read.id, prompt=prompts.Prompt(user_prompt_template="Bye"))
    update.update_mask.paths.append("template")
    refusal = await failure(stub.UpdatePrompt(update))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELDS", ["update_mask"])
    assert (await stub.UpdatePrompt(update, metadata=rest)).template == "Bye"

"""Models that exist only on the Responses API, through the server: same paths, same answers, same rows."""

from typing import Any

import pytest

from genai_spine.v1 import execution_pb2
from tests.service.running import Running
from tests.upstreams.reply import Reply, ToolCall, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

HI = [{"role": "user", "content": "Hi"}]
CALL = ToolCall("weather", ['{"city"', ':"Ulm"}'], id="c1")


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "openai:o3-pro", "messages": HI, **fields}


async def test_an_openai_client_gets_a_chat_of_it(service: Running) -> None:
    service.openai.script(Reply("four", usage=Usage(prompt_tokens=9, completion_tokens=4)))
    posted = await service.post("/v1/chat/completions", chat())
    answer = posted.json
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "four"
    assert answer["usage"]["total_tokens"] == 13
    assert [entry.path for entry in service.openai.bill.calls] == ["/v1/responses"]
    [row] = await service.rows(answer["request_id"])
    assert (row.model, row.usage.output_tokens) == ("o3-pro", 4)
    assert row.state == execution_pb2.EXECUTION_STATE_SUCCEEDED


async def test_a_stream_is_one_of_a_chat(service: Running) -> None:
    service.openai.script(Reply("Let me see", reasoning="hm", tool_calls=[CALL]))
    posted = await service.post("/v1/chat/completions", chat(stream=True))
    chunks = posted.events
    assert chunks.pop() == "[DONE]"
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Let me see"
    pieces = [piece["function"] for delta in deltas for piece in delta.get("tool_calls") or ()]
    assert "".join(piece.get("arguments", "") for piece in pieces) == '{"city":"Ulm"}'
    finished = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [reason for reason in finished if reason] == ["tool_calls"]


async def test_any_model_can_be_asked_there(service: Running) -> None:
    posted = await service.post("/v1/chat/completions", chat(model="gpt-4o", api="responses"))
    assert posted.json["choices"][0]["message"]["content"] == "You said: Hi"
    assert [entry.path for entry in service.openai.bill.calls] == ["/v1/responses"]


async def test_what_it_cannot_do_is_refused_before_it_is_asked(service: Running) -> None:
    named = [{"role": "user", "name": "ann", "content": "Hi"}]
    problem = (await service.post("/v1/chat/completions", chat(messages=named))).problem
    assert "provider openai does not support names of speakers" in str(problem)
    assert not service.openai.bill.calls

"""Reversible redaction of calls: no provider and no table sees a value, and answers are as without it."""

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.service.running import Running
from tests.service.stored_values import stored
from tests.upstreams.reply import Reply, ToolCall

pytestmark = pytest.mark.asyncio(loop_scope="session")
CALLS, AT_ONCE = 1_000, 20
HEADER = "x-genai-pii"
REVERSIBLE = ((HEADER, "redact_reversible"),)
PLACES = ("Write to {}.", '{{"to": "{}"}}', "<{}>", "a\n{}\tb", "{}, {}", "Zoë 👩‍👩‍👧 {} <EMAIL_ADDRESS_1>")


def values(chance: random.Random) -> Iterator[str]:
    """Made-up personal data of every type, none of it twice."""
    while True:
        number = chance.randrange(10**8, 10**9)
        yield f"ann.{number}@mail.example"
        yield f"+49 30 {number}"
        yield f"{chance.randrange(1, 223)}.{number % 251}.{number % 241}.{chance.randrange(1, 255)}"
        yield f"{100 + number % 560}-{10 + number % 80}-{1000 + number % 8000}"
        yield card(str(number))


def card(digits: str) -> str:
    """Card number that begins with 4, with its check digit."""
    body = f"4{digits:0>14}"
    doubled = [int(digit) * 2 for digit in body[::-2]]
    total = sum(number - 9 * (number > 9) for number in doubled) + sum(map(int, body[-2::-2]))
    return body + str(-total % 10)


def asked(text: str, hidden: str) -> pb.CreateCompletionRequest:
    """Request with a text, and a value in each other place that a provider gets."""
    tool = message_pb2.FunctionTool(name="send", description=f"For {hidden}")
    tool.parameters_json = json.dumps({"type": "object", "properties": {}, "description": hidden})
    call = message_pb2.FunctionCall(name="send", arguments_json=json.dumps({"to": [hidden], "n": 1.5}))
    request = pb.CreateCompletionRequest(model="gpt-4o", tools=[message_pb2.Tool(function=tool)])
    request.tool_choice.mode = message_pb2.ToolChoice.MODE_NONE
    request.messages.add(role=message_pb2.ROLE_SYSTEM).content.add(text=f"You serve {hidden}.")
    request.messages.add(role=message_pb2.ROLE_USER).content.add(text=f"I am {hidden}")
    request.messages.add(role=message_pb2.ROLE_ASSISTANT).tool_calls.add(id="call_1", function=call)
    said = request.messages.add(role=message_pb2.ROLE_TOOL, tool_call_id="call_1")
    said.content.add(text=f"sent to {hidden}")
    request.messages.add(role=message_pb2.ROLE_USER).content.add(text=text)
    return request


async def answer(service: Running, request: pb.CreateCompletionRequest, number: int, metadata: Any) -> str:
    """Text of the answer, whole or streamed."""
    if number % 2:
        whole = await service.completions.CreateCompletion(request, metadata=metadata)
        return "".join(part.text for part in whole.choices[0].message.content)
    chunks = service.completions.StreamCompletion(request, metadata=metadata)
    return "".join([delta.content async for chunk in chunks for delta in chunk.choices])


async def test_a_thousand_calls_show_no_value_to_anybody(booked: Running, capfd: Any) -> None:
    chance, gate = random.Random(11), asyncio.Semaphore(AT_ONCE)
    made = values(chance)
    seen: set[str] = set()

    async def one(number: int) -> None:
        first, second = next(made), next(made)
        seen.update((first, second))
        text = chance.choice(PLACES).format(first, first)
        async with gate:
            booked_answer = await answer(booked, asked(text, second), number, REVERSIBLE)
        assert booked_answer == f"You said: {text}"

    await asyncio.gather(*map(one, range(CALLS)))
    await booked.idle()
    sent = "\n".join(f"{entry.raw} {entry.headers} {entry.raw_path}" for entry in booked.openai.bill.entries)
    assert len(booked.openai.bill.entries) == CALLS
    out, error = capfd.readouterr()
    kept = await stored(booked.database)
    assert "gpt-4o" in kept
    for place in (sent, json.dumps(sent), kept, out, error):
        assert [value for value in seen if value in place] == []
    assert "<EMAIL_ADDRESS_" in sent


async def test_values_come_back_in_arguments_of_tools_however_they_are_cut(service: Running) -> None:
    arguments = '{"to": "<EMAIL_ADDRESS_1>", "cc": "\\u003cEMAIL_ADDRESS_1\\u003e", "n": "<EMAIL_ADDRESS_9>"}'
    request = asked("Write to a.b@mail.example", "nobody")
    request.tool_choice.mode = message_pb2.ToolChoice.MODE_AUTO
    for size in (1, 2, 3, 7, 1000):
        pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
        service.openai.script(Reply(tool_calls=[ToolCall("send", pieces)]))
        stream = service.completions.StreamCompletion(request, metadata=REVERSIBLE)
        calls = [call async for chunk in stream for delta in chunk.choices for call in delta.tool_calls]
        assert json.loads("".join(call.arguments for call in calls)) == {
            "to": "a.b@mail.example",
            "cc": "a.b@mail.example",
            "n": "<EMAIL_ADDRESS_9>",
        }
        assert [call.name for call in calls if call.HasField("name")] == ["send"]


async def test_streams_come_back_however_they_are_cut(service: Running) -> None:
    text = "<<EMAIL_ADDRESS_1>> 1 < 2 <EMAIL_ADDRESS_1><PHONE_NUMBER_2> <EMAIL_ADDRESS_ <A"
    whole = "<a.b@mail.example> 1 < 2 a.b@mail.example+49 30 901820 <EMAIL_ADDRESS_ <A"
    request = asked("Write to a.b@mail.example or +49 30 901820", "nobody")
    for size in (1, 2, 5, 11, 19, 1000):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        service.openai.script(Reply(text=pieces))
        assert await answer(service, request, 0, REVERSIBLE) == whole


async def test_values_come_back_in_json(service: Running) -> None:
    request = asked("Answer in JSON to", "nobody")
    request.response_format.kind = pb.ResponseFormat.KIND_JSON_OBJECT
    request.messages[-1].content[0].text += " ann.o'neil@mail.example"
    service.openai.script(
        Reply(text='{"to": "<EMAIL_ADDRESS_1>"}'), Reply(text='{"to": "<EMAIL_ADDRESS_1>"}')
    )
    for number in (0, 1):
        found = json.loads(await answer(service, request, number, REVERSIBLE))
        assert found == {"to": "ann.o'neil@mail.example"}


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_clients_get_their_values_back(service: Running, stream: bool) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "I am a.b@mail.example"}]}]
    body = {"model": "gpt-4o", "messages": messages, "user": "c.d@mail.example", "stream": stream}
    posted = await service.post("/v1/chat/completions", body, x_genai_pii="redact_reversible")
    if stream:
        choices = [event["choices"][0] for event in posted.events[:-1] if event["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
    else:
        text = posted.json["choices"][0]["message"]["content"]
    assert text == "You said: I am a.b@mail.example"
    assert "mail.example" not in service.openai.bill.entries[-1].raw

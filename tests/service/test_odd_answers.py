"""Answers that are not quite OpenAI's, by OpenAI's path: frames, errors, fallbacks, rows of the ledger."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from genai_spine.v1 import execution_pb2, routing_pb2, usage_pb2
from tests.service.running import Posted, Running, asked, text_of
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAILED = execution_pb2.EXECUTION_STATE_FAILED
COUNTS = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
USAGE = {"stream_options": {"include_usage": True}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def chunk(delta: Any = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish, **fields}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def stream_of(*events: Any, done: bool = True) -> Reply:
    texts = [event if isinstance(event, str) else json.dumps(event) for event in (*events, "[DONE]")]
    body = "".join(f"data: {text}\n\n" for text in texts[: None if done else -1])
    return Reply(body=body, content_type="text/event-stream")


def whole_of(message: Any, finish: str = "stop", **fields: Any) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **fields}
    return Reply(body={"id": "x", "created": 1, "model": "m", "choices": [choice], "usage": COUNTS})


def read(posted: Posted) -> list[ChatCompletionChunk]:
    """Frames as the official SDK's types have them, strictly."""
    return [ChatCompletionChunk.model_validate(e, strict=True) for e in posted.events if e != "[DONE]"]


def text(posted: Posted) -> str:
    return "".join(choice.delta.content or "" for frame in read(posted) for choice in frame.choices)


def frames_of_calls(posted: Posted) -> list[tuple[int, str | None, str | None, str | None]]:
    fragments = [
        fragment
        for frame in read(posted)
        for choice in frame.choices
        for fragment in choice.delta.tool_calls or ()
    ]
    return [(f.index, f.id, f.function.name, f.function.arguments) for f in fragments if f.function]


def fragment(index: Any, id: Any, arguments: Any, **function: Any) -> dict[str, Any]:
    head = {"index": index} | ({} if id is None else {"id": id})
    return {**head, "function": {**function, "arguments": arguments}}


class TestFrames:
    async def test_calls_of_one_index_are_two(self, service: Running) -> None:
        one = chunk({"tool_calls": [fragment(0, "call_a", '{"city":"Oslo"}', name="weather")]})
        other = chunk({"tool_calls": [fragment(0, "call_b", '{"city":"Rome"}', name="clock")]})
        service.openai.script(stream_of(one, other, chunk(finish="tool_calls")))
        posted = await service.chat(stream=True, tools=[TOOL])
        assert frames_of_calls(posted) == [
            (0, "call_a", "weather", '{"city":"Oslo"}'),
            (1, "call_b", "clock", '{"city":"Rome"}'),
        ]

    async def test_call_goes_out_with_its_name(self, service: Running) -> None:
        one = chunk({"tool_calls": [fragment(0, "call_a", '{"city":')]})
        other = chunk({"tool_calls": [fragment(0, None, '"Oslo"}', name="weather")]})
        service.openai.script(stream_of(one, other, chunk(finish="stop")))
        posted = await service.chat(stream=True, tools=[TOOL])
        assert frames_of_calls(posted) == [(0, "call_a", "weather", '{"city":"Oslo"}')]
        assert read(posted)[-1].choices[0].finish_reason == "tool_calls"

    @pytest.mark.parametrize("id", ["", None])
    async def test_call_has_an_id_and_arguments_as_text(self, service: Running, id: Any) -> None:
        calls = [fragment(index, id, {"city": "Oslo"}, name="weather") for index in (0, 1)]
        service.openai.script(stream_of(chunk({"tool_calls": calls}), chunk(finish="tool_calls")))
        found = frames_of_calls(await service.chat(stream=True, tools=[TOOL]))
        assert len({id for _, id, _, _ in found if id}) == 2
        assert [arguments for *_, arguments in found] == ['{"city":"Oslo"}'] * 2
        service.openai.script(whole_of({"content": None, "tool_calls": calls}, "stop"))
        answer = ChatCompletion.model_validate((await service.chat(tools=[TOOL])).json, strict=True)
        assert answer.choices[0].finish_reason == "tool_calls"
        assert len({call.id for call in answer.choices[0].message.tool_calls or ()}) == 2

    async def test_ids_of_our_own_are_others_in_the_next_answer(self, service: Running) -> None:
        reply = whole_of({"tool_calls": [fragment(0, "", "{}", name="weather")]}, "tool_calls")
        service.openai.script(reply, reply)
        answers = [(await service.chat(tools=[TOOL])).json for _ in range(2)]
        assert len({answer["choices"][0]["message"]["tool_calls"][0]["id"] for answer in answers}) == 2

    @pytest.mark.parametrize("choices", [None, [], [{}]])
    async def test_usage_comes_whatever_its_choices_are(self, service: Running, choices: Any) -> None:
        counted = {"choices": choices, "usage": COUNTS}
        service.openai.script(stream_of(chunk({"content": "Hi"}), chunk(finish="stop"), counted))
        frames = read(await service.chat(stream=True, **USAGE))
        assert frames[-1].usage
        assert (frames[-1].usage.prompt_tokens, frames[-1].usage.completion_tokens) == (7, 5)

    async def test_every_token_has_its_logprob(self, service: Running) -> None:
        tokens = [("Hi ", "Hi "), ("", "\\xf0"), ("\U0001f642", "\\x99"), ("", "<eos>")]
        events = [
            chunk({"content": said}, logprobs={"content": [{"token": token, "logprob": -1.0, "bytes": None}]})
            for said, token in tokens
        ]
        service.openai.script(stream_of(*events, chunk(finish="stop")))
        posted = await service.chat(stream=True, logprobs=True)
        found = [choice.logprobs for frame in read(posted) for choice in frame.choices if choice.logprobs]
        assert [token.token for part in found for token in part.content or ()] == [t for _, t in tokens]
        assert text(posted) == "Hi \U0001f642"

    async def test_halves_of_a_character_are_one(self, service: Running) -> None:
        halves = [json.dumps(chunk({"content": half})) for half in ("Go \ud83d", "\ude80!")]
        service.openai.script(stream_of(*halves, chunk(finish="stop")))
        assert text(await service.chat(stream=True)) == "Go \U0001f680!"

    async def test_content_in_parts_is_text_and_reasoning(self, service: Running) -> None:
        thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
        service.openai.script(
            stream_of(
                chunk({"content": thinking}),
                chunk({"content": [{"type": "text", "text": "Hi"}]}),
                chunk(finish="stop"),
            )
        )
        posted = await service.chat(stream=True)
        deltas = [choice["delta"] for event in posted.events[:-1] for choice in event["choices"]]
        assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hm."
        assert text(posted) == "Hi"

    async def test_whole_answer_is_streamed_and_a_stream_is_folded(self, service: Running) -> None:
        stream = stream_of(chunk({"content": "Hi"}), chunk(finish="stop"))
        service.openai.script(whole_of({"content": "Hi"}), stream)
        assert text(await service.chat(stream=True)) == "Hi"
        answer = ChatCompletion.model_validate((await service.chat()).json, strict=True)
        assert answer.choices[0].message.content == "Hi"

    @pytest.mark.parametrize("after", [-1])
    async def test_stream_ends_although_its_connection_stays_open(self, service: Running, after: int) -> None:
        service.openai.script(Reply("Hi", fault="stall", after=after))
        posted = await service.chat(stream=True, **USAGE)
        assert posted.events[-1] == "[DONE]"
        assert read(posted)[-1].usage
        [row] = await service.rows(posted.headers["x-request-id"])
        assert row.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED


FAULT = {"message": "out of memory", "code": 502}
ERRORS = [
    {"error": FAULT},
    {"object": "error", **FAULT},
    {"detail": "out of memory"},
    {"id": "x", "choices": [{"finish_reason": "error", "error": FAULT, "delta": {"content": ""}}]},
    {"id": "x", "choices": [{"finish_reason": "abort", "message": {"content": "what"}}]},
]


class TestErrorsInAnswers:
    @pytest.mark.parametrize("body", ERRORS)
    async def test_error_after_some_text_ends_the_stream_as_one(self, service: Running, body: Any) -> None:
        service.openai.script(stream_of(chunk({"content": "A"}), body))
        posted = await service.chat(stream=True)
        assert posted.events[-1]["error"]["code"] == "PROVIDER_ERROR"
        [row] = await service.rows(posted.headers["x-request-id"])
        assert (row.state, row.error_reason) == (FAILED, "PROVIDER_UNAVAILABLE")

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("body", ERRORS[:-1])
    async def test_error_before_any_text_is_tried_elsewhere(
        self, service: Running, body: Any, stream: bool
    ) -> None:
        role = chunk({"role": "assistant", "content": ""})
        failing = stream_of(role, body) if stream else Reply(body=body)
        service.openai.script(failing)
        service.ollama.script(Reply("from the other"))
        request = asked(routing=routing_pb2.Routing(fallback_models=["ollama:llama3.2:latest"]))
        if stream:
            chunks = [chunk async for chunk in service.completions.StreamCompletion(request)]
            said, request_id = text_of(chunks), chunks[0].request_id
        else:
            answer = await service.completions.CreateCompletion(request)
            said, request_id = answer.choices[0].message.content[0].text, answer.request_id
        assert said == "from the other"
        rows = await service.rows(request_id)
        assert [(row.provider, row.state == FAILED) for row in rows] == [("openai", True), ("ollama", False)]
        assert rows[0].error_reason == "PROVIDER_UNAVAILABLE"

    @pytest.mark.parametrize("code", [429, "429"])
    async def test_code_of_an_error_becomes_its_status(self, service: Running, code: Any) -> None:
        service.openai.default = Reply(body={"error": {"message": "slow down", "code": code}})
        posted = await service.chat()
        assert posted.problem["status"] == 429


class TestBilledAnswers:
    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(
        "body",
        [
            '{"choices":[],"usage":%s}',
            '{"usage":%s,"choices":[{"message":{"content":"what the model said',
            '{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"arguments":"{}"}}]}}],"usage":%s}',
            '{"choices":[{"finish_reason":"error","error":{"message":"x"}}],"usage":%s}',
        ],
    )
    async def test_answer_that_cannot_be_used_is_booked_by_its_own_counts(
        self, service: Running, body: str, stream: bool
    ) -> None:
        service.openai.script(Reply(body=body % json.dumps(COUNTS), content_type="application/json"))
        service.openai.default = Reply(body="<html><title>Bad Gateway</title></html>")
        posted = await service.chat(stream=stream)
        assert posted.headers["x-should-retry"] == "false"
        assert "what the model said" not in json.dumps(posted.problem)
        row = (await service.rows(posted.headers["x-request-id"]))[0]
        assert row.state == FAILED
        assert (row.usage.input_tokens, row.usage.output_tokens) == (7, 5)
        assert row.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
        assert row.cost.cost_ticks > 0
        assert "what the model said" not in row.error

    async def test_page_in_the_place_of_an_answer_is_its_title(self, service: Running) -> None:
        service.openai.default = Reply(body="<html><title>Just a moment</title><p>x</p></html>")
        for stream in (True, False):
            posted = await service.chat(stream=stream)
            assert posted.problem["message"].endswith("Just a moment")


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
JSON_FORMS = [
    {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    {"type": "json_object"},
]


class TestJsonThatWasAskedFor:
    @pytest.mark.parametrize("form", JSON_FORMS)
    @pytest.mark.parametrize(
        "said",
        [
            '<think>maybe {"n":1}?</think>{"n":2}',
            '```json\n{"n":2}\n```',
            'Here you are: {"n":2}. Anything else?',
            '{"n":2}\n\nThat is all.',
            '<think>hm</think>\n```\n{"n":2}\n```\n',
        ],
    )
    async def test_json_is_the_content_whole_and_streamed(
        self, service: Running, said: str, form: Any
    ) -> None:
        service.openai.default = Reply([said[at : at + 4] for at in range(0, len(said), 4)])
        fields = {"response_format": form, "messages": [{"role": "user", "content": "Which number? JSON."}]}
        answer = ChatCompletion.model_validate((await service.chat(**fields)).json, strict=True)
        posted = await service.chat(**fields, stream=True)
        assert json.loads(answer.choices[0].message.content or "") == json.loads(text(posted)) == {"n": 2}
        assert read(posted)[-1].choices[0].finish_reason == "stop"

    async def test_answer_without_json_is_repaired_or_an_error(self, service: Running) -> None:
        service.openai.script(Reply("I do not know."), Reply('{"n":2}'))
        posted = await service.chat(response_format=JSON_FORMS[0])
        assert posted.json["choices"][0]["message"]["content"] == '{"n":2}'
        service.openai.default = Reply("I do not know.")
        assert (await service.chat(response_format=JSON_FORMS[0])).problem["status"] == 502

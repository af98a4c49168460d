"""What the adapter refuses before a call, sends along with it, and lists."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import fold, text_of
from genai_spine.errors import (
    InvalidFields,
    ModelNotFound,
    SpineError,
    UnsupportedOperation,
    UnsupportedOption,
)
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.contract.options import SAMPLES, said
from tests.contract.spoken import Spoken, folded, speaking
from tests.direct import direct
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.upstreams.reply import Reply, ToolCall

OLD, MIDDLE, LATEST = "claude-sonnet-4-20250514", "claude-sonnet-4-6", "claude-opus-4-7"
LOW: dict[str, Any] = {"reasoning_effort": "REASONING_EFFORT_LOW"}
FORCED: dict[str, Any] = SAMPLES["tool_choice"].fields
ANYWHERE = Endpoint("anthropic", "http://127.0.0.1:9")
STRICT = message_pb2.Tool(function=message_pb2.FunctionTool(name="t", parameters_json="{}", strict=True))


@pytest.fixture
async def spoken() -> AsyncIterator[Spoken]:
    async with speaking("anthropic") as found:
        yield found


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("temperature", {"temperature": 0.5, **LOW}),
        ("top_p", {"top_p": 0.5, **LOW}),
        ("top_k", {"top_k": 5, "reasoning_max_tokens": 2000}),
        ("tool_choice", {**FORCED, **LOW}),
        ("tool_choice", {**FORCED, "reasoning_max_tokens": 2000, "model": MIDDLE}),
        ("temperature", {"temperature": 0.5, "model": LATEST}),
        ("top_p", {"top_p": 0.5, "model": LATEST}),
        ("top_k", {"top_k": 5, "model": LATEST}),
        ("reasoning_max_tokens", {"reasoning_max_tokens": 2000, "model": LATEST}),
        ("tools[0].function.strict", {"tools": [STRICT]}),
        ("seed", {"seed": 1}),
        ("logit_bias", {"logit_bias": {7: 1.0}}),
        ("prompt.suffix", {"messages": [], "prompt": pb.TextPrompt(text="a", suffix="b")}),
        ("messages[0].content", SAMPLES["messages.audio"].fields),
    ],
)
def test_option_that_a_model_cannot_honour_is_refused_by_name(field: str, fields: Any) -> None:
    provider = PROVIDERS["anthropic"].make(ANYWHERE)
    request = pb.CreateCompletionRequest(**({"model": OLD, "messages": [said()]} | fields))
    with pytest.raises(UnsupportedOption) as refusal:
        direct(provider).check_options(request)
    assert refusal.value.metadata["field"] == field
    assert refusal.value.metadata["provider"] == "anthropic"


@pytest.mark.parametrize(
    ("field", "fields"),
    [("temperature", {"temperature": 1.5}), ("reasoning_max_tokens", {"reasoning_max_tokens": 1023})],
)
def test_values_beyond_its_bounds_are_refused(field: str, fields: Any) -> None:
    provider = PROVIDERS["anthropic"].make(ANYWHERE)
    with pytest.raises(InvalidFields) as refusal:
        direct(provider).check_options(pb.CreateCompletionRequest(model=OLD, messages=[said()], **fields))
    assert refusal.value.violations[0][0] == field


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 1, "top_p": 1, **LOW},
        {"temperature": 1, "top_p": 1, "model": LATEST},
        {"top_p": 0.95, **LOW},
        {"temperature": 0.5, "reasoning_effort": "REASONING_EFFORT_NONE"},
        {**FORCED, **LOW, "model": MIDDLE},
        {**LOW, "model": LATEST},
        {"reasoning_max_tokens": 2000, "model": MIDDLE},
        {"reasoning_max_tokens": 2000},
    ],
)
async def test_option_that_is_not_refused_is_taken_by_the_upstream(spoken: Spoken, fields: Any) -> None:
    request = spoken.request(**fields)
    direct(spoken.provider).check_options(request)
    await spoken.whole(request)
    assert spoken.up.bill[-1].status == 200


async def test_headers_are_the_key_the_version_and_a_beta_only_where_it_is_needed(spoken: Spoken) -> None:
    await spoken.whole(spoken.request())
    await spoken.whole(spoken.request(**SAMPLES["messages.file"].fields))
    plain, with_file = (entry.headers for entry in spoken.up.bill)
    assert (plain["x-api-key"], plain["anthropic-version"]) == ("sk-test-1", "2023-06-01")
    assert plain["content-type"] == "application/json"
    assert "authorization" not in plain
    assert "anthropic-beta" not in plain
    assert with_file["anthropic-beta"] == "files-api-2025-04-14"


async def test_conversation_with_thoughts_and_tools_goes_to_and_fro(spoken: Spoken) -> None:
    spoken.up.script(
        Reply("Let me see", reasoning=["hm, ", "well"], tool_calls=[ToolCall("weather", id="a")])
    )
    tools = SAMPLES["tools"].fields["tools"]
    asked = spoken.request("Weather?", tools=tools, **LOW)
    answer = (await folded(await spoken.chunks(asked))).choices[0].message
    result = message_pb2.Message(
        role=message_pb2.ROLE_TOOL, tool_call_id="a", content=[message_pb2.ContentPart(text="sunny")]
    )
    messages = [*asked.messages, answer, result]
    await spoken.whole(spoken.request(messages=messages, tools=tools, **LOW))
    entry = spoken.up.bill[-1]
    assert entry.status == 200
    kinds = [block["type"] for block in entry.body["messages"][1]["content"]]
    assert kinds == ["thinking", "text", "tool_use"]
    thought = entry.body["messages"][1]["content"][0]
    assert (thought["thinking"], bool(thought["signature"])) == ("hm, well", True)


async def test_first_chunk_tells_the_input_and_the_last_one_everything(spoken: Spoken) -> None:
    spoken.up.default = Reply(["a", "b", "c"])
    chunks = await spoken.chunks(spoken.request())
    assert chunks[0].usage.input_tokens == chunks[-1].usage.input_tokens == spoken.up.bill[-1].prompt_tokens
    assert chunks[-1].usage.output_tokens == spoken.up.bill[-1].completion_tokens
    assert {(chunk.id, chunk.model) for chunk in chunks} == {(chunks[0].id, spoken.model)}


async def test_stream_that_ends_without_having_begun_is_unusable(spoken: Spoken) -> None:
    spoken.up.script(Reply(body='data: {"type":"message_stop"}\n\n', content_type="text/event-stream"))
    with pytest.raises(SpineError) as error:
        await spoken.chunks(spoken.request())
    assert error.value.metadata["provider_code"] == "no_message"


async def test_models_are_listed_with_what_they_can_do(spoken: Spoken) -> None:
    models = {model.id: model for model in await spoken.provider.list_models()}
    assert list(models[OLD].capabilities) == ["chat", "tools", "vision", "reasoning"]
    assert models[OLD].supports_vision
    assert list(models["claude-3-haiku-20240307"].capabilities) == ["chat", "tools", "vision"]
    assert models[OLD].context_length == 200_000


async def test_embeddings_are_not_offered(spoken: Spoken) -> None:
    with pytest.raises(UnsupportedOperation):
        await direct(spoken.provider).embed(pb.CreateEmbeddingsRequest(model="e"), Call())


async def test_count_for_an_unknown_model_is_an_error(spoken: Spoken) -> None:
    spoken.up.unknown_models.add("claude-9")
    with pytest.raises(ModelNotFound):
        await direct(spoken.provider).count_tokens(spoken.request(model="claude-9"), Call())


async def test_key_that_the_upstream_repeats_is_not_shown(spoken: Spoken) -> None:
    spoken.up.script(
        Reply(status=401, body={"error": {"type": "authentication_error", "message": "bad sk-test-1"}})
    )
    with pytest.raises(SpineError) as error:
        await spoken.whole(spoken.request())
    assert error.value.metadata["provider_message"] == "bad ***"


TIMEOUTS = Timeouts(first_token_s=20, between_tokens_s=20)
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MESSAGE = {"type": "message", "id": "m1", "model": "claude-9", "content": [{"type": "text", "text": "Hi"}]}
COUNTS = {"input_tokens": 3, "output_tokens": 2}
EVENTS = [
    {"type": "message_start", "message": {"id": "m1", "model": "claude-9", "usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
]


def framed(*events: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events)


async def answered(*answer: bytes | Then, stream: bool) -> pb.Completion:
    """What an upstream's bytes come to."""
    async with RawServer(answer) as server:
        provider = PROVIDERS["anthropic"].make(Endpoint("anthropic", server.url, timeouts=TIMEOUTS))
        asked = direct(provider)
        request = pb.CreateCompletionRequest(model="claude-9", prompt=pb.TextPrompt(text="x"), max_tokens=9)
        try:
            if stream:
                return await fold(asked.stream(request, Call()))
            return await asked.complete(request, Call())
        finally:
            await provider.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        framed(*EVENTS, {"type": "message_stop"}),
        b"\xef\xbb\xbf" + framed(*EVENTS),
        b"event: x\r\n" + framed(*EVENTS).replace(b"\n", b"\r\n"),
        msgspec.json.encode(MESSAGE | {"stop_reason": "end_turn", "usage": COUNTS}),
        msgspec.json.format(msgspec.json.encode(MESSAGE | {"stop_reason": None, "usage": COUNTS})),
    ],
)
async def test_stream_and_message_are_read_whichever_was_asked_for(body: bytes, stream: bool) -> None:
    answer = await answered(response(body), stream=stream)
    assert (text_of(answer.choices[0]), answer.usage.total_tokens) == ("Hi", 5)


async def test_stream_ends_with_its_stop_reason_though_its_connection_stays() -> None:
    events = framed(*EVENTS)
    chunk = b"%x\r\n%b\r\n" % (len(events), events)
    for then in (Then.STALL, Then.CLOSE):
        answer = await answered(SSE_HEAD, chunk, then, stream=True)
        assert (text_of(answer.choices[0]), answer.usage.total_tokens) == ("Hi", 5)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            {"type": "error", "error": {"type": "api_error", "message": "no memory"}},
            errors.ProviderUnavailable,
        ),
        ({"error": {"type": "rate_limit_error", "message": "no memory"}}, errors.ProviderRateLimited),
        ({"error": {"message": "no memory", "code": "429"}}, errors.ProviderRateLimited),
        ({"detail": "no memory"}, errors.ProviderUnavailable),
        ({"message": "no memory", "status": 401}, errors.ProviderAuthentication),
        (MESSAGE | {"stop_reason": "error", "usage": COUNTS}, errors.ProviderUnavailable),
        (MESSAGE | {"error": {"message": "no memory"}, "usage": COUNTS}, errors.ProviderUnavailable),
        (MESSAGE | {"content": [{"type": "tool_use", "id": "a"}], "usage": COUNTS}, errors.ProviderError),
    ],
)
async def test_error_in_a_good_looking_answer_is_one(body: Any, kind: Any, stream: bool) -> None:
    with pytest.raises(kind, match=r"no memory|ended with 'error'|without naming it") as failure:
        await answered(response(msgspec.json.encode(body)), stream=stream)
    assert (failure.value.usage is not None) == ("usage" in body)

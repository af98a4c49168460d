"""Errors on OpenAI's paths: the statuses, codes and shapes that its SDKs act on, and nothing ever untyped."""

import json
from typing import Any

import grpc
import msgspec
import pytest
from google.api.httpbody_pb2 import HttpBody
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.running import IMPATIENT, Posted, Running, failure_of
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAT, TEXT, VECTORS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
HI = [{"role": "user", "content": "Hi"}]
DEEP = 100_000

PROVIDER_ERRORS = [
    (openai_errors.rate_limited(2), 429, "rate_limit_exceeded", "rate_limit_error", "2", None),
    (openai_errors.insufficient_quota(), 502, "PROVIDER_ERROR", "api_error", None, "false"),
    (openai_errors.invalid_key(), 502, "PROVIDER_ERROR", "api_error", None, "false"),
    (
        openai_errors.context_length_exceeded(),
        400,
        "context_length_exceeded",
        "invalid_request_error",
        None,
        None,
    ),
    (openai_errors.content_filter(), 400, "content_filter", "invalid_request_error", None, None),
    (
        openai_errors.error(400, "bad", code="invalid_value"),
        400,
        "VALIDATION_ERROR",
        "invalid_request_error",
        None,
        None,
    ),
    (openai_errors.model_not_found("x"), 404, "model_not_found", "invalid_request_error", None, None),
    (openai_errors.bad_gateway(503), 502, "PROVIDER_ERROR", "api_error", None, None),
    (Reply("x", fault="malformed"), 502, "PROVIDER_ERROR", "api_error", None, "false"),
    (Reply(fault="stall"), 504, "PROVIDER_TIMEOUT", "api_error", None, "false"),
]


class TestProviders:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(("reply", "expected"), [(case[0], case[1:]) for case in PROVIDER_ERRORS])
    async def test_an_error_has_openais_status_code_and_type(
        self, service: Running, reply: Reply, stream: bool, expected: tuple[Any, ...]
    ) -> None:
        status, code, kind, retry_after, should_retry = expected
        service.openai.script(reply)
        slow = {"model": IMPATIENT} if reply.fault == "stall" else {}
        posted = await service.chat(stream=stream, **slow)
        problem = posted.problem
        assert (problem["status"], problem["code"], problem["type"]) == (status, code, kind)
        assert posted.headers.get("retry-after") == retry_after
        assert posted.headers.get("x-should-retry") == should_retry
        assert problem["request_id"] == posted.headers["x-request-id"]
        assert problem["details"]["provider"] in ("openai", "together")
        assert set(problem) >= {"message", "type", "param", "code"}

    async def test_both_shapes_stand_in_one_body(self, service: Running) -> None:
        posted = await service.chat(temperature=9)
        body = json.loads(posted.headers["x-genai-error"])
        assert set(body) == {"error", "detail"}
        assert body["detail"] == body["error"]["message"] == "temperature: must be at most 2, got 9"

    async def test_a_grpc_client_gets_the_typed_status_without_the_edges_headers(
        self, service: Running
    ) -> None:
        call = service.facade.CreateEmbedding(HttpBody(data=b'{"model":"e"}'))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        found = failure_of(raised.value)
        assert (found.reason, found.metadata["field"]) == ("INVALID_REQUEST", "input")
        assert not [key for key, _ in await call.trailing_metadata() if key.startswith("x-genai")]


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": "gpt-4o", "messages": HI, **fields}).encode()


BAD = [
    (b"", "body"),
    (b"{", "body"),
    (b"[]", "body"),
    (b"null", "body"),
    (b'"text"', "body"),
    (b'{"model": "gpt-4o", "messages": NaN}', "body"),
    (b'{"temperature": NaN}', "body"),
    (b'{"temperature": Infinity}', "body"),
    (b'{"temperature": 1e999}', "temperature"),
    (b'{"seed": 1e30}', "seed"),
    (b'{"seed": 99999999999999999999999999, "model": "m"}', "seed"),
    (b'{"n": -1, "model": "m"}', "n"),
    (b'{"max_tokens": 4294967296, "model": "m"}', "max_tokens"),
    (b'{"model": "gpt-4o\xff"}', "body"),
    (b'{"model": "\\ud800"}', "body"),
    (b'{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}", "body"),
    (b"[" * DEEP, "body"),
    (
        b'{"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": ' + b"[" * DEEP,
        "body",
    ),
    (chat(model=None), "model"),
    (chat(model=""), "model"),
    (chat(model=5), "model"),
    (chat(messages=None), "messages"),
    (chat(messages=[]), "messages"),
    (chat(messages="Hi"), "messages"),
    (chat(messages=[{}]), "messages[0].role"),
    (chat(messages=[{"content": "Hi"}]), "messages[0].role"),
    (chat(messages=[{"role": "wizard", "content": "Hi"}]), "messages[0].role"),
    (chat(messages=[{"role": "user"}]), "messages[0].content"),
    (chat(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
    (chat(messages=[{"role": "user", "content": [{"type": "hologram"}]}]), "messages[0].content[0].type"),
    (chat(messages=[{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text"),
    (chat(messages=[{"role": "tool", "content": "x"}]), "messages[0].tool_call_id"),
    (chat(temperature="hot"), "temperature"),
    (chat(temperature=2.5), "temperature"),
    (chat(top_p=-1), "top_p"),
    (chat(n=11), "n"),
    (chat(n=1.5), "n"),
    (chat(n=True), "n"),
    (chat(max_tokens=0), "max_tokens"),
    (chat(max_completion_tokens=-5), "max_completion_tokens"),
    (chat(stream="yes"), "stream"),
    (chat(stop=5), "stop"),
    (chat(stop=[""]), "stop_sequences[0]"),
    (chat(logit_bias={"a": 1}), "logit_bias"),
    (chat(logit_bias={"1": 101}), "logit_bias[1]"),
    (chat(reasoning_effort="maximal"), "reasoning_effort"),
    (chat(tool_choice="sometimes"), "tool_choice"),
    (chat(tools=[{"type": "function"}]), "tools[0].function"),
    (chat(tools=[{"type": "function", "function": {"name": ""}}]), "tools[0].function.name"),
    (chat(response_format={"type": "yaml"}), "response_format.type"),
    (chat(response_format={"type": "json_schema"}), "response_format.json_schema"),
    (
        chat(response_format={"type": "json_schema", "json_schema": {"name": "x"}}),
        "response_format.json_schema.schema",
    ),
    (chat(top_logprobs=3), "top_logprobs"),
    (chat(provider="opnai"), "provider"),
]


class TestBodies:
    @pytest.mark.parametrize(("body", "param"), BAD, ids=lambda value: str(value)[:40])
    async def test_a_bad_body_is_refused_by_the_name_of_its_field(
        self, service: Running, body: bytes, param: str
    ) -> None:
        posted = await service.post(CHAT, body)
        problem = posted.problem
        assert (problem["status"], problem["type"]) == (400, "invalid_request_error")
        assert problem["param"] == param
        assert len(posted.headers["x-genai-error"]) < 3000
        assert service.openai.bill.calls == []

    @pytest.mark.parametrize("path", [TEXT, VECTORS])
    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * DEEP, b'{"model":"\xff"}', b'{"model":NaN}'])
    async def test_the_other_paths_refuse_the_same(self, service: Running, path: str, body: bytes) -> None:
        problem = (await service.post(path, body)).problem
        assert (problem["status"], problem["param"]) == (400, "body")

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"prompt": None}, "prompt"),
            ({"prompt": []}, "prompt"),
            ({"prompt": ["a", [1]]}, "prompt"),
            ({"prompt": [[1], 2]}, "prompt"),
            ({"prompt": [4294967296]}, "token"),
            ({"prompt": {"text": "x"}}, "prompt"),
            ({"best_of": 21}, "prompt.best_of"),
            ({"logprobs": 6.5}, "logprobs"),
            ({"model": None}, "model"),
        ],
    )
    async def test_bad_text_completions(self, service: Running, change: Any, param: str) -> None:
        problem = (await service.post(TEXT, {"model": "gpt-4o", "prompt": "x"} | change)).problem
        assert (problem["status"], problem["param"]) == (400, param)

    async def test_of_a_field_that_stands_twice_the_last_one_counts(self, service: Running) -> None:
        body = b'{"model":"a","x":1,"messages":[{"role":"user","content":"Hi"}],"x":2,"model":"vllm:b"}'
        await service.post(CHAT, body)
        assert service.openai.bill[0].body["model"] == "b"
        assert service.openai.bill[0].body["x"] == 2

    async def test_a_model_that_nobody_has_is_404(self, service: Running) -> None:
        service.openai.unknown_models.add("gpt-99")
        for model in ("gpt-99", "claude-3", "groq2:x"):
            service.ollama.unknown_models.add("groq2:x")
            problem = (await service.chat(model=model)).problem
            assert (problem["status"], problem["code"], problem["param"]) == (404, "model_not_found", "model")
            assert model in problem["message"]


def typed(posted: Posted) -> None:
    """The answer is one, or a typed refusal of the request; never a fault of ours, never a trace of code."""
    if posted.error is None:
        return
    assert posted.error.code() in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNIMPLEMENTED,
    ), posted.error.details()
    everything = repr(posted.headers) + (posted.error.details() or "")
    assert "Traceback" not in everything
    assert ".py" not in everything
    assert posted.problem["status"] in (400, 404)


WHOLE = {
    "model": "builtin:extractive",
    "messages": [
        {"role": "system", "content": "be"},
        {"role": "user", "name": "a", "content": [{"type": "text", "text": "Hi"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ],
    "temperature": 0.5,
    "n": 2,
    "stop": ["x"],
    "seed": 1,
    "logit_bias": {},
    "tools": [],
    "functions": [],
    "response_format": {"type": "text"},
    "stream": False,
    "stream_options": {"include_usage": True},
    "max_tokens": 9,
    "metadata": {"a": 1},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FUZZ = settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value within."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


PLACES = places(WHOLE)[1:]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("place", ["unknown", "tools", "response_format"])
async def test_bytes_that_are_no_text_are_refused_wherever_they_stand(service: Running, place: str) -> None:
    values = {
        "unknown": b'"a\xa9"',
        "tools": b'[{"type": "function", "function": {"name": "f", "parameters": {"title": "\xa9"}}}]',
        "response_format": b'{"type": "json_schema", "json_schema": {"name": "f", "schema": {"a": "\xa9"}}}',
    }
    body = b'{"model": "builtin:extractive", "messages": [{"role": "user", "content": "Hi"}], "%s": %s}'
    posted = await service.post(CHAT, body % (place.encode(), values[place]))
    assert posted.error is not None
    assert posted.error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "body: not valid JSON" in posted.error.details()


class TestFuzz:
    @FUZZ
    @given(st.binary(max_size=100), st.sampled_from([CHAT, TEXT, VECTORS]))
    async def test_arbitrary_bytes(self, service: Running, body: bytes, path: str) -> None:
        posted = await service.post(path, body)
        assert posted.error is not None
        typed(posted)

    @FUZZ
    @given(st.sampled_from(PLACES), JSON)
    async def test_a_valid_body_with_any_value_in_any_place(
        self, service: Running, place: tuple[Any, ...], value: Any
    ) -> None:
        typed(await service.post(CHAT, json.dumps(changed(WHOLE, place, value)).encode()))

    @FUZZ
    @given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4))
    async def test_a_valid_body_with_any_bytes_changed(
        self, service: Running, changes: list[tuple[int, int]]
    ) -> None:
        body = bytearray(msgspec.json.encode(WHOLE))
        for place, value in changes:
            body[place % len(body)] = value
        typed(await service.post(CHAT, bytes(body)))

    @FUZZ
    @given(JSON, JSON)
    async def test_any_prompt_and_any_input(self, service: Running, prompt: Any, more: Any) -> None:
        text = {"model": "builtin:extractive", "prompt": prompt, "echo": more}
        typed(await service.post(TEXT, json.dumps(text).encode()))
        embedding = {"model": "builtin:hashing", "input": prompt, "x": more}
        typed(await service.post(VECTORS, json.dumps(embedding).encode()))

    async def test_the_server_is_well_after_all_of_this(self, service: Running) -> None:
        assert (await service.chat()).json["choices"][0]["message"]["content"] == "You said: Hello"
        await service.idle()

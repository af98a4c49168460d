"""Plain HTTP and JSON, as curl sends it, through real Envoy: every endpoint, every error in both shapes."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import jsonschema
import pytest

from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.upstreams import openai_errors
from tests.upstreams.clients import ECHO, HELLO
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

MODEL = "gpt-4o"
CREATE, STREAM, EMBED = "/v1/completions:create", "/v1/completions:stream", "/v1/embeddings:create"
CHAT, TEXT, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
TYPED: Any = {"model": MODEL, "messages": [{"role": "ROLE_USER", "content": [{"text": "Hello"}]}]}
OPENAI: Any = {"model": MODEL, "messages": HELLO}
TOO_LARGE = 33 << 20  # bytes; Envoy takes 32 MiB


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of server-sent events."""
        lines = self.body.decode().split("\n\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line]


class Client:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, path: str, **options: Any) -> Answer:
        return await self._call("GET", path, **options)

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        """body: a JSON value, or bytes or a file as they are."""
        data = body if isinstance(body, bytes | io.IOBase) else json.dumps(body).encode()
        given = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self._call("POST", path, data=data, headers=given)

    async def _call(self, method: str, path: str, **options: Any) -> Answer:
        async with self.session.request(method, path, **options) as response:
            return Answer(response.status, response.headers.copy(), await response.read())


@pytest.fixture
async def rest(stack: Stack) -> AsyncIterator[Client]:
    async with session(stack.url) as http:
        yield Client(http)


# --- Health, models, documents


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_health_calls_no_provider(rest: Client, openai_upstream: UpstreamProcess, prefix: str) -> None:
    answer = await rest.get(f"{prefix}/health")
    assert (answer.status, answer.json) == (200, {"status": "healthy", "version": "0.1.0"})
    assert openai_upstream.bill() == []


async def test_ready_names_every_provider_and_the_database(rest: Client) -> None:
    said = (await rest.get("/ready")).json
    assert (said["status"], said["database"], said["lane"]) == ("ready", "healthy", "cpu")
    assert {name for name, state in said["providers"].items() if state == "healthy"} == {
        "builtin",
        "ollama",
        "openai",
    }
    assert said["providers"]["groq"] == "not_configured"


async def test_models_are_listed_with_name_and_provider(rest: Client) -> None:
    said = (await rest.get("/v1/models")).json
    assert said["object"] == "list"
    found = {model["id"]: model for model in said["data"]}
    assert found["llama3.2:latest"]["provider"] == "ollama"
    assert found[MODEL]["name"] == MODEL
    assert found[MODEL]["input_cost_per_1k"] == 0.0025
    assert all(type(model["created"]) is int and model["object"] == "model" for model in found.values())


@pytest.mark.parametrize("path", ["llama3.2:latest", "org/model", "org%2Fmodel", "ollama:llama3.2"])
async def test_model_is_found_by_the_rest_of_the_path(rest: Client, path: str) -> None:
    answer = await rest.get(f"/v1/models/{path}")
    assert answer.status == 200
    assert answer.json["id"] in ("llama3.2:latest", MODEL)


async def test_docs_are_a_page_and_openapi_describes_every_path(rest: Client) -> None:
    for path in ("/docs", "/redoc", "/api/docs"):
        page = await rest.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert b"<html" in page.body
    document = (await rest.get("/openapi.json")).json
    assert {CREATE, STREAM, CHAT, TEXT, EMBEDDINGS, "/v1/models", "/health"} <= set(document["paths"])


# --- Native completions


async def test_typed_completion_is_the_contracts_message(
    rest: Client, openai_upstream: UpstreamProcess
) -> None:
    answer = await rest.post(CREATE, TYPED, x_request_id="rest-1")
    said = answer.json
    assert answer.status == 200
    assert answer.headers["x-request-id"] == said["request_id"] == "rest-1"
    assert said["choices"][0]["message"]["content"] == [{"text": ECHO}]
    assert (said["provider"], said["model"], type(said["created"])) == ("openai", MODEL, int)
    (entry,) = openai_upstream.bill()
    assert said["usage"]["total_tokens"] == entry.prompt_tokens + entry.completion_tokens
    assert said["cost"]["cost_usd"] == int(said["cost"]["cost_ticks"]) / 1e10 > 0


async def test_typed_stream_is_server_sent_events(rest: Client) -> None:
    answer = await rest.post(STREAM, TYPED)
    assert answer.headers["content-type"] == "text/event-stream"
    deltas = [delta for event in answer.events for delta in event["choices"]]
    assert "".join(delta["content"] for delta in deltas) == ECHO
    assert answer.events[-1]["usage"]["total_tokens"] > 0
    assert len({event["id"] for event in answer.events}) == 1


async def test_typed_embeddings_are_vectors(rest: Client) -> None:
    body = {"model": "openai:text-embedding-3-small", "inputs": [{"text": "a"}], "dimensions": 4}
    answer = await rest.post(EMBED, body)
    assert len(answer.json["embeddings"][0]["values"]) == 4


async def test_older_services_body_of_completions_has_its_own_answer(rest: Client) -> None:
    body = {"model": MODEL, "messages": HELLO, "temperature": 0.1, "max_tokens": 50}
    answer = await rest.post(TEXT, body)
    said = answer.json
    assert said["content"] == ECHO
    assert said["id"].startswith("comp_")
    assert said["usage"]["total_tokens"] == said["usage"]["input_tokens"] + said["usage"]["output_tokens"]
    assert {"provider", "cost_usd", "latency_ms", "request_id", "execution_id"} <= said.keys()


async def test_every_path_gives_one_answer_to_one_question(rest: Client) -> None:
    typed = (await rest.post(CREATE, TYPED)).json
    chat = (await rest.post(CHAT, OPENAI)).json
    native = (await rest.post(TEXT, OPENAI)).json
    assert chat["choices"][0]["message"]["content"] == native["content"] == ECHO
    assert chat["usage"]["cost_usd"] == native["cost_usd"] == typed["cost"]["cost_usd"]
    assert (chat["created"] - typed["created"]) in (0, 1, 2)


async def test_openai_stream_ends_with_done(rest: Client) -> None:
    answer = await rest.post(CHAT, OPENAI | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.endswith(b"data: [DONE]\n\n")


# --- Errors


class Wrong(NamedTuple):
    """A request that is refused, and how."""

    path: str
    body: Any
    status: int
    code: str
    names: str | None = None  # in the message: what is to blame


MISSING = {"model": MODEL, "messages": []}
ERRORS = {
    "bad JSON, native": Wrong(CREATE, b'{"model": ', 400, "VALIDATION_ERROR"),
    "bad JSON, OpenAI": Wrong(CHAT, b'{"model": ', 400, "VALIDATION_ERROR", "body"),
    "bad UTF-8, native": Wrong(CREATE, b'{"model": "\xff\xfe"}', 400, "VALIDATION_ERROR"),
    "bad UTF-8, OpenAI": Wrong(CHAT, b'{"model": "\xff\xfe"}', 400, "VALIDATION_ERROR", "body"),
    "no object, native": Wrong(CREATE, [], 400, "VALIDATION_ERROR"),
    "no object, OpenAI": Wrong(CHAT, [], 400, "VALIDATION_ERROR", "body"),
    "wrong type, OpenAI": Wrong(
        CHAT, OPENAI | {"temperature": "hot"}, 400, "VALIDATION_ERROR", "temperature"
    ),
    "wrong type, embeddings": Wrong(
        EMBEDDINGS, {"model": MODEL, "input": 5}, 400, "VALIDATION_ERROR", "input"
    ),
    "out of range, native": Wrong(CREATE, TYPED | {"top_p": 2}, 422, "UNPROCESSABLE_ENTITY", "top_p"),
    "out of range, stream": Wrong(STREAM, TYPED | {"top_p": 2}, 422, "UNPROCESSABLE_ENTITY", "top_p"),
    "out of range, OpenAI": Wrong(CHAT, OPENAI | {"top_p": 2}, 400, "UNPROCESSABLE_ENTITY", "top_p"),
    "NaN, native": Wrong(CREATE, TYPED | {"temperature": "NaN"}, 422, "UNPROCESSABLE_ENTITY", "temperature"),
    "NaN, OpenAI": Wrong(CHAT, OPENAI | {"temperature": float("nan")}, 400, "VALIDATION_ERROR"),
    "negative, native": Wrong(CREATE, TYPED | {"max_tokens": -1}, 400, "VALIDATION_ERROR", "max_tokens"),
    "negative, OpenAI": Wrong(CHAT, OPENAI | {"max_tokens": -1}, 400, "VALIDATION_ERROR", "max_tokens"),
    "no messages, native": Wrong(CREATE, MISSING, 422, "UNPROCESSABLE_ENTITY", "messages"),
    "no messages, OpenAI": Wrong(CHAT, MISSING, 400, "UNPROCESSABLE_ENTITY", "messages"),
    "no messages, older body": Wrong(TEXT, MISSING, 400, "UNPROCESSABLE_ENTITY", "messages"),
    "no model, OpenAI": Wrong(CHAT, {"messages": HELLO}, 400, "VALIDATION_ERROR", "model"),
    "unknown model, native": Wrong(CREATE, TYPED | {"model": "claude-3"}, 404, "MODEL_NOT_FOUND", "claude-3"),
    "unknown model, OpenAI": Wrong(CHAT, OPENAI | {"model": "claude-3"}, 404, "model_not_found", "claude-3"),
    "unknown provider, native": Wrong(CREATE, TYPED | {"provider": "x"}, 400, "VALIDATION_ERROR", "'x'"),
    "unknown provider, OpenAI": Wrong(CHAT, OPENAI | {"provider": "x"}, 400, "VALIDATION_ERROR", "'x'"),
    "unsupported option": Wrong(
        CREATE,
        TYPED | {"model": "builtin:extractive", "tools": [{"function": {"name": "f"}}]},
        400,
        "VALIDATION_ERROR",
        "tools",
    ),
    "unknown path": Wrong("/v1/nothing", {}, 404, "NOT_FOUND", "/v1/nothing"),
    "unknown method": Wrong("/v1/models", {}, 405, "METHOD_NOT_ALLOWED", "/v1/models"),
}
BODY = {
    "type": "object",
    "required": ["error", "detail"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details", "request_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "minLength": 1},
                "details": {"type": "object", "additionalProperties": {"type": "string"}},
                "request_id": {"type": "string", "minLength": 1},
                "type": {"enum": ["invalid_request_error", "rate_limit_error", "api_error"]},
                "param": {"type": ["string", "null"]},
            },
        },
        "detail": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "object", "required": ["loc", "msg", "type"]}},
            ]
        },
    },
}


def check(answer: Answer, wrong: Wrong) -> Any:
    """Both shapes, with status, code and what is to blame; the object under `error`."""
    said = answer.json
    jsonschema.validate(said, BODY)
    error = said["error"]
    assert (answer.status, error["code"]) == (wrong.status, wrong.code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == error["request_id"]
    assert "grpc-status" not in answer.headers
    if wrong.names:
        assert wrong.names in error["message"]
    if wrong.status == 422:
        assert said["detail"][0]["loc"] == ["body", wrong.names]
    else:
        assert said["detail"] == error["message"]
    return error


@pytest.mark.parametrize("wrong", ERRORS.values(), ids=ERRORS.keys())
async def test_wrong_request_is_refused_in_both_shapes(
    rest: Client, openai_upstream: UpstreamProcess, wrong: Wrong
) -> None:
    error = check(await rest.post(wrong.path, wrong.body), wrong)
    if wrong.path in (CHAT, TEXT, EMBEDDINGS):
        assert {"type", "param"} <= error.keys()
    assert openai_upstream.bill() == []


@pytest.mark.parametrize("path", [CREATE, STREAM, CHAT, TEXT, EMBEDDINGS])
async def test_too_large_request_is_413_with_the_limit(rest: Client, path: str) -> None:
    answer = await rest.post(path, io.BytesIO(b" " * TOO_LARGE))
    check(answer, Wrong(path, b"", 413, "PAYLOAD_TOO_LARGE", "33554432"))


async def test_lane_without_servers_is_503(rest: Client) -> None:
    error = check(
        await rest.post(CHAT, OPENAI, x_genai_lane="gpu"),
        Wrong(CHAT, OPENAI, 503, "SERVICE_UNAVAILABLE", "gpu"),
    )
    assert error["type"] == "api_error"


async def test_unknown_lane_is_400(rest: Client) -> None:
    check(
        await rest.post(CHAT, OPENAI, x_genai_lane="fast"),
        Wrong(CHAT, OPENAI, 400, "VALIDATION_ERROR", "x-genai-lane"),
    )


PROVIDER_ERRORS = {
    "rate limit": (openai_errors.rate_limited(7), (429, "RATE_LIMITED"), (429, "rate_limit_exceeded")),
    "quota": (openai_errors.insufficient_quota(), (502, "PROVIDER_ERROR"), (502, "PROVIDER_ERROR")),
    "key": (openai_errors.invalid_key(), (502, "PROVIDER_ERROR"), (502, "PROVIDER_ERROR")),
    "model": (openai_errors.model_not_found(MODEL), (404, "MODEL_NOT_FOUND"), (404, "model_not_found")),
    "context": (
        openai_errors.context_length_exceeded(),
        (502, "PROVIDER_ERROR"),
        (400, "context_length_exceeded"),
    ),
    "filter": (openai_errors.content_filter(), (502, "PROVIDER_ERROR"), (400, "content_filter")),
    "500": (openai_errors.server_error(), (502, "PROVIDER_ERROR"), (502, "PROVIDER_ERROR")),
    "HTML": (openai_errors.bad_gateway(), (502, "PROVIDER_ERROR"), (502, "PROVIDER_ERROR")),
    "not JSON": (
        Reply(body="<p>", content_type="application/json"),
        (502, "PROVIDER_ERROR"),
        (502, "PROVIDER_ERROR"),
    ),
    "closed": (Reply(fault="close"), (502, "PROVIDER_ERROR"), (502, "PROVIDER_ERROR")),
}
NOT_REPEATED = (
    "quota",
    "key",
    "context",
    "filter",
    "not JSON",
)  # another attempt cannot help, or is paid again


@pytest.mark.parametrize("name", PROVIDER_ERRORS)
@pytest.mark.parametrize("stream", [False, True])
async def test_providers_failure_is_a_typed_error_and_never_an_empty_200(
    rest: Client, openai_upstream: UpstreamProcess, name: str, stream: bool
) -> None:
    reply, native, openai = PROVIDER_ERRORS[name]
    openai_upstream.script(reply, reply)
    for path, body, (status, code) in (
        (STREAM if stream else CREATE, TYPED, native),
        (CHAT, OPENAI | {"stream": stream}, openai),
    ):
        answer = await rest.post(path, body)
        error = check(answer, Wrong(path, body, status, code))
        if code.lower() != "model_not_found":
            assert error["details"]["provider"] == "openai"
            assert error["details"]["provider_message"]
        assert answer.headers.get("retry-after") == ("7" if name == "rate limit" else None)
        repeatable = name not in NOT_REPEATED or status < 500
        assert answer.headers.get("x-should-retry") == (None if repeatable else "false")


async def test_slow_provider_is_504(rest: Client, openai_upstream: UpstreamProcess) -> None:
    """The caller's deadline, which gRPC-aware clients send over HTTP too."""
    openai_upstream.script(Reply(headers_delay_s=5))
    answer = await rest.post(CHAT, OPENAI, grpc_timeout="100m")
    check(answer, Wrong(CHAT, OPENAI, 504, "PROVIDER_TIMEOUT", "deadline"))


async def test_error_within_a_stream_is_an_event_and_no_done_follows(
    rest: Client, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text=["a", "b"], interval_s=0.02, fault="close", after=2))
    answer = await rest.post(CHAT, OPENAI | {"stream": True})
    assert answer.status == 200
    jsonschema.validate(answer.events[-1], BODY)
    assert answer.events[-1]["error"]["code"] == "PROVIDER_ERROR"
    assert b"[DONE]" not in answer.body

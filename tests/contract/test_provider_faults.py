"""What goes wrong at an upstream becomes one of our errors, with what it said, and never a hang."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.errors import SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.v1 import completion_service_pb2 as pb
from tests.contract.spoken import Spoken, folded, spoken_by
from tests.direct import direct
from tests.upstreams import anthropic_errors, bedrock, openai_errors
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.ollama_rules import model_not_found, refusal
from tests.upstreams.reply import Reply

AT_MOST_S = 5.0  # whatever takes longer hangs
HTML = "<html>\r\n<head><title>503 Service Unavailable</title></head>\r\n<body>down</body></html>\r\n"

Ask = Callable[[Spoken], Awaitable[Any]]


async def whole(spoken: Spoken) -> Any:
    return await spoken.whole(spoken.request())


async def streamed(spoken: Spoken) -> Any:
    return await spoken.chunks(spoken.request())


async def embedded(spoken: Spoken) -> Any:
    asked = pb.CreateEmbeddingsRequest(model="e", inputs=[pb.EmbeddingInput(text="x")])
    return await direct(spoken.provider).embed(asked, Call())


async def listed(spoken: Spoken) -> Any:
    return await spoken.provider.list_models()


EVERY_WAY = [whole, streamed, embedded]
FAULTY = ("openai", "ollama", "anthropic", "bedrock")
asked_in_every_way = pytest.mark.parametrize(
    ("spoken", "ask"),
    [
        pytest.param(name, ask, id=f"{name}-{ask.__name__}")
        for name in FAULTY
        for ask in EVERY_WAY
        if not (ask is embedded and PROVIDERS[name].embedding_model is None)
    ],
    indirect=["spoken"],
)
PATHS = {listed: ("/v1/models", "/api/tags", "/foundation-models")}


async def failure(spoken: Spoken, ask: Ask) -> SpineError:
    async with asyncio.timeout(AT_MOST_S):
        with pytest.raises(SpineError) as raised:
            await ask(spoken)
    return raised.value


def ollama_error(status: int, message: str = "no") -> Reply:
    return refusal(status, message).reply


OPENAI_ERRORS = [
    (openai_errors.rate_limited(2), errors.ProviderRateLimited, "rate_limit_exceeded", 2.0),
    (openai_errors.insufficient_quota(), errors.ProviderQuotaExceeded, "insufficient_quota", None),
    (
        openai_errors.error(402, "Insufficient Balance"),
        errors.ProviderQuotaExceeded,
        "invalid_request_error",
        None,
    ),
    (openai_errors.server_error(), errors.ProviderUnavailable, "server_error", None),
    (openai_errors.bad_gateway(500), errors.ProviderUnavailable, "500", None),
    (openai_errors.bad_gateway(503), errors.ProviderUnavailable, "503", None),
    (Reply(status=529, body={"error": {"message": "busy"}}), errors.ProviderUnavailable, "529", None),
    (openai_errors.invalid_key(), errors.ProviderAuthentication, "invalid_api_key", None),
    (Reply(status=403, body={"error": "Forbidden"}), errors.ProviderAuthentication, "403", None),
    (openai_errors.context_length_exceeded(), errors.ContextLengthExceeded, "context_length_exceeded", None),
    (openai_errors.content_filter(), errors.ContentFiltered, "content_filter", None),
    (openai_errors.error(400, "bad", code="invalid_value"), errors.ProviderRejected, "invalid_value", None),
    (openai_errors.error(422, "bad"), errors.ProviderRejected, "invalid_request_error", None),
    (Reply(status=408), errors.ProviderUnavailable, "408", None),
    (Reply(status=301, headers={"location": "/"}), errors.ProviderUnavailable, "301", None),
    # As compatible servers say it: vLLM, Mistral, llama.cpp, LM Studio.
    (
        Reply(status=400, body={"object": "error", "message": "maximum context length is 8", "code": 400}),
        errors.ContextLengthExceeded,
        "400",
        None,
    ),
    (
        Reply(status=429, body={"message": "Requests rate limit exceeded"}),
        errors.ProviderRateLimited,
        "429",
        None,
    ),
    (
        Reply(
            status=400,
            body={"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error"}},
        ),
        errors.ContextLengthExceeded,
        "400",
        None,
    ),
    (Reply(status=500, body={"error": "Model crashed"}), errors.ProviderUnavailable, "500", None),
    # OpenRouter's moderation.
    (
        Reply(status=403, body={"error": {"code": 403, "message": "no", "metadata": {"flagged_input": "x"}}}),
        errors.ContentFiltered,
        "403",
        None,
    ),
    (Reply(status=500, body="[" * 100_000), errors.ProviderUnavailable, "500", None),
]
OLLAMA_ERRORS = [
    (Reply(status=429, headers={"retry-after": "3"}), errors.ProviderRateLimited, "429", 3.0),
    (ollama_error(500, "llama runner terminated"), errors.ProviderUnavailable, "500", None),
    (Reply(status=502, body=HTML, content_type="text/html"), errors.ProviderUnavailable, "502", None),
    (ollama_error(401), errors.ProviderAuthentication, "401", None),
    (ollama_error(400, "invalid options"), errors.ProviderRejected, "400", None),
    (ollama_error(503, "server busy"), errors.ProviderUnavailable, "503", None),
    (
        ollama_error(400, "the input length exceeds the context length"),
        errors.ContextLengthExceeded,
        "400",
        None,
    ),
]

ANTHROPIC_ERRORS = [
    (anthropic_errors.rate_limited(7), errors.ProviderRateLimited, "rate_limit_error", 7.0),
    (anthropic_errors.spend_limit(), errors.ProviderQuotaExceeded, "rate_limit_error", None),
    (anthropic_errors.credit_too_low(), errors.ProviderQuotaExceeded, "invalid_request_error", None),
    (anthropic_errors.usage_limit(), errors.ProviderQuotaExceeded, "invalid_request_error", None),
    (anthropic_errors.error("billing_error", "no card"), errors.ProviderQuotaExceeded, "billing_error", None),
    (anthropic_errors.invalid_key(), errors.ProviderAuthentication, "authentication_error", None),
    (anthropic_errors.permission(), errors.ProviderAuthentication, "permission_error", None),
    (anthropic_errors.prompt_too_long(), errors.ContextLengthExceeded, "invalid_request_error", None),
    (anthropic_errors.context_limit(), errors.ContextLengthExceeded, "invalid_request_error", None),
    (anthropic_errors.too_large(), errors.ContextLengthExceeded, "request_too_large", None),
    (anthropic_errors.content_filter(), errors.ContentFiltered, "invalid_request_error", None),
    (anthropic_errors.invalid("top_k: no"), errors.ProviderRejected, "invalid_request_error", None),
    (anthropic_errors.api_error(), errors.ProviderUnavailable, "api_error", None),
    (anthropic_errors.overloaded(), errors.ProviderUnavailable, "overloaded_error", None),
    (anthropic_errors.timed_out(), errors.ProviderUnavailable, "timeout_error", None),
    # Of what stands before the API.
    (Reply(status=413, body=HTML), errors.ContextLengthExceeded, "413", None),
    (Reply(status=429, headers={"retry-after": "3"}), errors.ProviderRateLimited, "429", 3.0),
    (Reply(status=502, body=HTML), errors.ProviderUnavailable, "502", None),
    (Reply(status=529), errors.ProviderUnavailable, "529", None),
    (Reply(status=403, body={"error": "Forbidden"}), errors.ProviderAuthentication, "403", None),
    (Reply(status=500, body="[" * 100_000), errors.ProviderUnavailable, "500", None),
]
NOT_FOUND = {
    "openai": openai_errors.model_not_found,
    "ollama": model_not_found,
    "anthropic": anthropic_errors.model_not_found,
    "bedrock": lambda model: bedrock.model_not_found(),
}
IN_STREAM: dict[str, Callable[[str], Any]] = {
    "openai": lambda said: {"error": {"message": said}},
    "ollama": lambda said: {"error": said},
    "anthropic": lambda said: anthropic_errors.error("overloaded_error", said).body,
    "bedrock": lambda said: {"internalServerException": {"message": said}},
}


class TestStatuses:
    @spoken_by("openai")
    @pytest.mark.parametrize("ask", EVERY_WAY)
    @pytest.mark.parametrize(("reply", "kind", "code", "retry_after_s"), OPENAI_ERRORS)
    async def test_openai_errors(
        self, spoken: Spoken, ask: Ask, reply: Reply, kind: Any, code: Any, retry_after_s: Any
    ) -> None:
        spoken.up.script(reply)
        error = await failure(spoken, ask)
        assert type(error) is kind
        assert error.metadata["provider"] == "openai"
        assert error.metadata["provider_code"] == code
        assert error.retry_after_s == retry_after_s
        if isinstance(reply.body, dict) and isinstance(reply.body.get("error"), dict):
            assert error.metadata["provider_message"] == reply.body["error"]["message"]
        assert len(error.metadata["provider_message"]) <= 1000
        assert len(spoken.up.bill) == 1, "only inference tries again"

    @spoken_by("ollama")
    @pytest.mark.parametrize("ask", EVERY_WAY)
    @pytest.mark.parametrize(("reply", "kind", "code", "retry_after_s"), OLLAMA_ERRORS)
    async def test_ollama_errors(
        self, spoken: Spoken, ask: Ask, reply: Reply, kind: Any, code: Any, retry_after_s: Any
    ) -> None:
        spoken.up.script(reply)
        error = await failure(spoken, ask)
        assert type(error) is kind
        assert (error.metadata["provider"], error.metadata["provider_code"]) == ("ollama", code)
        assert error.retry_after_s == retry_after_s
        if isinstance(reply.body, dict):
            assert error.metadata["provider_message"] == reply.body["error"]

    @spoken_by("anthropic")
    @pytest.mark.parametrize("ask", [whole, streamed])
    @pytest.mark.parametrize(("reply", "kind", "code", "retry_after_s"), ANTHROPIC_ERRORS)
    async def test_anthropic_errors(
        self, spoken: Spoken, ask: Ask, reply: Reply, kind: Any, code: Any, retry_after_s: Any
    ) -> None:
        spoken.up.script(reply)
        error = await failure(spoken, ask)
        assert type(error) is kind
        assert (error.metadata["provider"], error.metadata["provider_code"]) == ("anthropic", code)
        assert error.retry_after_s == retry_after_s
        if isinstance(reply.body, dict) and isinstance(reply.body["error"], dict):
            assert error.metadata["provider_message"] == reply.body["error"]["message"]
        assert len(spoken.up.bill) == 1, "only inference tries again"

    @spoken_by("openai")
    async def test_retry_after_can_be_a_date(self, spoken: Spoken) -> None:
        spoken.up.script(openai_errors.rate_limited(60, as_date=True))
        error = await failure(spoken, streamed)
        assert error.retry_after_s is not None
        assert 55 < error.retry_after_s <= 60

    @asked_in_every_way
    async def test_a_model_that_the_upstream_does_not_have(self, spoken: Spoken, ask: Ask) -> None:
        ollama = spoken.provider.name == "ollama"
        spoken.up.script(NOT_FOUND[spoken.provider.name]("gpt-4o"))
        error = await failure(spoken, ask)
        assert type(error) is errors.ModelNotFound
        assert error.metadata["model"] in (spoken.model, "e")
        assert ("ollama pull" in str(error)) == ollama

    @spoken_by(*FAULTY)
    async def test_a_list_of_models_that_is_refused_is_an_error(self, spoken: Spoken) -> None:
        for path in PATHS[listed]:
            spoken.up.script(Reply(status=503, body=HTML), Reply(body="{}"), Reply(body="<html>"), on=path)
        assert type(await failure(spoken, listed)) is errors.ProviderUnavailable
        assert type(await failure(spoken, listed)) is errors.ProviderError
        assert type(await failure(spoken, listed)) is errors.ProviderError


class TestBrokenAnswers:
    @asked_in_every_way
    async def test_json_that_breaks_off(self, spoken: Spoken, ask: Ask) -> None:
        spoken.up.script(Reply(["one", "two"], fault="malformed"))
        error = await failure(spoken, ask)
        assert type(error) is errors.ProviderError
        if spoken.provider.name == "bedrock" and ask is streamed:
            assert error.metadata["provider_code"] == "broken_event", "its events have checksums"
            return
        assert error.metadata["provider_code"] == "invalid_json"
        assert error.metadata["provider_message"].endswith(" bytes)")

    @spoken_by(*FAULTY)
    async def test_json_that_breaks_off_within_a_stream(self, spoken: Spoken) -> None:
        spoken.up.script(Reply(["one ", "two", "three"], fault="malformed", after=2))
        text, error = await _until_error(spoken)
        assert text.startswith("one ")
        assert error.metadata["provider_code"] in ("invalid_json", "broken_event")

    @spoken_by(*FAULTY)
    @pytest.mark.parametrize("fault", ["reset", "close", "truncate"])
    async def test_a_stream_that_is_cut_is_an_error_after_what_it_said(
        self, spoken: Spoken, fault: Any
    ) -> None:
        spoken.up.script(Reply(["one ", "two ", "three"], fault=fault, after=3))
        text, error = await _until_error(spoken)
        assert text.startswith("one two ")
        assert type(error) is errors.ProviderError
        assert error.metadata["provider_code"] == "cut_stream"

    @spoken_by(*FAULTY)
    @pytest.mark.parametrize("fault", ["reset", "close"])
    async def test_a_whole_answer_that_is_cut(self, spoken: Spoken, fault: Any) -> None:
        spoken.up.script(Reply("four", fault=fault, after=0))
        error = await failure(spoken, whole)
        assert type(error) is errors.ProviderError
        assert error.metadata["provider_code"] == "cut_stream"

    @asked_in_every_way
    @pytest.mark.parametrize("fault", ["reset", "close"])
    async def test_a_connection_that_ends_before_the_answer(
        self, spoken: Spoken, ask: Ask, fault: Any
    ) -> None:
        spoken.up.script(Reply(fault=fault))
        error = await failure(spoken, ask)
        assert type(error) is errors.ProviderUnavailable
        assert error.metadata["provider_code"] == "connection_lost"

    @spoken_by(*FAULTY)
    async def test_an_error_within_a_stream(self, spoken: Spoken) -> None:
        said = "the server had an error"
        body = IN_STREAM[spoken.provider.name](said)
        spoken.up.script(Reply(["one ", "two"], fault="error", after=2, body=body))
        text, error = await _until_error(spoken)
        assert text.startswith("one ")
        assert type(error) is errors.ProviderUnavailable
        assert error.metadata["provider_message"] == said

    @spoken_by("openai")
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (429, errors.ProviderRateLimited),
            (502, errors.ProviderUnavailable),
            ("content_filter", errors.ContentFiltered),
        ],
    )
    async def test_an_error_in_an_answer_with_status_200(self, spoken: Spoken, code: Any, kind: Any) -> None:
        spoken.up.script(Reply(body={"error": {"code": code, "message": "Provider returned error"}}))
        error = await failure(spoken, whole)
        assert type(error) is kind
        assert error.metadata["provider_code"] == str(code)

    @spoken_by("openai")
    async def test_an_error_within_a_stream_is_known_by_its_code(self, spoken: Spoken) -> None:
        body = openai_errors.rate_limited().body
        spoken.up.script(Reply(["one ", "two"], fault="error", after=2, body=body))
        assert type((await _until_error(spoken))[1]) is errors.ProviderRateLimited

    @asked_in_every_way
    @pytest.mark.parametrize(
        "body", [HTML, "", "[]", "null", "{}", '{"choices": 3, "message": 3, "data": 3}']
    )
    async def test_something_else_than_an_answer(self, spoken: Spoken, ask: Ask, body: str) -> None:
        spoken.up.script(Reply(body=body, content_type="text/html"))
        error = await failure(spoken, ask)
        assert type(error) is errors.ProviderError

    @spoken_by(*FAULTY)
    async def test_a_wrong_content_type_alone_is_no_error(self, spoken: Spoken) -> None:
        spoken.up.default = Reply("fine", content_type="text/plain")
        assert (await whole(spoken)).choices[0].message.content[0].text == "fine"
        assert (await folded(await streamed(spoken))).choices[0].message.content[0].text == "fine"

    @spoken_by(*FAULTY)
    async def test_missing_usage_stays_missing(self, spoken: Spoken) -> None:
        spoken.up.default = Reply("fine", omit_usage=True)
        assert not (await whole(spoken)).HasField("usage")
        assert not (await folded(await streamed(spoken))).HasField("usage")


class TestSilence:
    @asked_in_every_way
    @pytest.mark.parametrize("reply", [Reply(fault="stall"), Reply("late", first_delay_s=9)])
    async def test_an_upstream_that_does_not_answer_in_time(
        self, spoken: Spoken, ask: Ask, reply: Reply
    ) -> None:
        await spoken.hurry()
        spoken.up.script(reply)
        error = await failure(spoken, ask)
        assert type(error) is errors.ProviderTimeout
        phase = "the first token" if ask is streamed else "the answer"
        assert error.metadata == {"provider": spoken.provider.name, "phase": phase, "timeout_s": "0.2"}
        await spoken.up.bill.until(lambda bill: bill[0].disconnected)

    @spoken_by(*FAULTY)
    async def test_a_stream_that_falls_silent(self, spoken: Spoken) -> None:
        await spoken.hurry()
        spoken.up.script(Reply(["one ", "two"], fault="stall", after=2))
        text, error = await _until_error(spoken)
        assert text.startswith("one ")
        assert error.metadata["phase"] == "the next token"
        await spoken.up.bill.until(lambda bill: bill[0].disconnected)

    @asked_in_every_way
    async def test_nobody_is_there(self, spoken: Spoken, ask: Ask) -> None:
        gone = spoken.row.make(Endpoint("gone", "http://127.0.0.1:9", "k"))
        spoken.provider = gone
        error = await failure(spoken, ask)
        assert type(error) is errors.ProviderUnavailable
        assert error.metadata["provider_code"] == "connect"


async def _until_error(spoken: Spoken) -> tuple[str, SpineError]:
    """What a stream said, and how it ended."""
    said = ""
    try:
        async with asyncio.timeout(AT_MOST_S):
            async for chunk in direct(spoken.provider).stream(spoken.request(), Call()):
                said += "".join(delta.content for delta in chunk.choices)
    except SpineError as error:
        assert not isinstance(spoken.up, OllamaUpstream) or said, "Ollama's first line already speaks"
        return said, error
    raise AssertionError(f"no error after {said!r}")


@spoken_by("anthropic", "bedrock")
async def test_list_of_models_without_an_end_is_an_error(spoken: Spoken) -> None:
    model = {"id": "claude", "display_name": "Claude", "created_at": "2026-01-01T00:00:00Z", "type": "model"}
    page = {"data": [model], "has_more": True, "last_id": "claude"}
    page |= {"inferenceProfileSummaries": [], "nextToken": "again"}
    for path in ("/v1/models", "/inference-profiles"):
        spoken.up.script(*[Reply(body=page)] * 50, on=path)
    with pytest.raises(errors.ProviderError, match="more than 50 pages"):
        await listed(spoken)

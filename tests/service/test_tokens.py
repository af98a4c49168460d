"""Tokens are counted through the service: exactly, by the provider, or as an estimate; answers say which."""

from typing import Any

import grpc
import pytest

from genai_spine.call import Call
from genai_spine.errors import ProviderUnavailable
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2
from tests.service.running import Running, asked, failure, user

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNTED, ESTIMATED = usage_pb2.PROVENANCE_PROVIDER_REPORTED, usage_pb2.PROVENANCE_ESTIMATED


async def count(service: Running, request: pb.CreateCompletionRequest) -> pb.CountTokensResponse:
    found: pb.CountTokensResponse = await service.completions.CountTokens(
        pb.CountTokensRequest(request=request)
    )
    return found


def says(service: Running, name: str, answer: int | Exception, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Gives a provider a counter of its own; the requests that it gets."""
    seen = []

    async def count_tokens(request: pb.CreateCompletionRequest, call: Call) -> int:
        seen.append((request.provider, request.model, call.request_id))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(service.server.upstreams[name].provider, "count_tokens", count_tokens)
    return seen


async def test_an_openai_chat_is_counted_by_its_encoding(service: Running) -> None:
    found = await count(service, asked("tiktoken is great!", max_tokens=100))
    assert found == pb.CountTokensResponse(
        input_tokens=13,
        provenance=COUNTED,
        counter="o200k_base",
        model="gpt-4o",
        provider="openai",
        context_length=128_000,
        fits=True,
    )


async def test_counting_calls_no_provider_and_is_no_row(service: Running) -> None:
    call = service.completions.CountTokens(
        pb.CountTokensRequest(request=asked()), metadata=(("x-request-id", "count-1"),)
    )
    await call
    assert service.openai.bill.calls == []
    assert await service.executions.by_request("count-1") == []


@pytest.mark.parametrize("model", ["llama3.2:latest", "vllm:mistral-small", "builtin:extractive"])
async def test_what_nobody_counts_is_an_estimate(service: Running, model: str) -> None:
    found = await count(service, asked("The quick brown fox jumps over the lazy dog.", model=model))
    assert (found.counter, found.provenance) == ("estimate", ESTIMATED)
    assert 12 <= found.input_tokens <= 24
    assert found.fits


async def test_a_reasoning_model_is_counted_by_its_encoding_with_rules_that_are_not_documented(
    service: Running,
) -> None:
    found = await count(service, asked("tiktoken is great!", model="o3-mini"))
    assert (found.counter, found.provenance, found.input_tokens) == ("o200k_base", ESTIMATED, 13)


async def test_the_providers_own_counter_goes_before_an_estimate(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = says(service, "vllm", 4321, monkeypatch)
    found = await count(service, asked(model="vllm:mistral-small"))
    assert (found.input_tokens, found.counter, found.provenance) == (4321, "provider", COUNTED)
    assert [entry[:2] for entry in seen] == [("vllm", "mistral-small")]


async def test_an_exact_count_needs_no_provider(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = says(service, "openai", 4321, monkeypatch)
    assert (await count(service, asked())).counter == "o200k_base"
    assert not seen


async def test_an_error_of_the_providers_counter_is_the_callers(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ProviderUnavailable(provider="vllm", provider_message="it is asleep")
    says(service, "vllm", error, monkeypatch)
    found = await failure(
        service.completions.CountTokens(pb.CountTokensRequest(request=asked(model="vllm:mistral-small")))
    )
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE")


@pytest.mark.parametrize(
    ("words", "max_tokens", "fits"), [(8000, 185, True), (8000, 186, False), (9000, None, False)]
)
async def test_it_is_said_whether_the_answer_has_room(
    service: Running, words: int, max_tokens: int | None, fits: bool
) -> None:
    found = await count(service, asked(" word" * words, model="gpt-4", max_tokens=max_tokens))
    assert (found.input_tokens, found.context_length, found.fits) == (words + 7, 8192, fits)


async def test_a_request_without_a_model_is_counted_for_the_default_model(service: Running) -> None:
    found = await count(service, pb.CreateCompletionRequest(messages=[user("Hello")]))
    assert (found.provider, found.model) == ("ollama", "llama3.2:latest")


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (None, "INVALID_FIELDS", "request"),
        (pb.CreateCompletionRequest(), "INVALID_FIELDS", "request.messages"),
        (asked(temperature=9), "INVALID_FIELDS", "request.temperature"),
        (asked(provider="nobody"), "INVALID_REQUEST", "provider"),
        (asked(model="claude-3-haiku"), "MODEL_NOT_FOUND", None),
    ],
    ids=["empty", "no messages", "temperature", "provider", "model"],
)
async def test_what_cannot_be_sent_cannot_be_counted(
    service: Running, request_: pb.CreateCompletionRequest | None, reason: str, field: str | None
) -> None:
    found = await failure(service.completions.CountTokens(pb.CountTokensRequest(request=request_)))
    assert found.reason == reason
    assert found.fields[:1] == ([field] if field else [])

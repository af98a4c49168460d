"""Fingerprints: the same for requests that mean the same, and for no others."""

import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.internal import encoder
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.call import DEFAULT_TENANT
from genai_spine.delivery import cache_key
from genai_spine.providers.base import Endpoint, ModelTerms, Provider, Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, routing_pb2

OTHER_PROCESS = """
import sys
from genai_spine.delivery import cache_key
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.providers.base import Endpoint, Provider, Route
request = pb.CreateCompletionRequest.FromString(bytes.fromhex(sys.argv[1]))
route = Route(Provider(Endpoint(request.provider)), request.model)
print(cache_key.of("completion", request, route, "default-tenant"))
"""


def request(**fields: Any) -> pb.CreateCompletionRequest:
    said = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hello")])
    return pb.CreateCompletionRequest(
        **({"provider": "openai", "model": "gpt-4o", "messages": [said]} | fields)
    )


def route(message: Any) -> Route:
    return Route(Provider(Endpoint(message.provider)), message.model)


def of(message: pb.CreateCompletionRequest) -> str:
    return cache_key.of("completion", message, route(message), DEFAULT_TENANT)


# A value for every field that decides the answer, other than that of request().
DECIDING: dict[str, Any] = {
    "provider": "azure",
    "model": "gpt-4o-mini",
    "messages": [
        message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hello!")])
    ],
    "prompt": pb.TextPrompt(text="Hello"),
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 1,
    "max_tokens": 5,
    "choice_count": 2,
    "stop_sequences": ["a"],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "seed": 0,
    "tools": [message_pb2.Tool(function=message_pb2.FunctionTool(name="f"))],
    "tool_choice": message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_NONE),
    "parallel_tool_calls": False,
    "response_format": pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT),
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {7: 1.0},
    "reasoning_effort": pb.REASONING_EFFORT_LOW,
    "provider_options_json": '{"a":1}',
    "reasoning_max_tokens": 9,
    "truncation": pb.TRUNCATION_OLDEST_MESSAGES,
}
BESIDE: dict[str, Any] = {
    "user": "somebody",
    "cache_max_age_s": 60,
    "coalesce": True,
    "disconnect_policy": pb.DISCONNECT_POLICY_CONTINUE,
    "routing": routing_pb2.Routing(fallback_models=["ollama"]),
    "cost_labels": {"team": "search"},
    "store": True,
    "metadata": {"team": "search"},
    "strict_options": True,
    "idempotency_key": "a",
    "resume_after": 1,
}
SAME_AS_UNSET: dict[str, Any] = {
    "choice_count": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "parallel_tool_calls": True,
    "tool_choice": message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_AUTO),
    "response_format": pb.ResponseFormat(kind=pb.ResponseFormat.KIND_TEXT),
    "truncation": pb.TRUNCATION_NONE,
    "provider_options_json": "{}",
}


def test_every_field_of_a_request_is_decided_upon() -> None:
    fields = set(pb.CreateCompletionRequest.DESCRIPTOR.fields_by_name)
    assert fields == set(DECIDING) | set(BESIDE)


def test_each_field_that_decides_makes_a_fingerprint_of_its_own() -> None:
    found = {of(request()), *(of(request(**{name: value})) for name, value in DECIDING.items())}
    assert len(found) == len(DECIDING) + 1


@pytest.mark.parametrize(("name", "value"), BESIDE.items())
def test_who_asks_and_what_becomes_of_the_answer_does_not_count(name: str, value: Any) -> None:
    assert of(request(**{name: value})) == of(request())


@pytest.mark.parametrize(("name", "value"), SAME_AS_UNSET.items())
def test_saying_the_default_is_saying_nothing(name: str, value: Any) -> None:
    assert of(request(**{name: value})) == of(request())


def test_temperature_1_is_not_the_providers_own_default() -> None:
    assert of(request(temperature=1.0)) != of(request())


def test_marks_for_the_providers_prompt_cache_do_not_count() -> None:
    marked = request()
    marked.messages[0].prompt_cache = message_pb2.PROMPT_CACHE_5M
    assert of(marked) == of(request())


def test_order_of_provider_options_does_not_count_and_that_of_a_schema_does() -> None:
    assert of(request(provider_options_json='{"a": {"x":1,"y":2}, "b":1}')) == of(
        request(provider_options_json='{"b":1,"a":{"x":1,"y":2}}')
    )
    first, second = (
        pb.ResponseFormat(json_schema=pb.JsonSchema(name="s", schema_json=text))
        for text in ('{"a":1,"b":2}', '{"b":2,"a":1}')
    )
    assert of(request(response_format=first)) != of(request(response_format=second))


def test_operations_are_kept_apart_and_embeddings_have_fingerprints() -> None:
    inputs = [pb.EmbeddingInput(text="a")]
    plain = pb.CreateEmbeddingsRequest(model="m", inputs=inputs)
    known = pb.CreateEmbeddingsRequest(model="m", inputs=inputs, user="somebody")
    empty = pb.CreateEmbeddingsRequest()
    short = pb.CreateEmbeddingsRequest(model="m", inputs=inputs, dimensions=64)
    assert cache_key.of("embeddings", plain, route(plain), DEFAULT_TENANT) == cache_key.of(
        "embeddings", known, route(known), DEFAULT_TENANT
    )
    assert cache_key.of("embeddings", plain, route(plain), DEFAULT_TENANT) != cache_key.of(
        "embeddings", short, route(short), DEFAULT_TENANT
    )
    assert cache_key.of("embeddings", empty, route(empty), DEFAULT_TENANT) != of(pb.CreateCompletionRequest())


def test_the_request_itself_is_left_as_it_was() -> None:
    given_ = request(**BESIDE, provider_options_json='{"b":1,"a":2}')
    before = given_.SerializeToString(deterministic=True)
    of(given_)
    assert given_.SerializeToString(deterministic=True) == before


@given(
    st.dictionaries(st.integers(0, 2**32 - 1), st.floats(-100, 100), max_size=20),
    st.randoms(use_true_random=False),
)
def test_order_of_a_map_does_not_count(bias: dict[int, float], chance: random.Random) -> None:
    pairs = list(bias.items())
    chance.shuffle(pairs)
    assert of(request(logit_bias=dict(pairs))) == of(request(logit_bias=bias))


def shuffled(message: Message, chance: random.Random) -> bytes:
    """The message's fields on the wire in another order."""
    fields = []
    for descriptor, _ in message.ListFields():
        alone = type(message)()
        alone.MergeFrom(message)
        for other, _ in message.ListFields():
            if other.name != descriptor.name:
                alone.ClearField(other.name)
        fields.append(alone.SerializeToString())
    chance.shuffle(fields)
    return b"".join(fields)


SCALARS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "max_tokens": st.integers(1, 9),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "stop_sequences": st.lists(st.text(min_size=1, max_size=3), max_size=3),
        "logit_bias": st.dictionaries(st.integers(0, 9), st.floats(0, 1), max_size=4),
        "user": st.text(max_size=4),
    },
)


@given(SCALARS, st.randoms(use_true_random=False))
def test_order_of_fields_on_the_wire_does_not_count(fields: dict[str, Any], chance: random.Random) -> None:
    original = request(**fields)
    assert of(pb.CreateCompletionRequest.FromString(shuffled(original, chance))) == of(original)


@given(SCALARS, SCALARS)
def test_two_requests_share_a_fingerprint_only_when_they_are_equal(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    first, second = request(**one), request(**two)
    for message in (first, second):
        message.ClearField("user")
    assert (of(first) == of(second)) == (first == second)


def test_fields_that_this_version_does_not_know_do_not_count() -> None:
    unknown = encoder.TagBytes(1999, 0) + b"\x01"
    assert of(pb.CreateCompletionRequest.FromString(request().SerializeToString() + unknown)) == of(request())


def test_another_process_finds_the_same() -> None:
    asked = request(logit_bias=dict.fromkeys(range(99, 0, -1), 1.0), temperature=0.3)
    found = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, asked.SerializeToString().hex()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == of(asked)


HERE = Endpoint("openai", "http://one/v1", "a-key")
ELSEWHERE: dict[str, Any] = {
    "base_url": "http://two/v1",
    "more_base_urls": ("http://two/v1",),
    "row": "compatible",
    "headers": {"x-team": "blue"},
    "further": {"api_version": "2025-01-01"},
    "models": {"gpt-4o": ModelTerms(options=pb.CreateCompletionRequest(temperature=0.1))},
}
THE_SAME: dict[str, Any] = {
    "api_key": "another-key",
    "more_keys": ("another-key",),
    "max_concurrency": 5,
    "further": {"client_secret": "s"},
    "models": {
        "gpt-4o": ModelTerms(context_length=8),
        "another": ModelTerms(options=pb.CreateCompletionRequest(temperature=0.1)),
    },
}


def at(endpoint: Endpoint) -> str:
    return cache_key.of("completion", request(), Route(Provider(endpoint), "gpt-4o"), DEFAULT_TENANT)


def test_provider_that_is_pointed_elsewhere_is_another() -> None:
    found = {at(HERE), *(at(replace(HERE, **{name: value})) for name, value in ELSEWHERE.items())}
    assert len(found) == len(ELSEWHERE) + 1


@pytest.mark.parametrize("name", THE_SAME)
def test_provider_with_another_key_or_limit_is_the_same(name: str) -> None:
    assert at(replace(HERE, **{name: THE_SAME[name]})) == at(HERE)

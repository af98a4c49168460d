"""Whole answers that are passed on are what they are when they are read."""

import json
from random import Random
from typing import Any

import pytest

from genai_spine.errors import SpineError
from genai_spine.openai_api import responses
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.openai.adapter import CHAT
from genai_spine.providers.openai.chat_response import ChatReader
from genai_spine.providers.openai.pass_through import pass_on
from genai_spine.v1 import completion_service_pb2 as pb
from tests.upstreams.sloppy import PROTOCOLS, exchange

HTTP = HttpClient(Endpoint("openai", "http://127.0.0.1:9/v1"))
SEEDS = 4000
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
MESSAGE: dict[str, Any] = {"role": "assistant", "content": "four", "refusal": None, "annotations": []}
CHOICE: dict[str, Any] = {"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o",
    "choices": [CHOICE],
    "usage": USAGE,
    "system_fingerprint": "fp",
    "service_tier": "default",
}
# What a mutation puts in the place of a value, or adds.
ODD = [None, "", "x", 0, 1, -1, 2**40, 1.5, True, [], {}, [None], [{}], {"a": 1}, "stop", "tool_calls", "0"]
NAMES = ["error", "tool_calls", "function_call", "reasoning", "reasoning_content", "audio", "usage", "text"]
NAMES += ["delta", "message", "choices", "logprobs", "refusal", "annotations", "x_groq", "cost", "index"]


def shown(completion: pb.Completion, choices: bytes | None) -> Any:
    return json.loads(responses.chat(completion, before_tools=False, choices=choices))


def read(body: bytes) -> pb.Completion | None:
    """Completion by the reference; None: an error."""
    try:
        return ChatReader(HTTP, CHAT).completion(body)
    except SpineError:
        return None


def check(body: bytes) -> bool:
    """Whether an answer is passed on; it is the same then as one that is read, its usage included."""
    found = pass_on(body)
    if found is None:
        return False
    completion = read(body)
    assert completion is not None, body
    assert shown(*found) == shown(completion, None), body
    assert found[0].usage == completion.usage, body
    for name in ("id", "model", "create_time", "units", "service_tier", "system_fingerprint"):
        assert getattr(found[0], name) == getattr(completion, name), body
    return True


def test_sloppy_answers_that_are_passed_on_are_those_that_are_read() -> None:
    drawn = [exchange("openai", seed) for seed in range(SEEDS)]
    bodies = [PROTOCOLS["openai"].body(one) for one in drawn if not one.as_stream]
    passed = sum(map(check, bodies))
    assert 0 < passed < len(bodies)


@pytest.mark.parametrize(
    "text",
    [
        "four",
        "é日本語\U0001f680",
        'a "b" \\ \n\t\r\u2028\u0000',
        "[DONE]",
        "data: {}\n\n",
        "<think>a</think>b",
        " ",
    ],
)
@pytest.mark.parametrize("is_ascii", [False, True])
def test_texts_are_the_bytes_that_came(text: str, is_ascii: bool) -> None:
    body = json.dumps(changed(content=text), ensure_ascii=is_ascii, indent=1).encode()
    is_half = is_ascii and "\U0001f680" in text
    assert check(body) is not is_half
    if not is_half:
        found = pass_on(body)
        assert found is not None
        assert json.dumps(text, ensure_ascii=is_ascii).encode() in found[1]


def changed(**message: Any) -> dict[str, Any]:
    return ANSWER | {"choices": [CHOICE | {"message": MESSAGE | message}]}


def test_a_usual_answer_is_passed_on() -> None:
    assert check(json.dumps(ANSWER).encode())
    short = {"role": "assistant", "content": "four"}
    bare = ANSWER | {"choices": [{"index": 0, "message": short, "finish_reason": "length"}]}
    del bare["system_fingerprint"], bare["service_tier"]
    assert check(json.dumps(bare).encode())


@pytest.mark.parametrize(
    "body",
    [
        ANSWER | {"error": {"message": "m"}},
        ANSWER | {"usage": None},
        ANSWER | {"usage": {"prompt_tokens": 0}},
        ANSWER | {"usage": USAGE | {"num_search_queries": 2}},
        ANSWER | {"choices": [CHOICE, CHOICE | {"index": 1}]},
        ANSWER | {"choices": []},
        ANSWER | {"choices": [CHOICE | {"finish_reason": "content_filter"}]},
        ANSWER | {"choices": [CHOICE | {"finish_reason": None}]},
        changed(content=None),
        changed(content=""),
        changed(content=["four"]),
        changed(refusal="no"),
        changed(annotations=[{"type": "url_citation"}]),
        changed(reasoning_content="well"),
        changed(tool_calls=[]),
        ANSWER | {"id": None},
        ANSWER | {"created": None},
        ANSWER | {"model": ""},
        ANSWER | {"cost": 1},
    ],
    ids=range(19),
)
def test_an_unusual_answer_is_read(body: dict[str, Any]) -> None:
    assert pass_on(json.dumps(body).encode()) is None


def test_broken_bytes_are_read() -> None:
    body = json.dumps(ANSWER).encode()
    for broken in (
        b"",
        b"null",
        b"[]",
        body[:-1],
        body + b"x",
        b"data: " + body,
        body.replace(b"four", b"\xff"),
    ):
        assert pass_on(broken) is None
    assert pass_on(body.replace(b"four", b"\\uD83D\\ude00")) is None


def test_mutated_answers_that_are_passed_on_are_those_that_are_read() -> None:
    rng, passed = Random(7), 0
    for _ in range(20_000):
        answer = json.loads(json.dumps(ANSWER))
        for _ in range(rng.randint(1, 3)):
            mutate(rng, answer)
        passed += check(json.dumps(answer).encode())
    assert passed > 500


def mutate(rng: Random, value: Any) -> None:
    """Changes, adds or removes something somewhere."""
    while True:
        entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        deeper = [entry for _, entry in entries if isinstance(entry, dict | list) and entry]
        if deeper and rng.random() < 0.7:
            value = rng.choice(deeper)
            continue
        odd = json.loads(json.dumps(rng.choice(ODD)))
        if isinstance(value, list):
            value.append(odd)
        elif not value or rng.random() < 0.3:
            value[rng.choice(NAMES)] = odd
        elif rng.random() < 0.4:
            del value[rng.choice(list(value))]
        else:
            value[rng.choice(list(value))] = odd
        return

"""Answers that are one text, which are read without a builder: they say what the builder would say."""

import json
from typing import Any

import pytest

from genai_spine.chunks import completion
from genai_spine.providers.openai.adapter import CHAT
from genai_spine.providers.openai.chat_response import ChatReader
from tests.unit.providers.openai.chats import HTTP

USAGE: dict[str, Any] = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1, "accepted_prediction_tokens": 2},
}
MESSAGE: dict[str, Any] = {"role": "assistant", "content": "Hello", "refusal": None, "annotations": []}
CHOICE: dict[str, Any] = {"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1763683200,
    "model": "gpt-4o",
    "choices": [CHOICE],
    "usage": USAGE,
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}


def answer(message: dict[str, Any] | None = None, choice: dict[str, Any] | None = None, **more: Any) -> bytes:
    chosen = CHOICE | {"message": MESSAGE | (message or {})} | (choice or {})
    return json.dumps(ANSWER | {"choices": [chosen]} | more).encode()


@pytest.mark.parametrize(
    "body",
    [
        answer(),
        answer({"annotations": None, "reasoning_content": "hm"}),
        answer({"reasoning": "hm"}, {"index": 2, "finish_reason": "length"}),
        answer(usage=None),
        answer(usage=USAGE | {"num_search_queries": 2}),
        answer(usage={"prompt_tokens": 0}),
        answer(id=None, model=None),
        answer(created=None, service_tier=None, system_fingerprint=None),
        answer(error=None),
        answer(x_groq={"usage": USAGE}, usage=None),
        answer({"refusal": "no"}),
        answer({"content": "half \ud83d"}),
        answer({"annotations": [{"type": "url_citation"}]}),
        answer({"usage": USAGE}),
        answer(choice={"finish_reason": "eos_token"}),
        answer(choice={"finish_reason": None}),
        answer(choice={"text": " and more"}),
        answer(choice={"usage": USAGE}),
        answer(choice={"logprobs": {"content": [{"token": "H", "logprob": -0.5}]}}),
        answer({"content": [{"type": "text", "text": "Hello"}]}),
        answer({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}),
        answer(choices=[CHOICE, CHOICE | {"index": 1}]),
        b"data: " + answer() + b"\n\ndata: [DONE]\n\n",
    ],
)
def test_answer_is_the_same_with_and_without_a_builder(body: bytes) -> None:
    assert ChatReader(HTTP, CHAT).completion(body) == completion(ChatReader(HTTP, CHAT).read(body))


def test_most_answers_need_no_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatReader, "read", None)
    assert ChatReader(HTTP, CHAT).completion(answer()).choices[0].message.content[0].text == "Hello"

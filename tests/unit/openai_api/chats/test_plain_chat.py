"""Requests made of a template are those that their whole bodies make."""

import json
from typing import Any

import pytest

from genai_spine.openai_api import requests
from genai_spine.openai_api.chats import plain_chat
from genai_spine.openai_api.chats.plain_chat import MAX_OPTIONS_BYTES, MAX_TEMPLATES, PlainChats
from genai_spine.openai_api.schemas import PlainChat

HELLO = [{"role": "user", "content": "Hello"}]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.2, "max_tokens": 7, "stop": ["a"], "user": "u"},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"response_format": {"type": "json_object"}},
    {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
    {"store": True, "metadata": {"a": "b"}},
    {"of_a_gateway": {"x": [1, 2]}, "metadata": {"own": 1}},
    {"logit_bias": {"5": -1}, "seed": -3, "n": 2},
    {"cost_labels": {"team": "a"}},
]


def body(messages: Any = HELLO, **options: Any) -> bytes:
    return json.dumps({"model": "gpt-4o", "messages": messages, **options}, ensure_ascii=False).encode()


def remembered(chats: PlainChats, data: bytes) -> None:
    fields = requests.fields(data)
    chat = requests.decode_chat(data)
    assert isinstance(chat, PlainChat)
    chats.remember(fields, requests.chat_request(fields, chat), chat)


@pytest.mark.parametrize("options", OPTIONS)
def test_request_of_a_template_is_that_of_the_body(options: dict[str, Any]) -> None:
    chats = PlainChats()
    remembered(chats, body(**options))
    messages = [{"role": "system", "content": 'é"\n'}, {"role": "assistant", "content": "x"}, *HELLO]
    other = body(messages, **options)
    found = chats.request(requests.fields(other))
    assert found is not None
    whole = requests.decode_chat(other)
    assert found[0] == requests.chat_request(requests.fields(other), whole)
    for name in ("stream", "stream_options", "functions", "response_format"):
        assert getattr(found[1], name) == getattr(whole, name)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        None,
        "Hello",
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        [{"role": "user", "content": "a", "name": "n"}],
        [{"role": "tool", "content": "a", "tool_call_id": "c"}],
        [{"role": "user"}],
        [*HELLO, 1],
        HELLO * 10_001,
    ],
)
def test_messages_that_are_more_than_texts_are_left_to_the_reader_of_the_body(messages: Any) -> None:
    chats = PlainChats()
    remembered(chats, body())
    assert chats.request(requests.fields(body(messages))) is None


@pytest.mark.parametrize("options", [{"model": "gpt-4"}, {"temperature": 0}, {"stream": False}, {"x": 1}])
def test_other_fields_have_no_template(options: dict[str, Any]) -> None:
    chats = PlainChats()
    remembered(chats, body())
    assert chats.request(requests.fields(body(**options))) is None


def test_no_text_of_a_caller_is_remembered() -> None:
    chats = PlainChats()
    remembered(chats, body([{"role": "user", "content": "a secret"}], stream=True))
    (template,) = chats._templates.values()
    assert "a secret" not in f"{template}{chats._templates.keys()}"
    assert not template.request.messages


def test_templates_are_bounded_in_number_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_TEMPLATES < 1000
    monkeypatch.setattr(plain_chat, "MAX_TEMPLATES", 3)
    chats = PlainChats()
    for seed in range(10):
        remembered(chats, body(seed=seed))
        remembered(chats, body(seed=seed))
    remembered(chats, body(user="u" * MAX_OPTIONS_BYTES))
    assert len(chats._templates) == 3
    assert chats.request(requests.fields(body(seed=9))) is not None
    assert chats.request(requests.fields(body(user="u" * MAX_OPTIONS_BYTES))) is None

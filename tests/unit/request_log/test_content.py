"""Content of entries: bytes as digests, cuts that stay JSON, odd characters, large bodies."""

import base64
import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from google.api.httpbody_pb2 import HttpBody

from genai_spine.request_log import trees
from genai_spine.request_log.content import CUT, MAX_NODES, Content
from genai_spine.request_log.redaction import REDACTED, Redactor
from genai_spine.v1 import media_service_pb2 as media
from tests.service.running import asked

DATA = bytes(range(256))
DIGEST = f"256 bytes, sha256 {sha256(DATA).hexdigest()}"
URL = f"data:image/png;base64,{base64.b64encode(DATA).decode()}"


def content(max_bytes: int = 4096) -> Content:
    return Content(Redactor(), max_bytes)


def logged(tree: Any, max_bytes: int = 4096) -> Any:
    text, is_cut = content(max_bytes).json(tree)
    assert len(text.encode()) <= max_bytes
    assert not is_cut
    return msgspec.json.decode(text)


def cut(tree: Any, max_bytes: int = 4096) -> Any:
    text, is_cut = content(max_bytes).json(tree)
    assert len(text.encode()) <= max_bytes
    assert is_cut
    assert CUT in text
    assert "\0" not in text
    return json.loads(text)


def test_secrets_by_name_and_by_look() -> None:
    tree = {
        "api_key": "x",
        "headers": {"Authorization": "abc"},
        "a": ["sk-0123456789abcdefgh"],
        "password": 1,
    }
    assert logged(tree) == {
        "api_key": REDACTED,
        "headers": {"Authorization": REDACTED},
        "a": [REDACTED],
        "password": REDACTED,
    }


def test_data_urls_are_digests() -> None:
    tree = {"image_url": {"url": URL}, "text": f"see ![a]({URL}) and {URL}."}
    digest = f"[image/png, {DIGEST}]"
    assert logged(tree) == {"image_url": {"url": digest}, "text": f"see ![a]({digest}) and {digest}."}


def test_text_that_only_begins_like_a_data_url_stays() -> None:
    assert logged({"text": "data: x, data:;base64 data:a/b;base64,!!"})["text"].startswith(
        "data: x, data:;base64 "
    )


def test_base64_members_are_digests() -> None:
    text = base64.b64encode(DATA).decode()
    assert logged({"data": [{"b64_json": text}], "input_audio": {"data": text}, "title": text}) == {
        "data": [{"b64_json": f"[{DIGEST}]"}],
        "input_audio": {"data": f"[{DIGEST}]"},
        "title": text,
    }


def test_bytes_of_messages_are_digests() -> None:
    request = media.CreateTranscriptionRequest(model="whisper-1", data=DATA, filename="a.wav")
    assert trees.of_message(request) == {"model": "whisper-1", "data": f"[{DIGEST}]", "filename": "a.wav"}


def test_form_keeps_its_fields_and_the_digest_of_its_file() -> None:
    data = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        + DATA
        + b"\r\n--b--\r\n"
    )
    tree = trees.of_message(HttpBody(data=data, content_type="multipart/form-data; boundary=b"))
    assert tree == {"model": "whisper-1", "file": {"filename": "a.wav", "data": f"[{DIGEST}]"}}


@pytest.mark.parametrize(
    "tree",
    [
        {"text": "x" * 10_000_000},
        {"text": "🙂" * 100_000},
        {"text": "\0" * 100_000},
        {"text": "\ud83d" * 100_000},
        {"many": list(range(1_000_000))},
        {"many": {str(number): "x" * 100 for number in range(MAX_NODES + 1)}},
        {"deep": [[["x" * 500] * 50] * 50] * 50},
        {"k" * 100_000: 1},
        {f"{'k' * 300}{number}": "v" * 300 for number in range(1000)},
    ],
)
def test_large_content_is_cut_and_stays_json(tree: Any) -> None:
    assert cut(tree)
    assert cut(tree, 1024)


def test_cut_leaves_the_small_things() -> None:
    tree = {"model": "gpt-4o", "messages": [{"role": "user", "content": "é" * 100_000}], "temperature": 0.5}
    found = cut(tree)
    assert (found["model"], found["temperature"]) == ("gpt-4o", 0.5)
    assert found["messages"][0]["content"].rstrip(CUT) == "é" * 1024


def test_secret_across_a_cut_is_not_left_in_part() -> None:
    secret = "sk-0123456789abcdefghijklmnop"
    for offset in range(40):
        text, _ = content().json({"text": " " * (4096 - offset) + secret})
        assert "0123456789abc" not in text


def test_odd_characters_stay_json() -> None:
    assert logged({"a": "\0\ud83d\ude00\ud83d", "b": float("nan")}) == {"a": "\0😀\ufffd", "b": None}


def test_deep_content_ends() -> None:
    tree: Any = "x"
    for _ in range(500):
        tree = [tree]
    text, is_cut = content().json(tree)
    assert is_cut
    assert json.loads(text)


@pytest.mark.parametrize("data", [b"\xff\xfe{", b"{", b"", b"[" * 100_000, b'{"a": "\\ud800"}'])
def test_body_that_is_no_json_is_logged_as_text(data: bytes) -> None:
    text, _ = content().json(trees.of_message(HttpBody(data=data, content_type="application/json")))
    assert json.loads(text)


def test_message_has_the_names_of_its_fields() -> None:
    request = asked("Hi", metadata={"a": "b"}, temperature=0.5, stop_sequences=["x"])
    assert trees.of_message(request) == {
        "model": "gpt-4o",
        "messages": [{"role": "ROLE_USER", "content": [{"text": "Hi"}]}],
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "stop_sequences": ["x"],
    }


def test_column_is_plain_text() -> None:
    assert (
        content().text("a\0b\ud800 sk-0123456789abcdefgh" + "x" * 500, 20)
        == f"a\ufffdb\ufffd {REDACTED}"[:20]
    )

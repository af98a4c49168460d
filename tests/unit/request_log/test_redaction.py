"""Redaction: planted secrets go, what only looks a little like one stays."""

import json
from time import perf_counter

import pytest

from genai_spine.request_log.redaction import REDACTED, Redactor, is_secret

SECRET = "Zq8vT2nB4xK9wL1pR7sD"
PLANTED = [
    f"use sk-{SECRET} please",
    f"sk-ant-api03-{SECRET}",
    f"sk-proj-{SECRET}",
    f"gs_live_{SECRET}",
    f"gs_service_{SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"-H 'Authorization: Basic {SECRET}=='",
    f"bearer {SECRET}",
    f"x-api-key: {SECRET}",
    f"OPENAI_API_KEY={SECRET}",
    f'{{"api_key": "{SECRET}", "city": "Paris"}}',
    f'{{"password":"{SECRET} with blanks"}}',
    f'{{\\"password\\": \\"{SECRET} with blanks\\", \\"b\\": 1}}',
    f"password = '{SECRET} with blanks'",
    f'{{"password": "a\\"{SECRET}"}}',
    f"client_secret={SECRET}&grant_type=x",
    f"refresh_token: {SECRET}",
    f"https://user:{SECRET}@example.com/x",
    f"postgresql://genai:{SECRET}/{SECRET}@db/genai",
    f"https://example.com/?a=1&access_token={SECRET}&b=2",
    f"https://example.com/?X-Amz-Signature={SECRET}",
    f"Cookie: theme=dark; session={SECRET}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
    f"ghp_{SECRET}{SECRET}",
    f"AIza{SECRET}{SECRET}",
    f"xoxb-1234-{SECRET}",
    f"hf_{SECRET}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{SECRET}",
]


@pytest.mark.parametrize("text", PLANTED)
def test_planted_secret_is_gone(text: str) -> None:
    found = Redactor().text(text)
    assert SECRET not in found
    assert REDACTED in found


@pytest.mark.parametrize("text", ['{"api_key": "abc", "city": "Paris"}', '{"password":"a\\"b c", "n": [1]}'])
def test_json_within_a_text_stays_json(text: str) -> None:
    found = json.loads(Redactor().text(text))
    assert REDACTED in found.values()
    assert found.keys() == json.loads(text).keys()


@pytest.mark.parametrize(
    "text",
    [
        "The bearer of this letter has a basic understanding of keys.",
        "max_tokens=100, input_tokens: 5",
        "https://example.com/@user/post?page=2#top",
        "Write to me@example.com about the risk-averse plan.",
        "task-manager, ask-me, desk-1234567890",
        "12:30 and 1=1",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "name",
    ["api_key", "apiKey", "x-api-key", "Authorization", "password", "DB_PASSWORD", "clientSecret", "token"],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name, {})


@pytest.mark.parametrize("name", ["max_tokens", "tokens", "input_tokens", "page_tokens", "key", "secretary"])
def test_names_of_other_things(name: str) -> None:
    assert not is_secret(name, {})


def test_token_with_a_log_probability_is_a_piece_of_the_answer() -> None:
    assert not is_secret("token", {"token": "Hi", "logprob": -0.1})


def test_known_secrets_and_own_patterns_are_taken_wherever_they_stand() -> None:
    redactor = Redactor(["0123abcd", "abc"], [r"\d{4}-\d{4}"])
    assert redactor.text("x0123abcdy 1234-5678 abc") == f"x{REDACTED}y {REDACTED} abc"


@pytest.mark.parametrize(
    "piece",
    ["://", "a", '\\"', "password=", "Bearer ", "eyJ", "sk-", "?key", "data:", '"', "-----BEGIN ", "a.b"],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (70_000 // len(piece))
    began = perf_counter()
    Redactor().text(text)
    assert perf_counter() - began < 5

"""Whose model a name means, by the name alone."""

import pytest

from genai_spine.routing.model_names import is_local_tag, owner_of


@pytest.mark.parametrize(
    ("model", "owner"),
    [
        ("gpt-4o", "openai"),
        ("gpt-5.1-codex", "openai"),
        ("gpt-image-1", "openai"),
        ("gpt-realtime", "openai"),
        ("o1", "openai"),
        ("o4-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("text-embedding-ada-002", "openai"),
        ("text-embedding-3-large", "openai"),
        ("dall-e-3", "openai"),
        ("whisper-1", "openai"),
        ("tts-1-hd", "openai"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "openai"),
        ("claude-sonnet-4", "anthropic"),
        ("amazon.nova-lite-v1:0", "bedrock"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "bedrock"),
        ("llama3.2:1b", "ollama"),
        ("gpt-oss:20b", "ollama"),
        ("hf.co/org/model:Q4_K_M", "ollama"),
        ("gpt-oss", None),
        ("gpt-oss-120b", None),
        ("gpt-2", None),
        ("gpt-neox-20b", None),
        ("text-embedding-004", None),
        ("text-embedding-nomic-embed-text-v1.5", None),
        ("whisper-large-v3", None),
        ("o1x", None),
        ("dall-e-mini", None),
        ("mistral", None),
        ("", None),
        (":", None),
    ],
)
def test_owner_of_a_name_is_who_has_it_in_the_own_api(model: str, owner: str | None) -> None:
    assert owner_of(model) == owner


@pytest.mark.parametrize("tag", ["latest", "7b", "7b-instruct", "instruct", "v0.3", "text"])
def test_is_local_tag_of_a_family_that_is_called_like_a_provider(tag: str) -> None:
    assert is_local_tag("mistral", tag)
    assert not is_local_tag("openai", tag)


@pytest.mark.parametrize(
    "name", ["mistral-small-latest", "open-mistral-7b", "codestral-2501", "ministral-8b"]
)
def test_is_local_tag_is_no_model_of_the_vendor(name: str) -> None:
    assert not is_local_tag("mistral", name)

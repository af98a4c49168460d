"""A version with its variables, and the request that comes of it."""

import pytest

from genai_spine.errors import InvalidPromptVariables
from genai_spine.prompts.library import FilledPrompt, ResolvedPrompt
from genai_spine.v1 import message_pb2
from genai_spine.v1.prompt_service_pb2 import Prompt, PromptVersion


def filled(user: str = "Hello", **version) -> FilledPrompt:
    resolved = ResolvedPrompt(Prompt(id="p", slug="greet"), PromptVersion(version=3, **version))
    return FilledPrompt(resolved, None, user, {"a": "x", "b": None}, [])


@pytest.mark.parametrize(
    ("preferred", "options", "provider", "model"),
    [
        ({}, {}, "", ""),
        ({"preferred_model": "m"}, {}, "", "m"),
        ({"preferred_provider": "openai", "preferred_model": "m"}, {}, "openai", "m"),
        ({"preferred_provider": "openai", "preferred_model": "m"}, {"model": "n"}, "", "n"),
        ({"preferred_provider": "openai", "preferred_model": "m"}, {"provider": "ollama"}, "ollama", ""),
        ({"preferred_provider": "openai", "preferred_model": "m"}, {"provider": "openai"}, "openai", "m"),
        ({"preferred_model": "m"}, {"provider": "ollama"}, "ollama", "m"),
        ({"preferred_provider": "openai"}, {"provider": "ollama", "model": "n"}, "ollama", "n"),
    ],
)
def test_provider_and_model_come_from_the_caller_before_the_prompt(preferred, options, provider, model):
    request = filled(**preferred).request(**options)
    assert (request.provider, request.model) == (provider, model)
    assert request.HasField("provider") == bool(provider)


def test_numbers_come_from_the_caller_before_the_prompt_and_zero_is_a_number():
    request = filled(temperature=0.7, max_tokens=9).request(temperature=0.0, max_tokens=None, user="ann")
    assert (request.temperature, request.max_tokens, request.user) == (0, 9, "ann")
    assert not filled().request().HasField("temperature")


def test_a_user_message_that_says_nothing_is_refused():
    with pytest.raises(InvalidPromptVariables):
        filled(" \n").request()


def test_messages_have_no_empty_instructions():
    assert [message.role for message in filled().messages] == [message_pb2.ROLE_USER]


def test_purpose_pins_version_and_variables():
    purpose = filled().purpose
    assert (purpose.prompt_id, purpose.prompt_version, len(purpose.variables_hash)) == ("p", 3, 64)
    assert filled().used == {"a": "x", "b": ""}
    assert not purpose.HasField("capability")
    assert filled().resolved.purpose({"a": "x"}, "summarize").capability == "summarize"

"""The error tree: what a class says of itself, and what its keywords become."""

import pytest
from google.rpc import code_pb2

from genai_spine import errors
from genai_spine.errors import SpineError

PROVIDER = {"provider": "openai", "provider_message": "no"}


def leaves(kind: type[SpineError] = SpineError) -> list[type[SpineError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return [kind, *below] if kind not in (SpineError, errors.ProviderFailure) else below


def test_the_message_is_the_docstring_and_the_keywords_are_the_metadata() -> None:
    error = errors.UnsupportedOption(field="tools", provider="builtin", option="tools")
    assert str(error) == "tools: provider builtin does not support tools"
    assert error.metadata == {"field": "tools", "provider": "builtin", "option": "tools"}
    assert error.violations == [("tools", str(error))]
    assert error.reason_name == "UNSUPPORTED_OPTION"


def test_braces_in_a_value_are_text() -> None:
    error = errors.InvalidRequest(field="a{b}", problem="{0} {x} {{}}")
    assert str(error) == "a{b}: {0} {x} {{}}"


def test_a_value_that_is_none_is_not_sent() -> None:
    error = errors.ModelNotFound(model="m", hint="h", provider=None)
    assert error.metadata == {"model": "m", "hint": "h"}


def test_several_fields_are_one_message_and_each_a_violation() -> None:
    error = errors.InvalidFields([("a", "is required"), ("b.c", "too long")])
    assert str(error) == "a: is required; b.c: too long"
    assert error.violations == [("a", "is required"), ("b.c", "too long")]
    assert error.metadata == {"field": "a"}


def test_an_error_without_a_field_has_no_violation() -> None:
    assert errors.ServiceUnavailable(cause="x").violations == []


def test_a_providers_message_is_shortened_and_never_empty() -> None:
    assert (
        len(errors.ProviderRejected(provider="p", provider_message="x" * 5000).metadata["provider_message"])
        == 1000
    )
    error = errors.ProviderUnavailable(provider="p", provider_message="  ")
    assert error.metadata == {"provider": "p", "provider_message": "no message", "provider_code": "unknown"}


def test_when_to_try_again_is_kept_apart_from_the_metadata() -> None:
    error = errors.ProviderRateLimited(**PROVIDER, retry_after_s=2.5)
    assert error.retry_after_s == 2.5
    assert "retry_after_s" not in error.metadata


@pytest.mark.parametrize("kind", leaves())
def test_every_class_has_a_code_and_statuses_that_fit_together(kind: type[SpineError]) -> None:
    assert kind.code in code_pb2.Code.values()
    assert kind.code != code_pb2.OK
    assert 400 <= kind.http_status < 600
    assert kind.openai_status in (None, 400)
    if kind.retryable:
        assert kind.http_status == 429 or kind.http_status >= 500, "clients repeat nothing else"


@pytest.mark.parametrize("kind", leaves(errors.ProviderFailure))
def test_every_failure_of_a_provider_names_it(kind: type[errors.ProviderFailure]) -> None:
    error = kind(**PROVIDER, provider_code="x")
    assert error.metadata == PROVIDER | {"provider_code": "x"}
    assert "no" in str(error)

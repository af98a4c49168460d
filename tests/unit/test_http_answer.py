"""What the edge gets of an error: a body in both shapes and headers that every hop can carry."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genai_spine import errors, http_answer
from genai_spine.call import Call
from genai_spine.errors import SpineError

CHAT = Call(request_id="r1", path="/v1/chat/completions")
NATIVE = Call(request_id="r1", path="/v1/completions:create")

TEXT = st.text(max_size=400) | st.integers(0, 900).map(lambda count: '語🙂\x7f\n"' * count)
FIELDS = st.text("abcdefghijk.[]0123456789é", min_size=1, max_size=600)
ERRORS = st.one_of(
    st.builds(errors.InvalidRequest, field=FIELDS, problem=TEXT),
    st.builds(errors.InvalidFields, st.lists(st.tuples(FIELDS, TEXT), min_size=1, max_size=5)),
    st.builds(errors.UnsupportedOption, field=FIELDS, provider=TEXT, option=TEXT),
    st.builds(errors.ModelNotFound, model=TEXT, hint=TEXT),
    st.builds(
        errors.ProviderRateLimited, provider=FIELDS, provider_message=TEXT, retry_after_s=st.floats(0, 10**9)
    ),
    st.builds(errors.ProviderRejected, provider=FIELDS, provider_message=TEXT, provider_code=TEXT),
    st.builds(errors.ProviderTimeout, provider=FIELDS, phase=TEXT, timeout_s=st.just("1")),
    st.builds(errors.ServiceUnavailable, cause=TEXT),
    st.just(errors.InternalError()),
)
CALLS = st.builds(
    Call,
    request_id=st.text("abcdefghij0123456789-", min_size=1, max_size=128),
    path=st.sampled_from(["/v1/chat/completions", "/v1/models/a/b:c?x=1", "/v1/completions:create", "/"]),
)


def limited(retry_after_s: float | None) -> SpineError:
    return errors.ProviderRateLimited(provider="p", provider_message="m", retry_after_s=retry_after_s)


def body(error: SpineError, call: Call) -> Any:
    return msgspec.json.decode(dict(http_answer.error_headers(error, call))["x-genai-error"].encode())


class TestHeaders:
    @settings(deadline=None, max_examples=80)
    @given(ERRORS, CALLS)
    @example(errors.ServiceUnavailable(cause="\x7fé"), CHAT)
    def test_every_header_is_one_short_line_of_printable_ascii(self, error: SpineError, call: Call) -> None:
        headers = http_answer.error_headers(error, call)
        for name, value in headers:
            assert name == name.lower()
            assert value.isascii()
            assert value.isprintable(), "a control character would be refused by gRPC"
        assert sum(len(name) + len(value) + 2 for name, value in headers) < 6 * 1024

    @settings(deadline=None, max_examples=80)
    @given(ERRORS, CALLS)
    def test_the_body_says_what_the_error_says(self, error: SpineError, call: Call) -> None:
        found = body(error, call)
        message = found["error"]["message"]
        assert str(error).startswith(message.removesuffix("..."))
        assert message == str(error) or len(message) > 100
        assert found["error"]["request_id"] == call.request_id
        assert isinstance(found["error"]["details"], dict)
        if http_answer.http_status(error, http_answer.openai_shaped(call.path)) == 422:
            assert [set(entry) for entry in found["detail"]] == [{"loc", "msg", "type"}] * len(
                found["detail"]
            )
            assert found["detail"]
        else:
            assert found["detail"] == message

    @pytest.mark.parametrize(
        ("error", "status", "retry"),
        [
            (errors.InternalError(), "500", "false"),
            (errors.ServiceUnavailable(cause="x"), "503", None),
            (errors.ProviderRateLimited(provider="p", provider_message="m"), "429", None),
            (errors.ProviderQuotaExceeded(provider="p", provider_message="m"), "502", "false"),
            (errors.ProviderAuthentication(provider="p", provider_message="m"), "502", "false"),
            (errors.ProviderUnavailable(provider="p", provider_message="m"), "502", None),
            (errors.ContextLengthExceeded(provider="p", provider_message="m"), "502", "false"),
            (errors.ProviderRejected(provider="p", provider_message="m"), "400", None),
            (errors.DeadlineExceeded(), "504", "false"),
            (errors.InvalidFields([("a", "b")]), "422", None),
            (errors.ModelNotFound(model="m", hint="h"), "404", None),
        ],
    )
    def test_a_client_is_told_not_to_retry_where_that_cannot_help(
        self, error: SpineError, status: str, retry: str | None
    ) -> None:
        headers = dict(http_answer.error_headers(error, NATIVE))
        assert (headers["x-genai-http-status"], headers.get("x-should-retry")) == (status, retry)

    @pytest.mark.parametrize(
        ("seconds", "header"), [(None, None), (0.0, "0"), (0.2, "1"), (7, "7"), (7.01, "8")]
    )
    def test_retry_after_is_an_integer(self, seconds: float | None, header: str | None) -> None:
        error = limited(seconds)
        assert dict(http_answer.error_headers(error, CHAT)).get("retry-after") == header

    @pytest.mark.parametrize(
        "error",
        [
            errors.CircuitOpen(
                upstream="provider p", provider="p", open_s="7", failures=5, retry_after_s=6.5
            ),
            errors.ProviderBusy(provider="p", running=1, retry_after_s=7),
            errors.ProviderUnavailable(provider="p", provider_message="m", retry_after_s=7),
            errors.ServiceUnavailable(cause="x", retry_after_s=7),
        ],
    )
    def test_every_error_with_a_known_rest_says_it(self, error: SpineError) -> None:
        assert dict(http_answer.error_headers(error, CHAT))["retry-after"] == "7"

    @pytest.mark.parametrize(
        ("error", "billed", "retry"),
        [
            (errors.ProviderRateLimited(provider="p", provider_message="m"), False, "false"),
            (limited(120), False, None),
            (
                limited(121),
                False,
                "false",
            ),
            (limited(9), True, "false"),
            (errors.ProviderBusy(provider="p", running=1, retry_after_s=1), False, None),
            (errors.ProviderBusy(provider="p", running=1, retry_after_s=1), True, "false"),
            (errors.ProviderUnavailable(provider="p", provider_message="m"), False, "false"),
            (errors.ProviderUnavailable(provider="p", provider_message="m", retry_after_s=1), False, "false"),
            (errors.ProviderError(provider="p", provider_message="m"), True, "false"),
            (errors.ProviderTimeout(provider="p", phase="x", timeout_s="1"), True, "false"),
        ],
    )
    def test_once_our_attempts_are_spent_only_a_free_call_with_a_short_rest_is_worth_another(
        self, error: SpineError, billed: bool, retry: str | None
    ) -> None:
        error.are_attempts_spent = True
        call = Call(path="/v1/chat/completions", billed={"row"} if billed else set())
        assert dict(http_answer.error_headers(error, call)).get("x-should-retry") == retry

    def test_a_timeout_is_not_worth_another_call_as_it_may_have_been_paid(self) -> None:
        error = errors.ProviderTimeout(provider="p", phase="x", timeout_s="1")
        assert dict(http_answer.error_headers(error, CHAT))["x-should-retry"] == "false"


class TestBodies:
    def test_openai_shaped_paths_have_openais_fields(self) -> None:
        error = errors.InvalidFields([("choice_count", "must be at most 10"), ("seed", "x")])
        assert body(error, CHAT) == {
            "error": {
                "code": "UNPROCESSABLE_ENTITY",
                "message": "choice_count: must be at most 10; seed: x",
                "type": "invalid_request_error",
                "param": "n",
                "details": {"field": "choice_count"},
                "request_id": "r1",
            },
            "detail": "choice_count: must be at most 10; seed: x",
        }
        assert dict(http_answer.error_headers(error, CHAT))["x-genai-http-status"] == "400"

    def test_native_paths_list_the_fields_that_break_their_rules(self) -> None:
        error = errors.InvalidFields([("messages[0].role", "is required"), ("seed", "x")])
        assert body(error, NATIVE)["detail"] == [
            {"loc": ["body", "messages[0]", "role"], "msg": "is required", "type": "value_error"},
            {"loc": ["body", "seed"], "msg": "x", "type": "value_error"},
        ]
        assert "type" not in body(error, NATIVE)["error"]

    @pytest.mark.parametrize(
        ("error", "code", "kind", "param", "status"),
        [
            (
                errors.ModelNotFound(model="m", hint="h"),
                "model_not_found",
                "invalid_request_error",
                "model",
                404,
            ),
            (
                errors.ContextLengthExceeded(provider="p", provider_message="m"),
                "context_length_exceeded",
                "invalid_request_error",
                None,
                400,
            ),
            (
                errors.ContentFiltered(provider="p", provider_message="m"),
                "content_filter",
                "invalid_request_error",
                None,
                400,
            ),
            (
                errors.ProviderRateLimited(provider="p", provider_message="m"),
                "rate_limit_exceeded",
                "rate_limit_error",
                None,
                429,
            ),
            (
                errors.ProviderError(provider="p", provider_message="m"),
                "PROVIDER_ERROR",
                "api_error",
                None,
                502,
            ),
            (errors.InternalError(), "INTERNAL_ERROR", "api_error", None, 500),
            (
                errors.InvalidRequest(field="messages[0].content", problem="x"),
                "VALIDATION_ERROR",
                "invalid_request_error",
                "messages[0].content",
                400,
            ),
        ],
    )
    def test_codes_and_types_are_those_that_openais_clients_know(
        self, error: SpineError, code: str, kind: str, param: str | None, status: int
    ) -> None:
        found = body(error, CHAT)["error"]
        assert (found["code"], found["type"], found["param"]) == (code, kind, param)
        assert http_answer.http_status(error, True) == status

    @pytest.mark.parametrize(
        ("path", "shaped"),
        [
            ("/v1/chat/completions", True),
            ("/v1/chat/completions?x=1", True),
            ("/v1/models", True),
            ("/v1/models/org/model:latest", True),
            ("/v1/completions", True),
            ("/v1/completions:create", False),
            ("/v1/embeddings:create", False),
            ("/ready", False),
            (None, False),
            ("/v1/images/generations", True),
            ("/v1/audio/speech", True),
            ("/v1/files", True),
            ("/v1/files/file-1/content", True),
            ("/v1/batches?limit=1", True),
            ("/v1/images:create", False),
            ("/v1/providers/openai/files", False),
        ],
    )
    def test_which_paths_are_openais(self, path: str | None, shaped: bool) -> None:
        assert http_answer.openai_shaped(path) == shaped


@pytest.mark.parametrize(
    ("path", "is_openais"),
    [
        ("/v1/chat/completions", True),
        ("/v1/chat/completions/", True),
        ("/v1/chat/completions/?x=1", True),
        ("/v1/chat/%63ompletions", True),
        ("/v1/chat%2Fcompletions", True),
        ("/v1/%6dodels/a", True),
        ("/v1/embeddings//", True),
        ("/v1/images/generations", True),
        ("/v1/completions:create", False),
        ("/v1/sessions/", False),
        ("/", False),
        (None, False),
    ],
)
def test_openais_paths_are_known_however_they_are_written(path: str | None, is_openais: bool) -> None:
    assert http_answer.openai_shaped(path) is is_openais

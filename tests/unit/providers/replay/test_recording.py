"""A recording holds what is needed to play it back, and nothing that must not be in a repository."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from genai_spine import errors
from genai_spine.providers.replay import recording
from genai_spine.providers.replay.recording import (
    RecordedExchange,
    append,
    begun,
    error_of,
    masked,
    normal,
    read,
    recorded_error,
)
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, routing_pb2
from tests.style.test_registries import subclasses

SECRETS = [
    "sk-proj-abcdefghijklmnop1234",
    "sk-ant-api03-abcdefghijklmnop",
    "gsk_abcdefghijklmnop1234",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "xoxb-123456789012-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-def_123",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
]


def user(*parts: message_pb2.ContentPart, text: str = "Hello") -> message_pb2.Message:
    return message_pb2.Message(
        role=message_pb2.ROLE_USER, content=parts or [message_pb2.ContentPart(text=text)]
    )


def completion_request(**fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(**{"model": "m", "messages": [user()]} | fields)


def sha256(request: pb.CreateCompletionRequest) -> str:
    return begun("p", "completion", request).sha256


class TestRecordingRedaction:
    @pytest.mark.parametrize("secret", SECRETS)
    def test_secret_is_masked_wherever_it_stands(self, secret: str) -> None:
        assert masked(f"key={secret}, and more") == "key=***, and more"
        request = completion_request(
            messages=[user(text=secret)],
            stop_sequences=[secret],
            provider_options_json=json.dumps({"metadata": {"key": secret}}),
        )
        text = json.dumps(normal(request))
        assert secret not in text
        assert json.dumps(secret)[1:-1] not in text

    def test_bearer_tokens_are_masked_and_words_are_not(self) -> None:
        assert masked("Authorization: Bearer abcdefghijklmnop.qrst") == "Authorization: Bearer ***"
        words = "The bearer of this risk-adjusted task-oriented note. Bearer bonds. sk-learn."
        assert masked(words) == words

    def test_endpoints_own_key_is_masked_whatever_it_looks_like(self) -> None:
        exchange = begun(
            "p",
            "completion",
            completion_request(messages=[user(text="my own key: hunter2")]),
            ["hunter2", ""],
        )
        assert "hunter2" not in recording.ENCODER.encode(exchange).decode()

    def test_files_are_told_by_their_digest(self) -> None:
        data = b"\x89PNG" * 1000
        parts = [
            message_pb2.ContentPart(image=message_pb2.ImagePart(data=data, media_type="image/png")),
            message_pb2.ContentPart(
                image=message_pb2.ImagePart(url="data:image/png;base64," + "iVBO" * 1000)
            ),
            message_pb2.ContentPart(audio=message_pb2.AudioPart(data=data, format="wav")),
            message_pb2.ContentPart(
                file=message_pb2.FilePart(file_data="data:application/pdf;base64," + "JVBE" * 1000)
            ),
            message_pb2.ContentPart(image=message_pb2.ImagePart(url="https://example.com/a.png")),
        ]
        text = json.dumps(normal(completion_request(messages=[user(*parts)])))
        assert len(text) < 1200
        assert "data:image/png;base64,sha256:" in text
        assert "https://example.com/a.png" in text
        other = completion_request(
            messages=[
                user(message_pb2.ContentPart(image=message_pb2.ImagePart(data=b"x", media_type="image/png")))
            ]
        )
        assert sha256(completion_request(messages=[user(parts[0])])) != sha256(other)

    def test_who_asked_is_not_recorded(self) -> None:
        own = '{"safety_identifier":"u1","user":"u2","verbosity":"low"}'
        text = json.dumps(normal(completion_request(user="u0", provider_options_json=own)))
        assert not any(name in text for name in ("u0", "u1", "u2"))
        assert "verbosity" in text

    def test_request_itself_is_not_changed(self) -> None:
        request = completion_request(
            user="u",
            messages=[user(message_pb2.ContentPart(audio=message_pb2.AudioPart(data=b"x", format="wav")))],
        )
        before = request.SerializeToString()
        normal(request)
        assert request.SerializeToString() == before


class TestRecordingDigests:
    def test_digest_leaves_out_what_changes_from_call_to_call(self) -> None:
        same = [
            completion_request(),
            completion_request(
                user="a", provider="p", coalesce=True, cache_max_age_s=5, truncation="TRUNCATION_NONE"
            ),
            completion_request(
                routing=routing_pb2.Routing(no_fallback=True), disconnect_policy="DISCONNECT_POLICY_CONTINUE"
            ),
        ]
        assert len({sha256(request) for request in same}) == 1

    def test_ids_of_tool_calls_count_only_by_their_order(self) -> None:
        def turn(first: str, second: str, result: str) -> pb.CreateCompletionRequest:
            calls = [
                message_pb2.ToolCall(id=id, function=message_pb2.FunctionCall(name="f"))
                for id in (first, second)
            ]
            answer = message_pb2.Message(
                role=message_pb2.ROLE_TOOL, tool_call_id=result, content=[message_pb2.ContentPart(text="1")]
            )
            called = message_pb2.Message(
                role=message_pb2.ROLE_ASSISTANT, tool_calls=calls, reasoning_state_json=f'["{first}"]'
            )
            return completion_request(messages=[user(), called, answer])

        assert sha256(turn("a", "b", "b")) == sha256(turn("x", "y", "y")) != sha256(turn("a", "b", "a"))

    def test_digest_counts_everything_else(self) -> None:
        different = [
            completion_request(),
            completion_request(model="other"),
            completion_request(temperature=0),
            completion_request(messages=[user(text="Hello!")]),
            completion_request(tools=[message_pb2.Tool(function=message_pb2.FunctionTool(name="f"))]),
            completion_request(provider_options_json='{"verbosity":"low"}'),
            completion_request(logit_bias={1: 2.0}),
        ]
        assert len({sha256(request) for request in different}) == len(different)
        embedding = pb.CreateEmbeddingsRequest(model="m", inputs=[pb.EmbeddingInput(text="Hello")])
        assert begun("p", "embeddings", embedding).sha256 != sha256(completion_request())


class TestRecordedErrors:
    @pytest.mark.parametrize(
        "kind", sorted(subclasses(errors.ProviderFailure), key=lambda kind: kind.__name__)
    )
    def test_providers_failure_comes_back_as_it_was(self, kind: type[errors.ProviderFailure]) -> None:
        error = kind(provider="p", provider_code="x", provider_message="too {much}", retry_after_s=1.5)
        again = error_of(recorded_error(error, 5.0))
        assert type(again) is kind
        assert (str(again), again.metadata, again.retry_after_s) == (str(error), error.metadata, 1.5)

    @pytest.mark.parametrize(
        "error",
        [
            errors.ProviderTimeout(provider="p", phase="the first token", timeout_s=2.5),
            errors.ModelNotFound(model="m", hint="p says: no", provider="p"),
            errors.InvalidFields([("a", "is odd"), ("b[0]", "is even")]),
            errors.UnsupportedOperation(provider="p", operation="embeddings"),
            errors.InternalError(),
        ],
    )
    def test_other_errors_do_too(self, error: errors.SpineError) -> None:
        again = error_of(recorded_error(error, 5.0))
        assert type(again) is type(error)
        assert (str(again), again.metadata, again.violations) == (
            str(error),
            error.metadata,
            error.violations,
        )

    def test_secrets_in_an_errors_message_are_masked(self) -> None:
        error = errors.ProviderAuthentication(provider="p", provider_message=f"bad key {SECRETS[0]} hunter2")
        assert recorded_error(error, 0.0, ["hunter2"]).metadata["provider_message"] == "bad key *** ***"

    def test_error_of_another_version_is_a_provider_error(self) -> None:
        again = error_of(recording.RecordedError("Unheard", 1.0, {"provider_message": "x"}))
        assert type(again) is errors.ProviderError


def write_many(folder: Path, count: int) -> None:
    for number in range(count):
        append(
            folder,
            begun("p", "completion", completion_request(messages=[user(text=f"{number} " + "x" * 20_000)])),
        )


class TestRecordingFiles:
    def test_several_processes_write_whole_lines(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=write_many, args=(tmp_path / "r", 30)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert len(list((tmp_path / "r").iterdir())) == 3
        exchanges = read(tmp_path / "r")
        assert len(exchanges) == 90
        assert len({exchange.sha256 for exchange in exchanges}) == 30

    def test_file_or_a_folder_is_read_in_order(self, tmp_path: Path) -> None:
        for name in ("b", "a"):
            write_many(tmp_path, 1)
            next(tmp_path.glob("exchanges-*")).rename(tmp_path / f"{name}.jsonl")
        (tmp_path / "notes.txt").write_text("not JSON")
        assert len(read(tmp_path)) == 2
        assert len(read(tmp_path / "a.jsonl")) == 1

    def test_line_that_was_being_written_is_left_out(self, tmp_path: Path) -> None:
        write_many(tmp_path, 2)
        path = next(tmp_path.iterdir())
        path.write_bytes(path.read_bytes()[:-10])
        assert len(read(tmp_path)) == 1

    @pytest.mark.parametrize("line", ["{}", "[1]", "no JSON"])
    def test_broken_line_is_named(self, tmp_path: Path, line: str) -> None:
        write_many(tmp_path, 1)
        path = next(tmp_path.iterdir())
        path.write_text(path.read_text() + line + "\n")
        with pytest.raises(ValueError, match=r"\.jsonl:2: "):
            read(tmp_path)

    def test_another_format_is_refused(self, tmp_path: Path) -> None:
        append(tmp_path, RecordedExchange(2, "p", "m", "completion", "0", {}))
        with pytest.raises(ValueError, match="format 2 is not 1"):
            read(tmp_path)

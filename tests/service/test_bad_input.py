"""Bad requests through gRPC: a typed refusal that names the field, and a server that goes on."""

from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, model_service_pb2
from tests.service.running import Running, asked, failure, user
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NAN, INF = float("nan"), float("inf")
MIB = 2**20


def without(field: str, **others: Any) -> pb.CreateCompletionRequest:
    request = asked(**others)
    request.ClearField(field)
    return request


def unknown_enum(number: int) -> pb.CreateCompletionRequest:
    """A role that this version does not know, as a newer client would send it."""
    request = pb.CreateCompletionRequest(model="gpt-4o")
    request.messages.add().ParseFromString(b"\x08" + bytes([number]) + b"\x12\x04\x0a\x02Hi")
    return request


BAD = [
    (asked(temperature=NAN), "temperature"),
    (asked(temperature=INF), "temperature"),
    (asked(temperature=-0.1), "temperature"),
    (asked(temperature=2.1), "temperature"),
    (asked(top_p=1.5), "top_p"),
    (asked(presence_penalty=-INF), "presence_penalty"),
    (asked(frequency_penalty=3), "frequency_penalty"),
    (asked(max_tokens=0), "max_tokens"),
    (asked(max_tokens=2**32 - 1), "max_tokens"),
    (asked(choice_count=11), "choice_count"),
    (asked(choice_count=0), "choice_count"),
    (asked(top_k=0), "top_k"),
    (asked(top_logprobs=3), "top_logprobs"),
    (asked(logprobs=True, top_logprobs=21), "top_logprobs"),
    (asked(logit_bias={1: NAN}), "logit_bias[1]"),
    (asked(logit_bias={1: 101}), "logit_bias[1]"),
    (asked(stop_sequences=[""]), "stop_sequences[0]"),
    (asked(stop_sequences=["x"] * 17), "stop_sequences"),
    (asked(user="x" * 257), "user"),
    (asked(model="x" * 257), "model"),
    (asked(provider="x" * 65), "provider"),
    (asked(reasoning_effort=99), "reasoning_effort"),
    (asked(provider_options_json="[1]"), "provider_options_json"),
    (asked(provider_options_json="[" * 100_000), "provider_options_json"),
    (without("messages"), "messages"),
    (pb.CreateCompletionRequest(model="gpt-4o", messages=[message_pb2.Message()]), "messages[0].role"),
    (
        pb.CreateCompletionRequest(
            model="gpt-4o", messages=[message_pb2.Message(role=message_pb2.ROLE_USER)]
        ),
        "messages[0].content",
    ),
    (
        pb.CreateCompletionRequest(
            model="gpt-4o",
            messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart()])],
        ),
        "messages[0].content[0]",
    ),
    (unknown_enum(77), "messages[0].role"),
    (asked(prompt=pb.TextPrompt(text="x")), "prompt"),
    (pb.CreateCompletionRequest(model="gpt-4o", prompt=pb.TextPrompt()), "prompt"),
    (asked(tools=[message_pb2.Tool()]), "tools[0]"),
    (
        asked(tools=[message_pb2.Tool(function=message_pb2.FunctionTool(name="f", parameters_json="{"))]),
        "tools[0].function.parameters_json",
    ),
    (asked(tool_choice=message_pb2.ToolChoice(function_name="f")), "tool_choice.function_name"),
    (asked(tool_choice=message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED)), "tools"),
]


class TestFields:
    @pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])
    @pytest.mark.parametrize(
        ("request_", "field"), BAD, ids=lambda value: value if isinstance(value, str) else ""
    )
    async def test_a_bad_field_is_named(
        self, service: Running, request_: pb.CreateCompletionRequest, field: str, method: str
    ) -> None:
        found = await failure(getattr(service.completions, method)(request_))
        assert (found.code, found.reason) == (INVALID, "INVALID_FIELDS")
        assert field in found.fields
        assert found.metadata["field"] == found.fields[0]
        assert field in found.message
        assert len(service.openai.bill) == 0

    async def test_every_bad_field_is_named_at_once(self, service: Running) -> None:
        found = await failure(
            service.completions.CreateCompletion(
                asked(temperature=9, top_p=9, choice_count=99, user="x" * 999)
            )
        )
        assert found.fields == ["temperature", "top_p", "choice_count", "user"]

    @pytest.mark.parametrize(
        ("request_", "field"),
        [
            (pb.CreateEmbeddingsRequest(model="e"), "inputs"),
            (pb.CreateEmbeddingsRequest(model="e", inputs=[pb.EmbeddingInput()]), "inputs[0]"),
            (pb.CreateEmbeddingsRequest(inputs=[pb.EmbeddingInput(text="x")] * 2049), "inputs"),
            (pb.CreateEmbeddingsRequest(inputs=[pb.EmbeddingInput(text="x")], dimensions=0), "dimensions"),
        ],
    )
    async def test_bad_embeddings(self, service: Running, request_: Any, field: str) -> None:
        found = await failure(service.completions.CreateEmbeddings(request_))
        assert (found.reason, found.fields) == ("INVALID_FIELDS", [field])

    @pytest.mark.parametrize(
        ("request_", "reason", "field"),
        [
            (model_service_pb2.ListModelsRequest(page_size=1001), "INVALID_FIELDS", "page_size"),
            (model_service_pb2.ListModelsRequest(page_token="a"), "INVALID_FIELDS", "page_token"),
            (model_service_pb2.ListModelsRequest(provider="opnai"), "INVALID_REQUEST", "provider"),
        ],
    )
    async def test_bad_lists(self, service: Running, request_: Any, reason: str, field: str) -> None:
        found = await failure(service.models.ListModels(request_))
        assert (found.code, found.reason, found.metadata["field"]) == (INVALID, reason, field)


class TestNames:
    async def test_an_unknown_provider_is_named_with_those_that_are_there(self, service: Running) -> None:
        found = await failure(service.completions.CreateCompletion(asked(provider="opnai")))
        assert (found.code, found.reason, found.metadata["field"]) == (
            INVALID,
            "INVALID_REQUEST",
            "provider",
        )
        assert found.message.endswith("configured: builtin, groq, ollama, openai, together, vllm")
        known = await failure(service.completions.CreateCompletion(asked(provider="mistral")))
        assert "set GENAI_MISTRAL_API_KEY" in known.message

    @pytest.mark.parametrize("model", ["gpt-99", "claude-sonnet-4", "ollama:nope"])
    async def test_an_unknown_model_is_not_found(self, service: Running, model: str) -> None:
        service.openai.unknown_models.add("gpt-99")
        service.ollama.unknown_models.add("nope")
        found = await failure(service.completions.CreateCompletion(asked(model=model)))
        assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        assert found.metadata["model"] in (model, "nope")
        lookup = await failure(service.models.GetModel(model_service_pb2.GetModelRequest(model=model)))
        assert (lookup.code, lookup.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")

    async def test_what_the_provider_cannot_do_is_refused_and_not_dropped(self, service: Running) -> None:
        found = await failure(
            service.completions.CreateCompletion(asked(model="builtin:extractive", logit_bias={1: 1.0}))
        )
        assert (found.code, found.reason) == (INVALID, "UNSUPPORTED_OPTION")
        assert found.metadata == {"field": "logit_bias", "provider": "builtin", "option": "logit_bias"}

    async def test_a_provider_without_a_default_model_needs_one(self, service: Running) -> None:
        found = await failure(service.completions.CreateCompletion(asked(model="", provider="vllm")))
        assert (found.reason, found.metadata["field"]) == ("INVALID_REQUEST", "model")


class TestSizes:
    async def test_a_request_of_39_mib_arrives(self, service: Running) -> None:
        text = "x" * (39 * MIB)
        completion = await service.completions.CreateCompletion(asked(text, model="builtin:extractive"))
        assert completion.choices[0].message.content

    async def test_a_request_of_41_mib_is_refused(self, service: Running) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await service.completions.CreateCompletion(asked("x" * (41 * MIB)))
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(service.openai.bill) == 0

    @pytest.mark.parametrize("text", ["語" * 5000, "🙂" * 5000, '"\\\x00\x7f\n' * 1000, "x" * 50_000])
    @pytest.mark.parametrize("path", [None, "/v1/completions:create", "/v1/chat/completions"])
    async def test_an_error_fits_through_every_hop_whatever_the_provider_said(
        self, service: Running, text: str, path: str | None
    ) -> None:
        """A gRPC client takes 8 KiB of metadata without question."""
        service.openai.script(openai_errors.error(400, text, code=text))
        metadata = (("x-envoy-original-path", path),) if path else ()
        call = service.completions.CreateCompletion(asked(), metadata=metadata)
        found = await failure(call)
        assert found.reason == "PROVIDER_REJECTED"
        assert text[:20] in found.message
        trailers = await call.trailing_metadata()
        size = sum(
            len(key) + len(value) * (4 / 3 if key.endswith("-bin") else 1) + 32 for key, value in trailers
        )
        escaped = sum(
            1 if " " <= char <= "~" and char != "%" else 3 * len(char.encode()) for char in found.message
        )
        assert size + escaped < 8 * 1024

    async def test_many_bad_fields_fit_too(self, service: Running) -> None:
        request = asked()
        for _ in range(100):
            request.messages.add(role=message_pb2.ROLE_USER, name="語" * 300).content.add()
        found = await failure(service.completions.CreateCompletion(request))
        assert found.fields[0] == "messages[1].content[0]"

    async def test_a_field_of_the_wrong_kind_of_text_is_refused_by_the_message_itself(
        self, service: Running
    ) -> None:
        method = service.channel.unary_unary("/genai_spine.v1.CompletionService/CreateCompletion")
        for broken in (b"\x12\x03\xff\xfe\xfd", b"\xff" * 50, b"\x1a\x05\x08"):
            found = await failure(method(broken))
            assert (found.code, found.reason, found.metadata["field"]) == (
                INVALID,
                "INVALID_REQUEST",
                "body",
            )
        assert (await service.completions.CreateCompletion(asked())).choices


class TestFuzz:
    @settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.binary(max_size=80))
    async def test_arbitrary_messages_are_answered_or_refused(self, service: Running, raw: bytes) -> None:
        request = pb.CreateCompletionRequest(model="builtin:extractive")
        try:
            request.MergeFromString(raw)
        except Exception:
            return  # no message at all
        code, details = await _outcome(service.completions.CreateCompletion(request))
        assert code in (grpc.StatusCode.OK, INVALID, grpc.StatusCode.NOT_FOUND), details
        assert "Traceback" not in details


async def _outcome(call: Any) -> tuple[grpc.StatusCode, str]:
    return await call.code(), await call.details() or ""


class TestOurOwnFaults:
    @pytest.mark.parametrize("method", ["CreateCompletion", "StreamCompletion"])
    async def test_a_fault_of_ours_tells_its_cause_to_the_log_only(
        self, service: Running, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object, **__: object) -> bytes:
            raise RuntimeError("a secret of the service")

        monkeypatch.setattr("genai_spine.providers.openai.adapter.chat.write_request", broken)
        call = getattr(service.completions, method)(asked(), metadata=(("x-envoy-original-path", "/v1/x"),))
        found = await failure(call)
        assert (found.code, found.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
        everything = repr(await call.trailing_metadata()) + found.message
        assert "secret" not in everything
        assert "RuntimeError" not in everything
        [row] = await service.rows(found.request_id)
        assert (row.error_reason, row.error) == ("INTERNAL_ERROR", found.message)

    async def test_a_client_is_not_shown_the_key_that_the_provider_refused(self, service: Running) -> None:
        service.openai.script(openai_errors.invalid_key("sk-test-1"))
        call = service.completions.CreateCompletion(asked())
        found = await failure(call)
        assert found.reason == "PROVIDER_AUTHENTICATION"
        assert "Incorrect API key provided" in found.message
        assert "sk-test-1" not in found.message + repr(await call.trailing_metadata())
        [row] = await service.rows(found.request_id)
        assert "sk-test-1" not in row.error


async def test_the_server_is_well_after_all_of_this(service: Running) -> None:
    service.openai.script(Reply("well"))
    completion = await service.completions.CreateCompletion(
        pb.CreateCompletionRequest(model="gpt-4o", messages=[user("How are you?")])
    )
    assert completion.choices[0].message.content[0].text == "well"
    await service.idle()

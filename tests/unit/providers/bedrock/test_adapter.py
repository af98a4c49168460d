"""The Bedrock adapter: its calls, its errors, its lists, its embeddings."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.bedrock.adapter import Bedrock
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.direct import direct
from tests.unit.providers.http.raw_server import RawServer, response
from tests.upstreams import aws_wire
from tests.upstreams.bedrock import CLAUDE, NOVA, TITAN, BedrockUpstream
from tests.upstreams.reply import Reply, ToolCall, Usage

USER = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hi")])
FUNCTION = message_pb2.FunctionTool(name="weather", parameters_json='{"type":"object"}')
SCHEMA = '{"type":"object","properties":{"z":{"type":"integer"},"a":{"type":"string"}},"required":["z","a"]}'
PERSON = pb.ResponseFormat(json_schema=pb.JsonSchema(name="person", schema_json=SCHEMA))
OBJECT = pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT)


@pytest.fixture
async def up() -> AsyncIterator[BedrockUpstream]:
    async with BedrockUpstream() as upstream:
        yield upstream


@pytest.fixture
async def bedrock(up: BedrockUpstream) -> AsyncIterator[Bedrock]:
    made = at(up.url, further={"control_url": up.url})
    yield made
    await made.close()


def at(url: str, **fields: Any) -> Bedrock:
    timeouts = Timeouts(first_token_s=5, between_tokens_s=5)
    return Bedrock(Endpoint("bedrock", url, **{"api_key": aws_wire.BEARER, "timeouts": timeouts} | fields))


def chat(**fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(**{"model": NOVA, "messages": [USER]} | fields)


def embedding(model: str, *texts: str, **fields: Any) -> pb.CreateEmbeddingsRequest:
    inputs = [pb.EmbeddingInput(text=text) for text in texts]
    return pb.CreateEmbeddingsRequest(model=model, inputs=inputs, **fields)


async def failure(bedrock: Bedrock, request: pb.CreateCompletionRequest | None = None) -> errors.SpineError:
    with pytest.raises(errors.SpineError) as raised:
        await direct(bedrock).complete(request or chat(), Call())
    return raised.value


async def listen(bedrock: Bedrock, heard: list[pb.CompletionChunk]) -> None:
    async for chunk in direct(bedrock).stream(chat(), Call()):
        heard.append(chunk)


class TestBedrockAddresses:
    def test_region_is_part_of_the_default_addresses(self) -> None:
        url = "https://bedrock-runtime.{region}.amazonaws.com"
        assert at(url).endpoint.base_url == "https://bedrock-runtime.us-east-1.amazonaws.com"
        found = at(url, further={"region": "eu-central-1"})
        assert found.endpoint.base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"

    async def test_arn_is_one_segment_of_the_path(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
        await direct(bedrock).complete(chat(model=arn), Call())
        encoded = (
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0"
        )
        assert up.bill[0].raw_path == f"/model/{encoded}/converse"
        assert up.bill[0].model == arn

    @pytest.mark.usefixtures("aws_credentials")
    async def test_path_in_front_is_signed_with_it(self, up: BedrockUpstream) -> None:
        """A proxy may serve Bedrock below a path: what is sent is what is signed."""
        up.session_token = aws_wire.SESSION_TOKEN
        proxied = at(f"{up.url}/model/below/", api_key=None)
        await direct(proxied).complete(chat(), Call())
        await proxied.close()
        assert up.bill[0].raw_path == "/model/below/model/amazon.nova-lite-v1%3A0/converse"
        assert up.bill[0].status == 200

    @pytest.mark.usefixtures("aws_credentials")
    @pytest.mark.parametrize("secret", ["right", "wrong"])
    async def test_signature_counts(self, up: BedrockUpstream, monkeypatch: Any, secret: str) -> None:
        up.session_token = aws_wire.SESSION_TOKEN
        if secret == "wrong":
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        signing = at(up.url, api_key=None, further={"control_url": up.url})
        if secret == "right":
            await direct(signing).complete(chat(messages=[USER], max_tokens=5), Call())
            await fold(direct(signing).stream(chat(), Call()))
            await direct(signing).embed(embedding(TITAN, "one", "two"), Call())
            await signing.list_models()
        else:
            error = await failure(signing)
            assert type(error) is errors.ProviderAuthentication
            assert error.metadata["provider_code"] == "InvalidSignatureException"
        await signing.close()

    @pytest.mark.usefixtures("aws_credentials")
    async def test_expired_credentials_are_looked_up_again(
        self, up: BedrockUpstream, monkeypatch: Any
    ) -> None:
        up.session_token = aws_wire.SESSION_TOKEN
        signing = at(up.url, api_key=None)
        up.script(aws_wire.error(403, "ExpiredTokenException", "The security token has expired"))
        assert type(await failure(signing)) is errors.ProviderAuthentication
        up.session_token = "rotated"
        monkeypatch.setenv("AWS_SESSION_TOKEN", "rotated")
        await direct(signing).complete(chat(), Call())
        await signing.close()

    async def test_wrong_key_is_not_repeated_in_the_error(self, up: BedrockUpstream) -> None:
        wrong = at(up.url, api_key="bedrock-wrong")
        up.script(aws_wire.error(403, "AccessDeniedException", "no such key: bedrock-wrong"))
        assert "bedrock-wrong" not in str(await failure(wrong))
        await wrong.close()


ERRORS = [
    (429, "ThrottlingException", "Too many requests", errors.ProviderRateLimited),
    (400, "ServiceQuotaExceededException", "exceeds the service quota", errors.ProviderQuotaExceeded),
    (408, "ModelTimeoutException", "timed out", errors.ProviderUnavailable),
    (429, "ModelNotReadyException", "not ready", errors.ProviderUnavailable),
    (503, "ServiceUnavailableException", "down", errors.ProviderUnavailable),
    (500, "InternalServerException", "down", errors.ProviderUnavailable),
    (424, "ModelErrorException", "unexpected", errors.ProviderError),
    (424, "ModelStreamErrorException", "unexpected", errors.ProviderError),
    (400, "ValidationException", "Malformed input request", errors.ProviderRejected),
    (400, "ValidationException", "Input is too long for requested model.", errors.ContextLengthExceeded),
    (400, "ValidationException", "prompt is too long: 9 tokens > 8 maximum", errors.ContextLengthExceeded),
    (400, "ValidationException", "Output blocked by content filtering policy", errors.ContentFiltered),
    (400, "ValidationException", "The provided model identifier is invalid.", errors.ModelNotFound),
    (404, "ResourceNotFoundException", "reached the end of its life", errors.ModelNotFound),
    (403, "AccessDeniedException", "no access to the model", errors.ProviderAuthentication),
    (403, "ExpiredTokenException", "expired", errors.ProviderAuthentication),
    (403, "UnrecognizedClientException", "invalid", errors.ProviderAuthentication),
    (403, "SignatureDoesNotMatch", "does not match", errors.ProviderAuthentication),
]
# Of what stands in front of the service, without a name.
BARE = [
    (400, errors.ProviderRejected),
    (401, errors.ProviderAuthentication),
    (403, errors.ProviderAuthentication),
    (404, errors.ModelNotFound),
    (413, errors.ContextLengthExceeded),
    (429, errors.ProviderRateLimited),
    (502, errors.ProviderUnavailable),
    (301, errors.ProviderUnavailable),
]


class TestBedrockErrors:
    @pytest.mark.parametrize("way", ["whole", "streamed"])
    @pytest.mark.parametrize(("status", "name", "message", "kind"), ERRORS)
    async def test_exception_is_known_by_its_name(
        self, up: BedrockUpstream, bedrock: Bedrock, status: int, name: str, message: str, kind: Any, way: str
    ) -> None:
        up.script(aws_wire.error(status, name, message, **{"retry-after": "2"}))
        with pytest.raises(errors.SpineError) as raised:
            await (direct(bedrock).complete(chat(), Call()) if way == "whole" else listen(bedrock, []))
        error = raised.value
        assert type(error) is kind
        assert message in str(error)
        if kind is errors.ModelNotFound:
            assert error.metadata["model"] == NOVA
        else:
            assert (error.metadata["provider_code"], error.retry_after_s) == (name, 2.0)
        assert len(up.bill) == 1, "only inference tries again"

    @pytest.mark.parametrize(("status", "kind"), BARE)
    async def test_error_without_a_name_is_decided_by_the_status(
        self, up: BedrockUpstream, bedrock: Bedrock, status: int, kind: Any
    ) -> None:
        up.script(Reply(status=status, body="<html>no</html>", content_type="text/html"))
        assert type(await failure(bedrock)) is kind

    async def test_exception_before_the_first_word_leaves_no_chunk_behind(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        body = {"throttlingException": {"message": "slow"}}
        up.script(Reply("one", fault="error", after=1, body=body))
        heard: list[pb.CompletionChunk] = []
        with pytest.raises(errors.ProviderRateLimited):
            await listen(bedrock, heard)
        assert heard == []

    async def test_unknown_exception_can_be_tried_again(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        up.script(Reply("one", fault="error", after=1, body={"brandNewException": {"message": "what"}}))
        with pytest.raises(errors.ProviderUnavailable, match="what"):
            await listen(bedrock, [])

    async def test_broken_event_is_an_error_after_what_came_before(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        up.script(Reply(["one ", "two", "three"], fault="malformed", after=2))
        heard: list[pb.CompletionChunk] = []
        with pytest.raises(errors.ProviderError) as raised:
            await listen(bedrock, heard)
        assert raised.value.metadata["provider_code"] == "broken_event"
        assert "".join(chunk.choices[0].content for chunk in heard) == "one "

    @pytest.mark.parametrize("payload", [b'{"contentBlockIndex":0,', b"{}}", b"\xff"])
    async def test_event_that_is_no_json_is_an_error(self, payload: bytes) -> None:
        body = aws_wire.event("messageStart", {}) + aws_wire.event("contentBlockDelta", payload)
        async with RawServer(response(body)) as server:
            broken = at(server.url)
            with pytest.raises(errors.ProviderError) as raised:
                await listen(broken, [])
            await broken.close()
        assert raised.value.metadata["provider_code"] == "invalid_json"

    @pytest.mark.parametrize("reason", ["malformed_tool_use", "malformed_model_output"])
    async def test_answer_that_the_model_spoilt_is_an_error_and_counted(
        self, up: BedrockUpstream, bedrock: Bedrock, reason: str
    ) -> None:
        up.default = Reply("{", finish_reason=reason)
        error = await failure(bedrock)
        assert type(error) is errors.ProviderError
        assert error.metadata["provider_code"] == reason
        heard: list[pb.CompletionChunk] = []
        with pytest.raises(errors.ProviderError):
            await listen(bedrock, heard)
        assert heard[-1].usage.output_tokens > 0

    async def test_after_the_end_of_the_message_nothing_is_cut(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        up.script(Reply(["one"], fault="reset", after=-1))  # all but the usage
        heard: list[pb.CompletionChunk] = []
        await listen(bedrock, heard)
        assert heard[-1].choices[0].finish_reason == pb.FINISH_REASON_STOP
        assert not any(chunk.HasField("usage") for chunk in heard)


class TestBedrockForms:
    """Answers of a given form from a model that takes no schema: a tool that it must call."""

    @pytest.mark.parametrize("form", [PERSON, OBJECT])
    async def test_tools_input_is_the_answer(
        self, up: BedrockUpstream, bedrock: Bedrock, form: pb.ResponseFormat
    ) -> None:
        asked = chat(response_format=form)
        direct(bedrock).check_options(asked)
        whole = await direct(bedrock).complete(asked, Call())
        streamed = await fold(direct(bedrock).stream(asked, Call()))
        for completion in (whole, streamed):
            [choice] = completion.choices
            assert choice.finish_reason == pb.FINISH_REASON_STOP
            assert not choice.message.tool_calls
            answer = json.loads(choice.message.content[0].text)
            assert answer == ({"z": 1, "a": "text"} if form is PERSON else {})
        config = up.bill[0].body["toolConfig"]
        assert config["toolChoice"] == {"tool": {"name": config["tools"][0]["toolSpec"]["name"]}}

    async def test_beside_the_callers_tools_it_calls_one_or_the_other(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        asked = chat(response_format=PERSON, tools=[message_pb2.Tool(function=FUNCTION)])
        up.script(Reply(tool_calls=[ToolCall("weather", '{"a":1}', id="t")]))
        [choice] = (await direct(bedrock).complete(asked, Call())).choices
        assert choice.finish_reason == pb.FINISH_REASON_TOOL_CALLS
        assert choice.message.tool_calls[0].function.name == "weather"
        assert up.bill[0].body["toolConfig"]["toolChoice"] == {"any": {}}

    async def test_numbers_and_order_of_the_answer_are_kept(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        exact = '{"z":12345678901234567890,"a":1.0}'
        up.default = Reply(tool_calls=[ToolCall("give_answer", exact, id="t")])
        asked = chat(response_format=PERSON)
        for completion in (
            await direct(bedrock).complete(asked, Call()),
            await fold(direct(bedrock).stream(asked, Call())),
        ):
            assert completion.choices[0].message.content[0].text == exact

    async def test_call_that_is_demanded_needs_no_form(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        choice = message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED)
        asked = chat(response_format=PERSON, tools=[message_pb2.Tool(function=FUNCTION)], tool_choice=choice)
        await direct(bedrock).complete(asked, Call())
        assert [tool["toolSpec"]["name"] for tool in up.bill[0].body["toolConfig"]["tools"]] == ["weather"]


class TestBedrockRefusals:
    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"top_k": 5, "model": "meta.llama3-70b-instruct-v1:0"}, "top_k"),
            ({"reasoning_effort": pb.REASONING_EFFORT_LOW}, "reasoning_effort"),
            ({"reasoning_max_tokens": 2000}, "reasoning_max_tokens"),
            ({"seed": 1}, "seed"),
            ({"messages": [], "prompt": pb.TextPrompt(text="x", suffix="y")}, "prompt.suffix"),
            (
                {"tools": [message_pb2.Tool(function=message_pb2.FunctionTool(name="f", strict=True))]},
                "tools[0].function.strict",
            ),
            (
                {
                    "model": "anthropic.claude-3-7-sonnet-20250219-v1:0",
                    "reasoning_max_tokens": 2000,
                    "response_format": PERSON,
                },
                "response_format",
            ),
        ],
    )
    def test_option_that_a_model_cannot_honour_is_refused_by_name(
        self, fields: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(errors.UnsupportedOption) as raised:
            direct(at("http://x")).check_options(chat(**fields))
        assert raised.value.metadata["field"] == field

    def test_temperature_above_bedrocks_is_a_bad_field(self) -> None:
        with pytest.raises(errors.InvalidFields, match=r"temperature: must be at most 1\.0"):
            direct(at("http://x")).check_options(chat(temperature=1.5))


class TestBedrockEmbeddings:
    async def test_titan_is_asked_for_each_text_and_a_few_at_once(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        up.default = Reply(fault="stall")
        task = asyncio.create_task(
            direct(bedrock).embed(embedding(TITAN, *(f"t{n}" for n in range(20))), Call())
        )
        await up.bill.until(lambda bill: len(bill) == 8)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await up.bill.until(lambda bill: all(entry.disconnected for entry in bill))
        assert len(up.bill) == 8

    async def test_counts_are_added_up(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        up.default = Reply(usage=Usage(prompt_tokens=7))
        found = await direct(bedrock).embed(embedding(TITAN, "a", "b", "c"), Call())
        assert (found.usage.input_tokens, len(found.embeddings)) == (21, 3)
        up.default = Reply(omit_usage=True)
        assert not (await direct(bedrock).embed(embedding(TITAN, "a"), Call())).HasField("usage")

    async def test_embeddings_end_with_the_first_failure(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        up.script(*[Reply(fault="stall")] * 3, aws_wire.error(429, "ThrottlingException", "slow"))
        with pytest.raises(errors.ProviderRateLimited):
            await direct(bedrock).embed(embedding(TITAN, "a", "b", "c", "d"), Call())
        await up.bill.until(lambda bill: sum(entry.disconnected for entry in bill) == 3)

    async def test_cohere_takes_96_texts_in_a_call(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        texts = [f"text {number}" for number in range(100)]
        model = "cohere.embed-english-v3"
        found = await direct(bedrock).embed(embedding(model, *texts), Call())
        assert sorted(len(entry.body["texts"]) for entry in up.bill) == [4, 96]
        assert {entry.body["input_type"] for entry in up.bill} == {"search_document"}
        assert [entry.index for entry in found.embeddings] == list(range(100))
        again = await direct(bedrock).embed(embedding(model, texts[98]), Call())
        assert list(found.embeddings[98].values) == list(again.embeddings[0].values)

    async def test_callers_own_fields_reach_it(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        own = '{"input_type":"search_query","embedding_types":["float"],"texts":["not this"]}'
        asked = embedding("cohere.embed-v4:0", "one", dimensions=512, provider_options_json=own)
        found = await direct(bedrock).embed(asked, Call())
        assert len(found.embeddings[0].values) == 512
        body = up.bill[0].body
        assert (body["input_type"], body["texts"]) == ("search_query", ["one"])
        await direct(bedrock).embed(
            embedding(TITAN, "x", provider_options_json='{"normalize":false}'), Call()
        )
        assert up.bill[1].body == {"inputText": "x", "normalize": False}

    @pytest.mark.parametrize(
        "model", ["amazon.titan-embed-text-v1", "cohere.embed-english-v3", "cohere.embed-multilingual-v3"]
    )
    async def test_vectors_of_one_length_cannot_be_asked_for_another(
        self, bedrock: Bedrock, model: str
    ) -> None:
        with pytest.raises(errors.UnsupportedOption, match="dimensions"):
            await direct(bedrock).embed(embedding(model, "x", dimensions=256), Call())
        assert (await direct(bedrock).embed(embedding(model, "x"), Call())).embeddings[0].values

    async def test_token_ids_are_refused(self, bedrock: Bedrock) -> None:
        asked = pb.CreateEmbeddingsRequest(
            model=TITAN, inputs=[pb.EmbeddingInput(tokens=pb.TokenList(tokens=[1]))]
        )
        with pytest.raises(errors.UnsupportedOption, match="token ids"):
            await direct(bedrock).embed(asked, Call())

    async def test_missing_vector_is_an_error(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        up.script(Reply(body={"embeddings": [[1.0]]}))
        with pytest.raises(errors.ProviderError, match="1 embeddings for 2 inputs"):
            await direct(bedrock).embed(embedding("cohere.embed-v4:0", "a", "b"), Call())


class TestBedrockModels:
    async def test_models_and_profiles_say_what_they_can(self, bedrock: Bedrock) -> None:
        models = {model.id: model for model in await bedrock.list_models()}
        assert list(models[NOVA].capabilities) == ["chat", "vision"]
        assert list(models[TITAN].capabilities) == ["embeddings"]
        assert (models[NOVA].supports_streaming, models[TITAN].supports_streaming) == (True, False)
        profile = models[CLAUDE]
        assert (profile.owned_by, list(profile.capabilities)) == ("Anthropic", ["chat", "vision"])
        assert CLAUDE.removeprefix("us.") not in models, "it is called by its profile only"

    async def test_accounts_own_profile_is_called_by_its_arn(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"
        own = {"inferenceProfileId": "x", "inferenceProfileArn": arn, "type": "APPLICATION"}
        up.script(Reply(body={"inferenceProfileSummaries": [own]}), on="/inference-profiles")
        assert [model.id for model in await bedrock.list_models()] == [NOVA, TITAN, arn]

    async def test_list_without_an_end_is_an_error(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        up.defaults["/inference-profiles"] = Reply(body={"inferenceProfileSummaries": [], "nextToken": "="})
        with pytest.raises(errors.ProviderError, match="pages"):
            await bedrock.list_models()
        assert len(up.bill) == 51

    async def test_who_may_not_list_models_is_well_all_the_same(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        said = "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:ListFoundationModels"
        up.script(aws_wire.error(403, "AccessDeniedException", said), on="/foundation-models")
        await bedrock.health()
        said = "Authentication failed: Please make sure your API Key is valid."
        up.script(aws_wire.error(403, "AccessDeniedException", said), on="/foundation-models")
        with pytest.raises(errors.ProviderAuthentication):
            await bedrock.health()

    async def test_tokens_are_counted_by_the_model_behind_a_profile(
        self, up: BedrockUpstream, bedrock: Bedrock
    ) -> None:
        asked = chat(model=CLAUDE, temperature=0.5)
        counted = await direct(bedrock).count_tokens(asked, Call())
        assert counted == (await direct(bedrock).complete(asked, Call())).usage.input_tokens
        assert up.bill[0].body == {"input": {"converse": {"messages": up.bill[1].body["messages"]}}}
        assert len(up.bill.calls) == 1, "a count is no billed call"

    async def test_model_that_is_not_counted_for_is_told_apart(self, bedrock: Bedrock) -> None:
        with pytest.raises(errors.UnsupportedOperation, match="counting of tokens"):
            await direct(bedrock).count_tokens(chat(), Call())


class TestBedrockMany:
    async def test_many_streams_run_side_by_side(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        """None of them ends before all have begun to speak, so one that blocks would block them all."""
        up.default = Reply(["one ", "two"], fault="stall", after=2)
        streams = [direct(bedrock).stream(chat(), Call()) for _ in range(100)]
        async with asyncio.timeout(30):
            first = await asyncio.gather(*(anext(stream) for stream in streams))
        assert {chunk.choices[0].content for chunk in first} == {"one "}
        for stream in streams:
            await stream.aclose()
        await up.bill.until(lambda bill: all(entry.disconnected for entry in bill))

    async def test_caller_that_leaves_hangs_up(self, up: BedrockUpstream, bedrock: Bedrock) -> None:
        up.default = Reply(["one ", "two"], fault="stall", after=2)
        stream = direct(bedrock).stream(chat(), Call())
        await anext(stream)
        await stream.aclose()
        await up.bill.until(lambda bill: bill[0].disconnected)

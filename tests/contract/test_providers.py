"""Every provider of the registry keeps the same promises, whatever its upstream speaks."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.errors import UnsupportedOption
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import ALWAYS, Endpoint, Provider
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2
from tests.contract import bedrock_options, options
from tests.contract.options import SAMPLES, said
from tests.contract.spoken import BRIDGED, DEPLOYED, PROMISING, SPOKEN, VARIANTS, Spoken, folded, spoken_by
from tests.direct import direct
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.bedrock import BedrockUpstream
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.reply import Content, Reply, ToolCall, Usage
from tests.upstreams.samples import IMAGE_TOKENS, count_tokens

TEXT = ["Hé", "llo", " 🙂", "日本", " <&> \n", '"quoted"']


def _adapter(name: str) -> Provider:
    return PROVIDERS[VARIANTS[name].row if name in VARIANTS else name].make(_endpoint())


def _endpoint() -> Endpoint:
    return Endpoint("any", "http://127.0.0.1:9")


EMBEDDING = [name for name in PROMISING if type(_adapter(name)).embed is not Provider.embed]
MANY = [name for name in SPOKEN if name != BRIDGED and "choice_count" in _adapter(name).options]


def said_alike(completion: pb.Completion) -> pb.Completion:
    """Without what differs between two calls."""
    alike = pb.Completion()
    alike.CopyFrom(completion)
    alike.ClearField("id")
    alike.ClearField("create_time")
    alike.usage.ClearField("reported_json")  # as it came, down to the spaces
    return alike


def replies() -> Iterator[Any]:
    weather = ToolCall("weather", ['{"ci', 'ty": "Ulm"}'], id="a")
    yield pytest.param(Reply(TEXT), id="text")
    yield pytest.param(Reply(TEXT, reasoning=["hm, ", "well"]), id="reasoning")
    yield pytest.param(Reply(tool_calls=[weather]), id="tool call")
    yield pytest.param(
        Reply("Let me see", tool_calls=[weather, ToolCall("time", id="b")]), id="parallel calls"
    )
    yield pytest.param(Reply(TEXT, finish_reason="length"), id="length")
    yield pytest.param(Reply(TEXT, usage=Usage(prompt_tokens=900, completion_tokens=70)), id="usage")
    yield pytest.param(Reply(""), id="nothing said")


class TestAnswers:
    @spoken_by(*SPOKEN)
    @pytest.mark.parametrize("reply", list(replies()))
    async def test_a_stream_adds_up_to_the_whole_answer(self, spoken: Spoken, reply: Reply) -> None:
        spoken.up.default = reply
        whole = await spoken.whole(spoken.request())
        assert said_alike(await folded(await spoken.chunks(spoken.request()))) == said_alike(whole)
        if isinstance(reply.text, list) and not reply.tool_calls:
            assert whole.choices[0].message.content[0].text == "".join(TEXT)

    async def test_an_unscripted_stream_adds_up_too(self, spoken: Spoken) -> None:
        whole = await spoken.whole(spoken.request())
        assert said_alike(await folded(await spoken.chunks(spoken.request()))) == said_alike(whole)
        assert whole.choices[0].message.content[0].text
        assert whole.choices[0].finish_reason == pb.FINISH_REASON_STOP
        assert whole.model == spoken.model

    async def test_usage_is_reported_in_buckets_that_add_up(self, spoken: Spoken) -> None:
        for usage in (
            (await spoken.whole(spoken.request())).usage,
            (await folded(await spoken.chunks(spoken.request()))).usage,
        ):
            reported = spoken.upstream is not None
            assert usage.input_tokens == usage.uncached_input_tokens > 0
            assert usage.output_tokens == usage.visible_output_tokens > 0
            assert usage.total_tokens == usage.input_tokens + usage.output_tokens
            assert {usage.input_provenance, usage.output_provenance} == {
                usage_pb2.PROVENANCE_PROVIDER_REPORTED
            }
            if reported:
                assert usage.input_tokens == spoken.up.bill[-1].prompt_tokens

    @spoken_by(*MANY)
    async def test_choices_are_kept_apart(self, spoken: Spoken) -> None:
        spoken.up.default = Reply(choices=[Content(["a", "b"]), Content(["c", "d"])])
        asked = spoken.request(choice_count=2)
        for completion in (await spoken.whole(asked), await folded(await spoken.chunks(asked))):
            assert [choice.index for choice in completion.choices] == [0, 1]
            assert [choice.message.content[0].text for choice in completion.choices] == ["ab", "cd"]

    @spoken_by("openai", "ollama", "anthropic", "bedrock", BRIDGED, DEPLOYED)
    async def test_parallel_tool_calls_have_ids_names_and_whole_arguments(self, spoken: Spoken) -> None:
        calls = [
            ToolCall("weather", '{"city":"Ülm"}', id="a"),
            ToolCall("time", '{"zone":1}', id="b"),
            ToolCall("stop", id="c"),
        ]
        spoken.up.default = Reply(tool_calls=calls)
        asked = spoken.request(tools=SAMPLES["tools"].fields["tools"])
        for completion in (await spoken.whole(asked), await folded(await spoken.chunks(asked))):
            choice = completion.choices[0]
            found = [(call.id, call.function.name) for call in choice.message.tool_calls]
            assert found == [("a", "weather"), ("b", "time"), ("c", "stop")]
            arguments = [call.function.arguments_json.replace(" ", "") for call in choice.message.tool_calls]
            assert arguments == ['{"city":"Ülm"}', '{"zone":1}', "{}"]
            assert choice.finish_reason == pb.FINISH_REASON_TOOL_CALLS
            assert not choice.message.content

    @spoken_by("openai", "ollama", DEPLOYED)
    async def test_a_conversation_with_tools_goes_to_and_fro(self, spoken: Spoken) -> None:
        call = message_pb2.ToolCall(
            id="c1",
            function=message_pb2.FunctionCall(name="weather", arguments_json='{"n": 12345678901234567890}'),
        )
        messages = [
            message_pb2.Message(
                role=message_pb2.ROLE_DEVELOPER, content=[message_pb2.ContentPart(text="Be brief")]
            ),
            said(message_pb2.ContentPart(text="Weather?")),
            message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=[call]),
            message_pb2.Message(
                role=message_pb2.ROLE_TOOL, tool_call_id="c1", content=[message_pb2.ContentPart(text="sunny")]
            ),
        ]
        await spoken.whole(spoken.request(messages=messages, tools=SAMPLES["tools"].fields["tools"]))
        entry = spoken.up.bill[-1]
        assert entry.status == 200
        assert "12345678901234567890" in entry.raw
        assert [message["role"] for message in entry.body["messages"]][1:] == ["user", "assistant", "tool"]
        last = entry.body["messages"][-1]
        assert last["content"] == "sunny"
        assert last.get("tool_call_id", last.get("tool_name")) in ("c1", "weather")

    @spoken_by("openai", "ollama", "anthropic", "bedrock", BRIDGED, DEPLOYED)
    async def test_an_image_reaches_the_model(self, spoken: Spoken) -> None:
        asked = options.request("messages.image", spoken.model)
        asked.messages[0].content.add(text="What is it?")
        completion = await spoken.whole(asked)
        assert completion.usage.input_tokens == IMAGE_TOKENS + count_tokens("What is it?")


class TestArrival:
    @spoken_by("openai", "ollama", "anthropic", "bedrock", BRIDGED, DEPLOYED)
    async def test_what_arrives_together_leaves_together(self, spoken: Spoken) -> None:
        words = [f"w{number} " for number in range(300)]
        spoken.up.default = Reply(words, events_per_write=0)
        chunks = await spoken.chunks(spoken.request())
        assert spoken.up.bill[-1].chunks > 300
        assert len(chunks) < 30
        assert (await folded(chunks)).choices[0].message.content[0].text == "".join(words)

    @spoken_by("openai", "ollama", "anthropic", "bedrock")
    async def test_what_arrives_alone_is_not_held_back(self, spoken: Spoken) -> None:
        spoken.up.default = Reply(["a", "b", "c"], fault="stall", after=3)
        stream = direct(spoken.provider).stream(spoken.request(), Call())
        seen = ""
        async with asyncio.timeout(20):
            while "b" not in seen:
                chunk = await anext(stream)
                seen += "".join(delta.content for delta in chunk.choices)
        await stream.aclose()  # type: ignore[attr-defined]
        await spoken.up.bill.until(lambda bill: bill[-1].disconnected)

    @spoken_by("openai", "ollama", "anthropic", "bedrock", BRIDGED, DEPLOYED)
    @pytest.mark.parametrize("pace", [{"bytes_per_write": 1}, {"bytes_per_write": 7, "line_end": "\r\n"}])
    async def test_no_text_is_lost_however_the_bytes_are_cut(self, spoken: Spoken, pace: Any) -> None:
        call = ToolCall("weather", ['{"city": "Ü', 'lm"}'], id="a")
        reply = Reply(TEXT, tool_calls=[call], reasoning="häm", **pace)
        spoken.up.default = reply
        whole = await folded(await spoken.chunks(spoken.request()))
        message = whole.choices[0].message
        assert (message.content[0].text, message.reasoning) == ("".join(TEXT), "häm")
        assert message.tool_calls[0].function.arguments_json.replace(" ", "") == '{"city":"Ülm"}'
        assert whole.usage.output_tokens == spoken.up.bill[-1].completion_tokens


class TestOptions:
    def test_every_field_of_the_request_has_a_sample(self) -> None:
        fields = {field.name for field in pb.CreateCompletionRequest.DESCRIPTOR.fields} - ALWAYS
        assert fields == {name for name in SAMPLES if "." not in name}
        parts = {name for row in PROVIDERS.values() for name in row.make(_endpoint()).options if "." in name}
        assert parts == {name for name in SAMPLES if "." in name}

    @pytest.mark.parametrize("field", SAMPLES)
    async def test_an_option_reaches_the_upstream_or_is_refused(self, spoken: Spoken, field: str) -> None:
        asked = options.request(field, spoken.model)
        needed = [name for name in (field, *SAMPLES[field].fields) if name in SAMPLES]
        no_schema = spoken.upstream is None and field == "response_format"
        if field in ("choice_count", "response_format") and field not in spoken.options:
            direct(spoken.provider).check_options(
                asked
            )  # inference asks several times, or says the schema in words
            return
        if no_schema or not all(name in spoken.options for name in needed):
            with pytest.raises(UnsupportedOption) as refusal:
                direct(spoken.provider).check_options(asked)
            assert refusal.value.metadata["provider"] == spoken.provider.name
            assert (
                refusal.value.metadata["field"].replace("[", ".").partition(".")[0] in SAMPLES[field].fields
            )
            return
        if isinstance(spoken.upstream, BedrockUpstream):
            bedrock_options.adapted(asked)
        direct(spoken.provider).check_options(asked)
        await spoken.whole(asked)
        await spoken.chunks(asked)
        ask, expected = options.asked_of_openai, SAMPLES[field].sent
        if isinstance(spoken.upstream, OllamaUpstream):
            ask, expected = options.asked_of_ollama, SAMPLES[field].ollama or expected
        elif isinstance(spoken.upstream, AnthropicUpstream):
            ask, expected = options.asked_of_anthropic, options.ANTHROPIC.get(field, expected)
        elif isinstance(spoken.upstream, BedrockUpstream):
            ask, expected = bedrock_options.asked, bedrock_options.SENT[field]
        elif spoken.model == "o3-pro":
            ask, expected = options.asked_of_responses, SAMPLES[field].responses or expected
        # What builtin, which has no upstream, makes of its options is told in its own tests.
        asking = [entry for entry in spoken.up.bill if entry.path != "/api/show"] if spoken.upstream else []
        assert asking or not spoken.upstream
        for entry in asking:
            assert entry.status == 200, entry.body
            assert ask(entry, field, spoken.options[field]) == expected

    async def test_what_every_upstream_does_anyway_is_never_refused(self, spoken: Spoken) -> None:
        asked = spoken.request(
            choice_count=1,
            logprobs=False,
            presence_penalty=0,
            frequency_penalty=0,
            parallel_tool_calls=True,
            tool_choice=message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_AUTO),
            response_format=pb.ResponseFormat(kind=pb.ResponseFormat.KIND_TEXT),
        )
        direct(spoken.provider).check_options(asked)

    @spoken_by(*SPOKEN)
    async def test_fields_of_the_providers_own_reach_it_unchanged(self, spoken: Spoken) -> None:
        own = '{"metadata":{"z":1,"a":12345678901234567890,"b":1.0},"store":true}'
        asked = spoken.request(provider_options_json=own)
        if spoken.provider.name == "anthropic":
            spoken.up.strict = False  # these fields are OpenAI's
        await spoken.whole(asked)
        await spoken.chunks(asked)
        for entry in spoken.up.bill:
            assert '"metadata":{"z":1,"a":12345678901234567890,"b":1.0},"store":true' in entry.raw

    @spoken_by(*SPOKEN)
    async def test_fields_of_the_providers_own_do_not_turn_an_answer_into_a_stream(
        self, spoken: Spoken
    ) -> None:
        own = '{"stream":true,"stream_options":{"include_usage":true},"model":"other"}'
        if spoken.provider.name == "anthropic":
            spoken.up.strict = False  # stream_options are OpenAI's
        completion = await spoken.whole(spoken.request(provider_options_json=own))
        assert completion.model == spoken.model


class TestModels:
    async def test_models_are_listed_by_their_own_names(self, spoken: Spoken) -> None:
        models = await spoken.provider.list_models()
        names = [model.id for model in models]
        if spoken.upstream is not None:
            assert names == list(spoken.upstream.models)  # type: ignore[attr-defined]
            assert all(model.create_time.seconds > 1_000_000_000 for model in models)
            assert spoken.up.bill.calls == [], "a list is no billed call"
        assert spoken.model in names or spoken.provider.name == "ollama"

    async def test_health_is_asked_without_a_billed_call(self, spoken: Spoken) -> None:
        await spoken.provider.health()
        assert spoken.upstream is None or spoken.up.bill.calls == []


class TestEmbeddings:
    @spoken_by(*EMBEDDING)
    async def test_vectors_come_in_the_order_of_the_inputs(self, spoken: Spoken) -> None:
        model = spoken.embedding_model
        inputs = [pb.EmbeddingInput(text=text) for text in ("one", "two", "one")]
        response = await direct(spoken.provider).embed(
            pb.CreateEmbeddingsRequest(model=model, inputs=inputs), Call()
        )
        assert [embedding.index for embedding in response.embeddings] == [0, 1, 2]
        first, second, third = (list(embedding.values) for embedding in response.embeddings)
        assert first == third != second
        assert sum(value * value for value in first) == pytest.approx(1, abs=1e-4)
        usage = response.usage
        assert usage.input_tokens == usage.total_tokens == usage.uncached_input_tokens > 0
        assert usage.input_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
        assert response.model == model

    @spoken_by(*EMBEDDING)
    async def test_dimensions_are_honoured(self, spoken: Spoken) -> None:
        model = spoken.embedding_model
        asked = pb.CreateEmbeddingsRequest(model=model, inputs=[pb.EmbeddingInput(text="x")], dimensions=256)
        response = await direct(spoken.provider).embed(asked, Call())
        assert len(response.embeddings[0].values) == 256

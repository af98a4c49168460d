"""The Ollama adapter: its own names, its own shapes, and what it leaves out."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.errors import (
    InvalidFields,
    ModelNotFound,
    ProviderError,
    ProviderUnavailable,
    SpineError,
    UnsupportedOption,
)
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.ollama.adapter import MAX_CONCURRENT_SHOWS, Ollama
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2
from tests.direct import direct
from tests.unit.providers.http.raw_server import RawServer, response
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.reply import Reply, ToolCall, Usage

USER = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hi")])


@pytest.fixture
async def up() -> AsyncIterator[OllamaUpstream]:
    async with OllamaUpstream() as upstream:
        yield upstream


@pytest.fixture
async def ollama(up: OllamaUpstream) -> AsyncIterator[Ollama]:
    made = at(up.url)
    yield made
    await made.close()


def at(url: str) -> Ollama:
    return Ollama(Endpoint("ollama", url, timeouts=Timeouts(first_token_s=1, between_tokens_s=1)))


def chat(**fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(**{"model": "some", "messages": [USER], **fields})


def image(url: str) -> pb.CreateCompletionRequest:
    part = message_pb2.ContentPart(image=message_pb2.ImagePart(url=url))
    return chat(
        messages=[
            message_pb2.Message(
                role=message_pb2.ROLE_USER, content=[part, message_pb2.ContentPart(text="What?")]
            )
        ]
    )


class TestOllamaRequests:
    async def test_options_stand_beside_the_callers_own(self, up: OllamaUpstream, ollama: Ollama) -> None:
        own = '{"keep_alive":"5m","options":{"num_ctx":8192,"temperature":1}}'
        asked = chat(temperature=0.5, max_tokens=9, stop_sequences=["x"], provider_options_json=own)
        await direct(ollama).complete(asked, Call())
        assert up.bill[0].body == {
            "keep_alive": "5m",
            "truncate": False,
            "options": {"num_ctx": 8192, "temperature": 0.5, "num_predict": 9, "stop": ["x"]},
            "model": "some",
            "stream": False,
            "messages": [{"role": "user", "content": "Hi"}],
        }

    async def test_own_options_that_are_no_object_are_refused(self, ollama: Ollama) -> None:
        with pytest.raises(InvalidFields, match="provider_options_json"):
            await direct(ollama).complete(chat(provider_options_json='{"options":[1]}'), Call())

    @pytest.mark.parametrize(
        ("form", "sent"),
        [
            (pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT), "json"),
            (pb.ResponseFormat(kind=pb.ResponseFormat.KIND_TEXT), None),
            (
                pb.ResponseFormat(json_schema=pb.JsonSchema(name="x", schema_json='{"b":1,"a":2}')),
                {"b": 1, "a": 2},
            ),
        ],
    )
    async def test_forms_of_the_answer(
        self, up: OllamaUpstream, ollama: Ollama, form: pb.ResponseFormat, sent: Any
    ) -> None:
        await direct(ollama).complete(chat(response_format=form), Call())
        assert up.bill[0].body.get("format") == sent

    @pytest.mark.parametrize(
        ("effort", "think"),
        [
            ("NONE", False),
            ("MINIMAL", "low"),
            ("LOW", "low"),
            ("MEDIUM", "medium"),
            ("HIGH", "high"),
            ("XHIGH", "max"),
        ],
    )
    async def test_reasoning_effort_is_think(
        self, up: OllamaUpstream, ollama: Ollama, effort: str, think: Any
    ) -> None:
        await direct(ollama).complete(chat(reasoning_effort=f"REASONING_EFFORT_{effort}"), Call())
        assert up.bill[0].body["think"] == think

    async def test_images_go_out_as_bare_base64(self, up: OllamaUpstream, ollama: Ollama) -> None:
        packed = base64.b64encode(b"\x89PNG").decode()
        await direct(ollama).complete(image(f"data:image/png;base64,{packed}"), Call())
        [asked] = up.bill.calls
        assert asked.body["messages"] == [{"role": "user", "content": "What?", "images": [packed]}]

    async def test_image_elsewhere_is_refused_because_ollama_fetches_none(self, ollama: Ollama) -> None:
        with pytest.raises(UnsupportedOption, match="send the image itself"):
            await direct(ollama).complete(image("https://example.com/a.png"), Call())

    async def test_arguments_that_are_no_object_are_refused(self, ollama: Ollama) -> None:
        for arguments in ("{bad", "[1]", "null"):
            call = message_pb2.ToolCall(
                id="c", function=message_pb2.FunctionCall(name="f", arguments_json=arguments)
            )
            messages = [USER, message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=[call])]
            with pytest.raises(InvalidFields, match="arguments"):
                await direct(ollama).complete(chat(messages=messages), Call())

    @pytest.mark.parametrize(
        "prompt", [pb.TextPrompt(text="a", suffix="b"), pb.TextPrompt(text="a", best_of=2)]
    )
    async def test_prompts_are_plain_text(self, ollama: Ollama, prompt: pb.TextPrompt) -> None:
        with pytest.raises(UnsupportedOption):
            await direct(ollama).complete(pb.CreateCompletionRequest(model="some", prompt=prompt), Call())

    async def test_text_prompt_is_a_user_message(self, up: OllamaUpstream, ollama: Ollama) -> None:
        asked = pb.CreateCompletionRequest(model="some", prompt=pb.TextPrompt(text="Go on"))
        await direct(ollama).complete(asked, Call())
        assert up.bill[0].body["messages"] == [{"role": "user", "content": "Go on"}]

    async def test_token_ids_are_refused_for_embeddings(self, ollama: Ollama) -> None:
        inputs = [pb.EmbeddingInput(tokens=pb.TokenList(tokens=[1]))]
        with pytest.raises(UnsupportedOption, match="token ids"):
            await direct(ollama).embed(pb.CreateEmbeddingsRequest(model="some", inputs=inputs), Call())

    async def test_conversation_with_tools_keeps_ids_names_and_thinking(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        calls = [
            message_pb2.ToolCall(
                id=f"c{zone}",
                function=message_pb2.FunctionCall(name="time", arguments_json=f'{{"zone":{zone}}}'),
            )
            for zone in range(2)
        ]
        results = [
            message_pb2.Message(
                role=message_pb2.ROLE_TOOL,
                tool_call_id=call.id,
                content=[message_pb2.ContentPart(text="noon")],
            )
            for call in reversed(calls)
        ]
        answer = message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=calls, reasoning="hm")
        await direct(ollama).complete(chat(messages=[USER, answer, *results]), Call())
        _, said, *told = up.bill[0].body["messages"]
        assert said["thinking"] == "hm"
        assert [(call["id"], call["function"]["arguments"]) for call in said["tool_calls"]] == [
            ("c0", {"zone": 0}),
            ("c1", {"zone": 1}),
        ]
        assert [(result["tool_call_id"], result["tool_name"]) for result in told] == [
            ("c1", "time"),
            ("c0", "time"),
        ]

    async def test_keep_alive_goes_out_with_embeddings_too(self, up: OllamaUpstream, ollama: Ollama) -> None:
        inputs = [pb.EmbeddingInput(text="x")]
        asked = pb.CreateEmbeddingsRequest(model="e", inputs=inputs, provider_options_json='{"keep_alive":0}')
        await direct(ollama).embed(asked, Call())
        assert up.bill[0].body == {"model": "e", "input": ["x"], "keep_alive": 0, "truncate": False}


class TestOllamaAnswers:
    async def test_tokens_from_the_prompt_cache_are_counted_apart(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        up.default = Reply("a", usage=Usage(prompt_tokens=90, cached_tokens=60))
        for completion in (
            await direct(ollama).complete(chat(), Call()),
            await fold(direct(ollama).stream(chat(), Call())),
        ):
            usage = completion.usage
            assert (usage.input_tokens, usage.cache_read_tokens, usage.uncached_input_tokens) == (90, 60, 30)

    async def test_tool_calls_are_numbered_across_the_lines_of_a_stream(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        up.script(Reply("Let me see", tool_calls=[ToolCall("a", '{"x":1}'), ToolCall("b")], interval_s=0.005))
        chunks = [chunk async for chunk in direct(ollama).stream(chat(), Call())]
        calls = [call for chunk in chunks for delta in chunk.choices for call in delta.tool_calls]
        assert [(call.index, call.name) for call in calls] == [(0, "a"), (1, "b")]
        assert len({call.id for call in calls}) == 2
        assert chunks[-1].choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS

    async def test_cached_prompt_is_left_out_of_the_counts_and_so_not_known(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        up.default = Reply("a", usage=Usage(prompt_tokens=0))
        for completion in (
            await direct(ollama).complete(chat(), Call()),
            await fold(direct(ollama).stream(chat(), Call())),
        ):
            assert completion.usage.input_provenance == usage_pb2.PROVENANCE_UNKNOWN
            assert completion.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
            assert completion.usage.output_tokens == 1

    @pytest.mark.parametrize(
        "body",
        [{"done": True}, {"message": {"content": "a"}, "done": False}, {"message": {}, "eval_count": -1}],
    )
    async def test_answer_that_is_not_whole_is_an_error(self, body: Any) -> None:
        async with RawServer(response(json.dumps(body).encode())) as server:
            ollama = at(server.url)
            with pytest.raises(ProviderError):
                await direct(ollama).complete(chat(), Call())
            await ollama.close()
            await asyncio.sleep(0.001)

    async def test_models_have_the_time_of_their_tag(self, ollama: Ollama) -> None:
        models = {model.id: model for model in await ollama.list_models()}
        assert models["llama3.2:latest"].create_time.seconds == 1790856000
        assert models["llama3.2:latest"].owned_by == "ollama"


class TestOllamaModels:
    async def test_list_says_what_models_can_do(self, ollama: Ollama) -> None:
        models = {model.id: model for model in await ollama.list_models()}
        assert list(models["qwen3:8b"].capabilities) == ["chat", "tools", "reasoning"]
        assert models["llava:7b"].supports_vision
        assert not models["qwen3:8b"].supports_vision
        assert list(models["nomic-embed-text:latest"].capabilities) == ["embeddings"]
        assert models["llama3.2:latest"].context_length == 131072

    async def test_model_is_described_once_while_it_is_the_same(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        first = await ollama.list_models()
        up.models["phi4:latest"] = ["completion"]
        assert (await ollama.list_models())[: len(first)] == first
        shown = [entry.model for entry in up.bill if entry.path == "/api/show"]
        assert sorted(map(str, shown)) == sorted(up.models)
        del up.models["phi4:latest"]
        await ollama.list_models()
        assert len(ollama.details) == len(up.models)

    async def test_model_details_are_asked_for_a_few_at_a_time(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        up.models = {f"m{number}:latest": ["completion"] for number in range(9)}
        up.defaults["/api/show"] = Reply(headers_delay_s=0.1)
        assert len(await ollama.list_models()) == 9
        shows = [entry for entry in up.bill if entry.path == "/api/show"]
        at_once = [
            sum(other.started_at <= show.started_at < (other.ended_at or inf) for other in shows)
            for show in shows
        ]
        assert max(at_once) == MAX_CONCURRENT_SHOWS

    @pytest.mark.parametrize("reply", [Reply(status=500), Reply(body="<html>"), Reply(fault="reset")])
    async def test_description_that_fails_does_not_fail_the_list(
        self, up: OllamaUpstream, ollama: Ollama, reply: Reply
    ) -> None:
        up.defaults["/api/show"] = reply
        models = await ollama.list_models()
        assert [model.id for model in models] == list(up.models)
        assert not any(model.HasField("context_length") for model in models)
        up.defaults.clear()
        assert all(model.HasField("context_length") for model in await ollama.list_models())

    async def test_description_that_does_not_come_is_not_waited_for(
        self, up: OllamaUpstream, ollama: Ollama, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("genai_spine.providers.ollama.adapter.SHOW_TIMEOUT_S", 0.1)
        up.script(Reply(fault="stall"), on="/api/show")
        models = await ollama.list_models()
        assert [model.HasField("context_length") for model in models].count(False) == 1

    async def test_health_needs_no_descriptions(self, up: OllamaUpstream, ollama: Ollama) -> None:
        await ollama.health()
        assert [entry.path for entry in up.bill] == ["/api/tags"]


async def pulled(ollama: Ollama, model: str = "phi4") -> tuple[list[str], SpineError | None]:
    """The steps, and how it ended when it failed."""
    steps: list[str] = []
    try:
        async for step in ollama.pull(model, Call()):
            steps.append(step.status)
    except SpineError as error:
        return steps, error
    return steps, None


class TestOllamaPulls:
    async def test_model_that_was_pulled_is_there(self, up: OllamaUpstream, ollama: Ollama) -> None:
        steps, error = await pulled(ollama)
        assert error is None
        assert (steps[0], steps[-1]) == ("pulling manifest", "success")
        assert "phi4:latest" in [model.id for model in await ollama.list_models()]

    async def test_steps_of_one_part_that_came_together_are_one(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        up.script(Reply(events_per_write=0), on="/api/pull")
        steps = [step async for step in ollama.pull("phi4", Call())]
        parts = [step for step in steps if step.HasField("digest")]
        assert [step.completed_bytes for step in parts] == [5_000_000_000]
        assert parts[0].total_bytes == 5_000_000_000

    async def test_model_that_the_registry_does_not_have(self, up: OllamaUpstream, ollama: Ollama) -> None:
        up.unknown_models.add("phi5")
        steps, error = await pulled(ollama, "phi5")
        assert steps == ["pulling manifest"]
        assert type(error) is ModelNotFound
        assert "file does not exist" in str(error)
        assert "ollama pull" not in str(error)

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (Reply(status=500, body={"error": "pull model manifest: file does not exist"}), ModelNotFound),
            (Reply(status=500, body={"error": "disk full"}), ProviderUnavailable),
            (Reply(fault="error", after=2, body={"error": "max retries exceeded"}), ProviderUnavailable),
            (Reply(fault="truncate", after=2), ProviderError),
            (Reply(fault="reset", after=2), ProviderError),
            (Reply(fault="malformed", after=2), ProviderError),
            (Reply(fault="reset"), ProviderUnavailable),
        ],
    )
    async def test_pull_that_goes_wrong_raises_a_typed_error(
        self, up: OllamaUpstream, ollama: Ollama, reply: Reply, kind: type[SpineError]
    ) -> None:
        up.script(reply, on="/api/pull")
        steps, error = await pulled(ollama)
        assert type(error) is kind
        assert "success" not in steps

    async def test_who_leaves_a_pull_ends_it(self, up: OllamaUpstream, ollama: Ollama) -> None:
        up.script(Reply(fault="stall", after=1), on="/api/pull")
        pull = ollama.pull("phi4", Call())
        assert (await anext(pull)).status == "pulling manifest"
        await pull.aclose()
        await up.bill.until(lambda bill: bill[-1].disconnected)

    async def test_silence_while_it_checks_what_it_loaded_is_no_error(self, up: OllamaUpstream) -> None:
        hasty = Ollama(Endpoint("ollama", up.url, timeouts=Timeouts(first_token_s=1, between_tokens_s=0.05)))
        up.script(
            Reply(interval_s=0.1, extra={"steps": [{"status": "a"}, {"status": "success"}]}), on="/api/pull"
        )
        assert await pulled(hasty) == (["a", "success"], None)
        await hasty.close()

"""Our client and the official ones, given the same exchange, find the same in it.

The official packages are the oracle: what `openai` and `ollama` read from an answer is what it says.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import ollama
import openai
import pytest

from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.errors import ProviderFailure
from genai_spine.providers.wire_types import FINISH_REASONS
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2
from tests.contract.options import FUNCTION, FUNCTION_JSON
from tests.contract.spoken import Spoken, speaking
from tests.direct import direct
from tests.upstreams import openai_errors
from tests.upstreams.reply import Content, Reply, ToolCall, Usage

ASKED: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello, json"}]}
TEXT = ["Hé", "llo", " 🙂", "日本", " <&> \n"]
CALLS = [ToolCall("weather", ['{"city"', ':"Ulm"}'], id="a"), ToolCall("time", '{"zone":1}', id="b")]
COUNTS = Usage(
    prompt_tokens=900,
    completion_tokens=80,
    cached_tokens=512,
    prompt_audio_tokens=7,
    reasoning_tokens=30,
    completion_audio_tokens=3,
    accepted_prediction_tokens=2,
    rejected_prediction_tokens=1,
)
EXCHANGES: dict[str, tuple[Reply, dict[str, Any], dict[str, Any]]] = {  # reply, our fields, the SDK's
    "text": (Reply(TEXT, created=1763683200, id="chatcmpl-1", model="gpt-4o-2024-08-06"), {}, {}),
    "usage": (Reply(TEXT, usage=COUNTS), {}, {}),
    "length": (Reply(TEXT), {"max_tokens": 2}, {"max_completion_tokens": 2}),
    "stop": (Reply(TEXT), {"stop_sequences": ["llo"]}, {"stop": ["llo"]}),
    "tools": (
        Reply("Let me see", tool_calls=CALLS),
        {"tools": [message_pb2.Tool(function=FUNCTION)]},
        {"tools": [FUNCTION_JSON]},
    ),
    "only tools": (Reply(tool_calls=CALLS), {}, {}),
    "choices": (
        Reply(choices=[Content(["a", "b"]), Content(tool_calls=CALLS)]),
        {"choice_count": 2},
        {"n": 2},
    ),
    "refusal": (Reply(refusal=["I will ", "not"]), {}, {}),
    "reasoning": (Reply(TEXT, reasoning=["hm, ", "well"]), {}, {}),
    "logprobs": (
        Reply(TEXT),
        {"logprobs": True, "top_logprobs": 1},
        {"logprobs": True, "top_logprobs": 1},
    ),
    "filter": (Reply(TEXT, finish_reason="content_filter"), {}, {}),
    "bytes": (Reply(TEXT, tool_calls=CALLS, bytes_per_write=3, line_end="\r\n", comment="ping"), {}, {}),
}


@pytest.fixture
async def spoken() -> AsyncIterator[Spoken]:
    async with speaking("openai") as found:
        yield found


def ours(completion: pb.Completion) -> dict[str, Any]:
    """What a completion says, in plain values."""
    return {
        "id": completion.id,
        "created": completion.create_time.seconds,
        "model": completion.model,
        "fingerprint": completion.system_fingerprint,
        "tier": completion.service_tier,
        "usage": _our_usage(completion.usage),
        "choices": [_our_choice(choice) for choice in completion.choices],
    }


def _our_usage(usage: usage_pb2.Usage) -> dict[str, int]:
    return {
        "prompt": usage.input_tokens,
        "completion": usage.output_tokens,
        "total": usage.total_tokens,
        "cached": usage.cache_read_tokens,
        "audio in": usage.audio_input_tokens,
        "reasoning": usage.reasoning_tokens,
        "audio out": usage.audio_output_tokens,
        "accepted": usage.accepted_prediction_tokens,
        "rejected": usage.rejected_prediction_tokens,
    }


def _our_choice(choice: pb.Choice) -> dict[str, Any]:
    message = choice.message
    tokens = [
        (
            token.token,
            token.logprob,
            token.token_bytes,
            [(top.token, top.logprob) for top in token.top_logprobs],
        )
        for token in choice.logprobs.content
    ]
    return {
        "index": choice.index,
        "text": "".join(part.text for part in message.content),
        "refusal": "".join(part.refusal for part in message.content),
        "reasoning": message.reasoning,
        "calls": [(call.id, call.function.name, call.function.arguments_json) for call in message.tool_calls],
        "finish": choice.finish_reason,
        "logprobs": tokens,
    }


def theirs(answer: Any, usage: Any = None) -> dict[str, Any]:
    """What the SDK's object says; usage: where a stream had it elsewhere."""
    usage = usage or answer.usage
    given, made = usage.prompt_tokens_details, usage.completion_tokens_details
    return {
        "id": answer.id,
        "created": answer.created,
        "model": answer.model,
        "fingerprint": answer.system_fingerprint,
        "tier": answer.service_tier,
        "usage": {
            "prompt": usage.prompt_tokens,
            "completion": usage.completion_tokens,
            "total": usage.total_tokens,
            "cached": given.cached_tokens,
            "audio in": given.audio_tokens,
            "reasoning": made.reasoning_tokens,
            "audio out": made.audio_tokens,
            "accepted": made.accepted_prediction_tokens,
            "rejected": made.rejected_prediction_tokens,
        },
        "choices": [_their_choice(choice) for choice in answer.choices],
    }


def _their_choice(choice: Any) -> dict[str, Any]:
    message = choice.message
    tokens = [
        (
            token.token,
            token.logprob,
            bytes(token.bytes),
            [(top.token, top.logprob) for top in token.top_logprobs],
        )
        for token in (choice.logprobs.content if choice.logprobs else ())
    ]
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    return {
        "index": choice.index,
        "text": message.content or "",
        "refusal": message.refusal or "",
        "reasoning": getattr(message, "reasoning_content", ""),
        "calls": calls,
        "finish": FINISH_REASONS[choice.finish_reason],
        "logprobs": tokens,
    }


class TestOpenAI:
    @pytest.mark.parametrize("name", EXCHANGES)
    async def test_a_whole_answer(self, spoken: Spoken, sdk: Any, name: str) -> None:
        reply, fields, options = EXCHANGES[name]
        spoken.up.default = _fixed(reply)
        answer = await sdk.chat.completions.create(**ASKED, **options)
        assert ours(await spoken.whole(spoken.request("Hello, json", **fields))) == theirs(answer)
        assert spoken.up.bill[0].body == spoken.up.bill[1].body

    # Of an answer that was cut short, the SDK's stream raises instead of giving it.
    @pytest.mark.parametrize("name", [name for name in EXCHANGES if name not in ("length", "filter")])
    async def test_a_streamed_answer(self, spoken: Spoken, sdk: Any, name: str) -> None:
        reply, fields, options = EXCHANGES[name]
        spoken.up.default = _fixed(reply)
        asked = ASKED | options | {"stream_options": {"include_usage": True}}
        async with sdk.chat.completions.stream(**asked) as stream:
            answer = await stream.get_final_completion()
        found = await fold(direct(spoken.provider).stream(spoken.request("Hello, json", **fields), Call()))
        assert ours(found) == theirs(answer)
        assert spoken.up.bill[0].body == spoken.up.bill[1].body

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_text_completion(self, spoken: Spoken, sdk: Any, stream: bool) -> None:
        spoken.up.default = Reply(TEXT)
        model = "gpt-3.5-turbo-instruct"
        answer = await sdk.completions.create(
            model=model, prompt="Go on", logprobs=1, max_tokens=50, stop=["z"]
        )
        request = pb.CreateCompletionRequest(
            model=model,
            prompt=pb.TextPrompt(text="Go on"),
            logprobs=True,
            top_logprobs=1,
            max_tokens=50,
            stop_sequences=["z"],
        )
        if stream:
            found = await fold(direct(spoken.provider).stream(request, Call()))
        else:
            found = await spoken.whole(request)
            tokens = [token.token for token in found.choices[0].logprobs.content]
            assert tokens == answer.choices[0].logprobs.tokens
        [choice] = found.choices
        assert choice.message.content[0].text == answer.choices[0].text
        assert choice.finish_reason == FINISH_REASONS[answer.choices[0].finish_reason]
        assert found.usage.total_tokens == answer.usage.total_tokens

    @pytest.mark.parametrize("encoding", ["float", "base64"])
    @pytest.mark.parametrize("row", ["openai", "mistral"])
    async def test_embeddings(self, sdk: Any, spoken: Spoken, encoding: Any, row: str) -> None:
        """Whatever form either side asks for, the vectors are the same float32 values."""
        texts = ["one", "zwei 🙂"]
        answer = await sdk.embeddings.create(model="e", input=texts, dimensions=8)
        other = await sdk.embeddings.create(model="e", input=texts, dimensions=8, encoding_format=encoding)
        inputs = [pb.EmbeddingInput(text=text) for text in texts]
        async with speaking(row) as asked:
            request = pb.CreateEmbeddingsRequest(model="e", inputs=inputs, dimensions=8)
            found = await direct(asked.provider).embed(request, Call())
        vectors = [list(embedding.values) for embedding in found.embeddings]
        assert vectors == [item.embedding for item in answer.data]
        if encoding == "float":
            assert vectors == [item.embedding for item in other.data]
        assert found.usage.input_tokens == answer.usage.prompt_tokens

    async def test_models(self, sdk: Any, spoken: Spoken) -> None:
        listed = [(model.id, model.created, model.owned_by) async for model in await sdk.models.list()]
        found = await spoken.provider.list_models()
        assert [(model.id, model.create_time.seconds, model.owned_by) for model in found] == listed

    @pytest.mark.parametrize(
        "reply",
        [
            openai_errors.rate_limited(3),
            openai_errors.insufficient_quota(),
            openai_errors.context_length_exceeded(),
            openai_errors.content_filter(),
            openai_errors.invalid_key(),
            openai_errors.error(400, "bad", code="invalid_value"),
        ],
    )
    async def test_errors_name_the_same_code_and_message(
        self, spoken: Spoken, sdk: openai.AsyncOpenAI, reply: Reply
    ) -> None:
        spoken.up.default = reply
        with pytest.raises(openai.APIStatusError) as theirs:
            await sdk.chat.completions.create(**ASKED)
        with pytest.raises(ProviderFailure) as found:
            await spoken.whole(spoken.request())
        body: Any = theirs.value.body
        assert found.value.metadata["provider_code"] == theirs.value.code
        assert found.value.metadata["provider_message"] == body["message"]
        waits = sdk._parse_retry_after_header(theirs.value.response.headers)
        assert found.value.retry_after_s == waits


def _fixed(reply: Reply) -> Reply:
    """Answers alike however often it is asked."""
    return Reply(
        **({name: getattr(reply, name) for name in reply.__struct_fields__} | {"created": 7, "id": "x"})
    )


OLLAMA_EXCHANGES: dict[str, tuple[Reply, dict[str, Any], dict[str, Any]]] = {
    "text": (Reply(TEXT), {}, {}),
    "reasoning": (
        Reply(TEXT, reasoning=["hm, ", "well"]),
        {"reasoning_effort": pb.REASONING_EFFORT_HIGH},
        {"think": "high"},
    ),
    "tools": (
        Reply("Let me see", tool_calls=CALLS),
        {"tools": [message_pb2.Tool(function=FUNCTION)]},
        {"tools": [FUNCTION_JSON]},
    ),
    "length": (Reply(TEXT), {"max_tokens": 2}, {"options": {"num_predict": 2}}),
    "json": (
        Reply(),
        {"response_format": pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT)},
        {"format": "json"},
    ),
    "bytes": (Reply(TEXT, bytes_per_write=3), {}, {}),
    "cached": (Reply(TEXT, usage=Usage(prompt_tokens=0)), {}, {}),
    "logprobs": (
        Reply(TEXT),
        {"logprobs": True, "top_logprobs": 1},
        {"logprobs": True, "top_logprobs": 1},
    ),
}


class TestOllama:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("name", OLLAMA_EXCHANGES)
    async def test_an_answer(self, name: str, stream: bool) -> None:
        reply, fields, options = OLLAMA_EXCHANGES[name]
        async with speaking("ollama") as spoken, ollama.AsyncClient(host=spoken.up.url, verify=False) as sdk:
            spoken.up.default = reply
            answer = await sdk.chat(model="gpt-4o", messages=ASKED["messages"], **options)
            request = spoken.request("Hello, json", **fields)
            found = await (
                fold(direct(spoken.provider).stream(request, Call())) if stream else spoken.whole(request)
            )
            sent, official = spoken.up.bill[1].body, spoken.up.bill[0].body
        [choice] = found.choices
        message: Any = answer.message
        assert "".join(part.text for part in choice.message.content) == (message.content or "")
        assert choice.message.reasoning == (message.thinking or "")
        calls = [(call.function.name, call.function.arguments_json) for call in choice.message.tool_calls]
        assert [(name, msgspec.json.decode(text)) for name, text in calls] == [
            (call.function.name, call.function.arguments) for call in message.tool_calls or ()
        ]
        assert found.usage.input_tokens == (answer.prompt_eval_count or 0)
        assert found.usage.output_tokens == answer.eval_count
        tokens = [
            (entry.token, entry.logprob, [(top.token, top.logprob) for top in entry.top_logprobs])
            for entry in choice.logprobs.content
        ]
        assert tokens == [
            (entry.token, entry.logprob, [(top.token, top.logprob) for top in entry.top_logprobs or ()])
            for entry in answer.logprobs or ()
        ]
        if not choice.message.tool_calls:
            assert choice.finish_reason == FINISH_REASONS[answer.done_reason or ""]
        assert sent["truncate"] is False  # which the official client leaves to its caller
        assert {key: value for key, value in sent.items() if key not in ("stream", "truncate")} == {
            key: value for key, value in official.items() if key != "stream" and value not in ([], None)
        }

    async def test_embeddings(self) -> None:
        async with speaking("ollama") as spoken, ollama.AsyncClient(host=spoken.up.url, verify=False) as sdk:
            answer = await sdk.embed(model="e", input=["one", "zwei"], dimensions=8)
            inputs = [pb.EmbeddingInput(text="one"), pb.EmbeddingInput(text="zwei")]
            request = pb.CreateEmbeddingsRequest(model="e", inputs=inputs, dimensions=8)
            found = await direct(spoken.provider).embed(request, Call())
        assert [list(embedding.values) for embedding in found.embeddings] == [
            list(v) for v in answer.embeddings
        ]
        assert found.usage.input_tokens == answer.prompt_eval_count

    async def test_models(self) -> None:
        async with speaking("ollama") as spoken, ollama.AsyncClient(host=spoken.up.url, verify=False) as sdk:
            listed = await sdk.list()
            found = await spoken.provider.list_models()
        assert [(model.id, model.create_time.seconds) for model in found] == [
            (tag.model, int(tag.modified_at.timestamp())) for tag in listed.models if tag.modified_at
        ]

    async def test_the_steps_of_a_pull(self) -> None:
        async with speaking("ollama") as spoken, ollama.AsyncClient(host=spoken.up.url, verify=False) as sdk:
            theirs = [step async for step in await sdk.pull("phi4", stream=True)]
            spoken.up.script(Reply(interval_s=0.01), on="/api/pull")
            found = [step async for step in spoken.provider.pull("phi4", Call())]
            asked, official = spoken.up.bill[1].body, spoken.up.bill[0].body
        # The SDK gives every line; ours are those of one read, the last of each part.
        steps = [(step.status, step.digest, step.total, step.completed) for step in theirs]
        ours = [
            (
                step.status,
                step.digest or None,
                step.total_bytes if step.HasField("total_bytes") else None,
                step.completed_bytes if step.HasField("completed_bytes") else None,
            )
            for step in found
        ]
        assert [step for step in steps if step in ours] == ours
        assert ours[-1][0] == "success"
        assert (asked["model"], asked["stream"]) == (official["model"], official["stream"])

    async def test_what_is_shown_of_models(self) -> None:
        async with speaking("ollama") as spoken, ollama.AsyncClient(host=spoken.up.url, verify=False) as sdk:
            shown = await sdk.show("llama3.2")
            found = {model.id: model for model in await spoken.provider.list_models()}
        model = found["llama3.2:latest"]
        info: Any = shown.modelinfo
        assert model.context_length == info["llama.context_length"]
        assert shown.capabilities == ["completion", "tools"]
        assert list(model.capabilities) == ["chat", "tools"]

"""The simulated Ollama against the official Python client."""

import json
from collections.abc import AsyncIterator
from typing import Any

import ollama
import pytest

from tests.upstreams.clients import ECHO, HELLO, drain, raw
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.reply import Reply, ToolCall, Usage
from tests.upstreams.samples import count_tokens

SCHEMA: Any = {
    "type": "object",
    "properties": {"age": {"type": "integer"}, "name": {"type": "string"}},
    "required": ["age", "name"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}


@pytest.fixture
async def local() -> AsyncIterator[OllamaUpstream]:
    async with OllamaUpstream() as upstream:
        yield upstream


@pytest.fixture
async def ollama_sdk(local: OllamaUpstream) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=local.url, verify=False) as client:
        yield client


class TestOllama:
    async def test_chat_whole_and_streamed(self, local: OllamaUpstream, ollama_sdk: Any) -> None:
        whole = await ollama_sdk.chat("llama3.2", HELLO)
        assert (whole.message.content, whole.done_reason) == (ECHO, "stop")
        assert (whole.prompt_eval_count, whole.eval_count) == (2, 4)
        chunks = [chunk async for chunk in await ollama_sdk.chat("llama3.2", HELLO, stream=True)]
        assert "".join(chunk.message.content for chunk in chunks) == ECHO
        assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert [(e.prompt_tokens, e.completion_tokens, e.finished) for e in local.bill] == [(2, 4, True)] * 2

    async def test_lines_have_ollamas_fields_in_its_order(self, local: OllamaUpstream) -> None:
        local.script(Reply(["<a>"], usage=Usage(cached_tokens=1)))
        body = await raw(local, "/api/chat", model="m", messages=HELLO)
        first, last = (json.loads(line) for line in body.splitlines())
        assert b"\\u003ca\\u003e" in body
        assert list(first) == ["model", "created_at", "message", "done"]
        assert list(last)[:5] == ["model", "created_at", "message", "done", "done_reason"]
        assert list(last)[5:8] == ["total_duration", "load_duration", "prompt_eval_count"]
        assert list(last)[8:] == [
            "prompt_eval_cached_count",
            "prompt_eval_duration",
            "eval_count",
            "eval_duration",
        ]
        assert first["created_at"].endswith("Z")
        assert "T" in first["created_at"]

    async def test_tools_and_thinking(self, local: OllamaUpstream, ollama_sdk: Any) -> None:
        local.default = Reply(tool_calls=[ToolCall("weather", '{"age": 42}')], reasoning="hm, well")
        whole = await ollama_sdk.chat("qwen3:8b", HELLO, tools=[WEATHER], think=True)
        assert whole.message.tool_calls[0].function.arguments == {"age": 42}
        assert (whole.message.thinking, whole.done_reason) == ("hm, well", "stop")
        stream = await ollama_sdk.chat("qwen3:8b", HELLO, tools=[WEATHER], stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.message.thinking or "" for chunk in chunks) == "hm, well"
        assert sum(len(chunk.message.tool_calls or []) for chunk in chunks) == 1
        silent = await ollama_sdk.chat("qwen3:8b", HELLO, think=False)
        assert silent.message.thinking is None

    async def test_options_and_format(self, local: OllamaUpstream, ollama_sdk: Any) -> None:
        short = await ollama_sdk.chat("m", HELLO, options={"num_predict": 3, "stop": ["x"]})
        assert (short.message.content, short.done_reason) == ("You said: H", "length")
        shaped = await ollama_sdk.chat("m", HELLO, format=SCHEMA)
        assert json.loads(shaped.message.content) == {"age": 1, "name": "text"}
        free = await ollama_sdk.chat("m", HELLO, format="json")
        assert json.loads(free.message.content) == {"answer": ECHO}

    async def test_counts_can_be_missing_as_for_a_cached_prompt(
        self, local: OllamaUpstream, ollama_sdk: Any
    ) -> None:
        local.script(Reply(usage=Usage(prompt_tokens=0)), Reply(omit_usage=True))
        cached = await ollama_sdk.chat("m", HELLO)
        assert (cached.prompt_eval_count, cached.eval_count) == (None, 4)
        bare = await ollama_sdk.chat("m", HELLO)
        assert (bare.prompt_eval_count, bare.eval_count) == (None, None)

    async def test_generate_embed_and_catalogue(self, local: OllamaUpstream, ollama_sdk: Any) -> None:
        said = await ollama_sdk.generate("m", "Hello", system="Be brief", images=[b"png"])
        assert (said.response, said.context) == (ECHO, None)
        assert said.prompt_eval_count == count_tokens("Hello") + 85 + count_tokens("Be brief")
        parts = [part async for part in await ollama_sdk.generate("m", "Hello", stream=True)]
        assert "".join(part.response for part in parts) == ECHO
        assert parts[-1].context == [1, 2, 3]
        vectors = await ollama_sdk.embed("nomic-embed-text", ["one", "two"], dimensions=16)
        assert [len(vector) for vector in vectors.embeddings] == [16, 16]
        assert vectors.prompt_eval_count == 2
        assert [model.model for model in (await ollama_sdk.list()).models] == list(local.models)
        assert (await ollama_sdk.show("llama3.2")).capabilities == ["completion", "tools"]

    @pytest.mark.parametrize(
        ("model", "options", "status", "message"),
        [
            ("nope", {}, 404, "model 'nope' not found"),
            ("llama3.2", {"think": True}, 400, '"llama3.2" does not support thinking'),
            ("llava:7b", {"tools": [WEATHER]}, 400, "does not support tools"),
            ("nomic-embed-text", {}, 400, '"nomic-embed-text" does not support chat'),
            ("m", {"options": {"temperature": "hot"}}, 500, 'option "temperature" must be of type float32'),
        ],
    )
    async def test_refusals_raise_the_sdks_error(
        self,
        local: OllamaUpstream,
        ollama_sdk: Any,
        model: Any,
        options: Any,
        status: Any,
        message: Any,
    ) -> None:
        local.unknown_models.add("nope")
        with pytest.raises(ollama.ResponseError) as failure:
            await ollama_sdk.chat(model, HELLO, **options)
        assert failure.value.status_code == status
        assert message in failure.value.error

    async def test_an_error_line_in_a_stream_raises(self, local: OllamaUpstream, ollama_sdk: Any) -> None:
        failing = Reply(["one ", "two"], fault="error", after=1, body={"error": "llama runner stopped"})
        local.script(failing, failing)
        seen: list[Any] = []
        stream = await ollama_sdk.chat("m", HELLO, stream=True)
        with pytest.raises(ollama.ResponseError, match="llama runner stopped"):
            await drain(stream, seen)
        assert [chunk.message.content for chunk in seen] == ["one "]
        await ollama_sdk.show("llama3.2")
        with pytest.raises(ollama.ResponseError) as failure:
            await ollama_sdk.chat("m", HELLO)
        assert (failure.value.status_code, len(local.bill.calls)) == (500, 2)
        assert local.bill[0].completion_tokens == count_tokens("one ")

    async def test_a_client_that_leaves_is_noticed(self, local: OllamaUpstream, ollama_sdk: Any) -> None:
        local.script(Reply(["tok "] * 500, interval_s=0.01))
        stream = await ollama_sdk.chat("m", HELLO, stream=True)
        await anext(stream)
        await stream.aclose()
        await local.bill.until(lambda bill: bill[0].disconnected)
        assert local.bill[0].chunks < 500

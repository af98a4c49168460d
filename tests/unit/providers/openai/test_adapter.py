"""The OpenAI adapter: dialects, text prompts, and the ways in which upstreams are not OpenAI."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.errors import ProviderError, UnsupportedOption
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.openai import chat_response
from genai_spine.providers.openai.adapter import OpenAI
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, model_service_pb2
from tests.direct import direct
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply, ToolCall

TIMEOUTS = Timeouts(first_token_s=20, between_tokens_s=20)
USER = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hi")])
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


@pytest.fixture
async def up() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream(strict=False) as upstream:
        yield upstream


def provider(row: str, url: str) -> OpenAI:
    made = PROVIDERS[row].make(Endpoint(row, url, "sk-test-1", timeouts=TIMEOUTS))
    assert isinstance(made, OpenAI)
    return made


def chat(**fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(**{"model": "m", "messages": [USER], **fields})


def event(*choices: Any, **fields: Any) -> bytes:
    """A chunk of a stream, on the wire."""
    body = json.dumps({"id": "x", "created": 1, "model": "m", "choices": choices, **fields})
    return chunked(f"data: {body}\n\n".encode())


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


DONE = chunked(b"data: [DONE]\n\n")
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}


async def streamed(*pieces: bytes | Then, **fields: Any) -> pb.Completion:
    """What a stream of these bytes comes to."""
    async with RawServer([STREAM_HEAD, *pieces]) as server:
        asked = provider("vllm", server.url)
        try:
            return await fold(direct(asked).stream(chat(**fields), Call()))
        finally:
            await asked.close()
            await asyncio.sleep(0.001)


def text(completion: pb.Completion, choice: int = 0) -> str:
    return "".join(part.text for part in completion.choices[choice].message.content)


class TestOpenAIDialects:
    @pytest.mark.parametrize(
        ("row", "header", "value", "limit"),
        [
            ("openai", "authorization", "Bearer sk-test-1", "max_completion_tokens"),
            ("azure", "api-key", "sk-test-1", "max_completion_tokens"),
            ("groq", "authorization", "Bearer sk-test-1", "max_tokens"),
        ],
    )
    async def test_keys_and_limits_go_out_under_the_endpoints_names(
        self, up: OpenAIUpstream, row: str, header: str, value: str, limit: str
    ) -> None:
        asked = provider(row, up.base_url)
        await direct(asked).complete(chat(max_tokens=7), Call())
        await asked.close()
        assert up.bill[0].headers[header] == value
        assert up.bill[0].body[limit] == 7

    async def test_key_is_not_sent_without_one(self, up: OpenAIUpstream) -> None:
        asked = PROVIDERS["vllm"].make(Endpoint("vllm", up.base_url))
        await direct(asked).complete(chat(), Call())
        await asked.close()
        assert "authorization" not in up.bill[0].headers

    @pytest.mark.parametrize(("row", "sent"), [("openai", "base64"), ("mistral", "float")])
    async def test_embeddings_come_in_the_form_that_the_endpoint_has(
        self, up: OpenAIUpstream, row: str, sent: str
    ) -> None:
        asked = provider(row, up.base_url)
        request = pb.CreateEmbeddingsRequest(
            model="e",
            inputs=[pb.EmbeddingInput(text="a"), pb.EmbeddingInput(tokens=pb.TokenList(tokens=[1, 2]))],
            dimensions=4,
            user="ann",
            provider_options_json='{"truncate":true}',
        )
        response = await direct(asked).embed(request, Call())
        await asked.close()
        body = {"model": "e", "input": ["a", [1, 2]], "dimensions": 4, "user": "ann", "truncate": True}
        assert up.bill[0].body == body | {"encoding_format": sent}
        assert [len(embedding.values) for embedding in response.embeddings] == [4, 4]
        assert response.usage.input_tokens == 3

    @pytest.mark.parametrize("body", ['[{"id": "a"}]', '{"object": "list", "data": [{"id": "a"}]}'])
    async def test_models_come_as_a_list_or_in_an_object(self, up: OpenAIUpstream, body: str) -> None:
        up.script(Reply(body=body), on="/v1/models")
        asked = provider("together", up.base_url)
        assert await asked.list_models() == [model_service_pb2.Model(id="a", owned_by="together")]
        await asked.close()


class TestOpenAITextPrompts:
    @pytest.mark.parametrize(
        ("row", "model", "prompt", "path"),
        [
            ("openai", "gpt-4o", pb.TextPrompt(text="x"), "/v1/chat/completions"),
            ("openai", "gpt-3.5-turbo-instruct", pb.TextPrompt(text="x"), "/v1/completions"),
            ("openai", "gpt-4o", pb.TextPrompt(tokens=pb.TokenList(tokens=[1])), "/v1/completions"),
            ("openai", "gpt-4o", pb.TextPrompt(text="x", suffix="y"), "/v1/completions"),
            ("vllm", "any", pb.TextPrompt(text="x"), "/v1/completions"),
            ("groq", "llama", pb.TextPrompt(text="x"), "/v1/chat/completions"),
        ],
    )
    async def test_text_goes_where_the_model_takes_it(
        self, up: OpenAIUpstream, row: str, model: str, prompt: pb.TextPrompt, path: str
    ) -> None:
        asked = provider(row, up.base_url)
        up.default = Reply("so it is")
        request = pb.CreateCompletionRequest(model=model, prompt=prompt, logprobs=True, top_logprobs=1)
        whole = await direct(asked).complete(request, Call())
        assert text(whole) == text(await fold(direct(asked).stream(request, Call()))) == "so it is"
        assert whole.choices[0].logprobs.content[0].top_logprobs[0].token
        await asked.close()
        for entry in up.bill:
            asked_as_chat = [{"role": "user", "content": "x"}] if "chat" in path else None
            assert (entry.path, entry.body.get("messages")) == (path, asked_as_chat)
            assert ("prompt" in entry.body) == ("chat" not in path)

    @pytest.mark.parametrize("field", ["tools", "tool_choice", "response_format"])
    def test_option_of_chats_is_refused_with_a_bare_text(self, field: str) -> None:
        asked = provider("vllm", "http://127.0.0.1:9")
        request = pb.CreateCompletionRequest(model="any", prompt=pb.TextPrompt(text="x"))
        direct(asked).check_options(request)
        if field == "tools":
            request.tools.add().function.name = "f"
        else:
            getattr(request, field).SetInParent()
        with pytest.raises(UnsupportedOption, match=f"does not support {field} with a bare text"):
            direct(asked).check_options(request)


class TestOpenAIStreams:
    async def test_stream_without_done_is_whole_when_all_choices_ended(self) -> None:
        said = {"index": 0, "delta": {"content": "a"}}
        assert text(await streamed(event(said), event(STOP), END)) == "a"
        with pytest.raises(ProviderError, match="before it was complete"):
            await streamed(event(said), event(STOP), END, choice_count=2)

    async def test_stream_with_done_is_whole_although_its_connection_breaks(self) -> None:
        said = {"index": 0, "delta": {"content": "a"}}
        assert text(await streamed(event(said), event(STOP), DONE, Then.CLOSE)) == "a"

    @pytest.mark.parametrize("then", [Then.STALL, Then.CLOSE])
    @pytest.mark.parametrize("usage", [{"prompt_tokens": 7, "completion_tokens": 5}, None])
    async def test_stream_without_done_ends_though_its_connection_stays(
        self, usage: Any, then: Then, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(chat_response, "USAGE_GRACE_S", 0.05)
        said = {"index": 0, "delta": {"content": "a"}}
        pings = [chunked(b": ping\n\n")] * 3  # which say nothing of an answer that is complete
        answer = await streamed(event(said), event(STOP, usage=usage), *pings, then)
        assert (text(answer), answer.HasField("usage")) == ("a", usage is not None)

    async def test_done_without_a_finish_reason_finishes_what_was_begun(self) -> None:
        said = [{"index": index, "delta": {"content": "a"}} for index in (0, 1)]
        completion = await streamed(event(*said), event(STOP | {"finish_reason": "length"}), DONE, END)
        assert [choice.finish_reason for choice in completion.choices] == [
            pb.FINISH_REASON_LENGTH,
            pb.FINISH_REASON_STOP,
        ]

    @pytest.mark.parametrize("pieces", [(DONE, END), (event(), DONE, END)])
    async def test_stream_without_choices_is_no_answer(self, pieces: Any) -> None:
        with pytest.raises(ProviderError, match="no choices"):
            await streamed(*pieces)

    async def test_azure_begins_with_a_chunk_without_choices(self) -> None:
        first = event(id="", model="", created=0, prompt_filter_results=[{}])
        completion = await streamed(
            first, event({"index": 0, "delta": {"content": "a"}}), event(STOP), DONE, END
        )
        assert (completion.id, completion.model, text(completion)) == ("x", "m", "a")

    @pytest.mark.parametrize("together", [True, False])
    async def test_tool_calls_without_an_index_are_told_apart_by_their_ids(self, together: bool) -> None:
        def delta_chunk(fragment: str, **head: Any) -> dict[str, Any]:
            name = {"name": "f"} if head else {}
            call = {**head, "function": {**name, "arguments": fragment}}
            return {"index": 0, "delta": {"tool_calls": [call]}}

        pieces = [
            event(delta_chunk('{"a"', id="c1", type="function")),
            event(delta_chunk(":1}")),
            event(delta_chunk("{}", id="c2", type="function")),
            event(STOP),
            DONE,
            END,
        ]
        completion = await streamed(*([b"".join(pieces)] if together else pieces))
        calls = completion.choices[0].message.tool_calls
        assert [(call.id, call.function.arguments_json) for call in calls] == [
            ("c1", '{"a":1}'),
            ("c2", "{}"),
        ]

    async def test_usage_that_is_repeated_counts_once_and_zeros_are_no_usage(self) -> None:
        first = event(
            {"index": 0, "delta": {"content": "a"}}, usage={"prompt_tokens": 3, "completion_tokens": 1}
        )
        last = event(STOP, usage={"prompt_tokens": 3, "completion_tokens": 2})
        assert (await streamed(first, last, DONE, END)).usage.total_tokens == 5
        zeros = event(STOP, usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
        assert not (await streamed(zeros, DONE, END)).HasField("usage")

    async def test_text_of_the_read_that_brought_an_error_is_not_lost(self) -> None:
        both = event({"index": 0, "delta": {"content": "a"}}) + chunked(
            b'data: {"error": {"message": "x"}}\n\n'
        )
        async with RawServer([STREAM_HEAD, both, END]) as server:
            asked = provider("vllm", server.url)
            stream = direct(asked).stream(chat(), Call())
            assert (await anext(stream)).choices[0].content == "a"
            with pytest.raises(Exception, match="x"):
                await anext(stream)
            await asked.close()
            await asyncio.sleep(0.001)


class TestOpenAIAnswers:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            ([], "missing_embeddings"),
            ([{"embedding": "!!!"}], "invalid_base64"),
            ([{"embedding": "AAA="}], "invalid_base64"),
            ([{"embedding": {}}], "invalid_json"),
        ],
    )
    async def test_embeddings_that_cannot_be_used(self, data: Any, code: str) -> None:
        async with RawServer(response(json.dumps({"data": data}).encode())) as server:
            asked = provider("openai", server.url)
            request = pb.CreateEmbeddingsRequest(model="e", inputs=[pb.EmbeddingInput(text="a")])
            with pytest.raises(ProviderError) as failure:
                await direct(asked).embed(request, Call())
            assert failure.value.metadata["provider_code"] == code
            await asked.close()
            await asyncio.sleep(0.001)

    async def test_embeddings_are_put_in_the_order_of_the_inputs(self) -> None:
        data = [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.5]}]
        same = [{"embedding": [0.5]}, {"embedding": [1.0]}]  # without index
        for answer in (data, same):
            async with RawServer(response(json.dumps({"data": answer}).encode())) as server:
                asked = provider("vllm", server.url)
                inputs = [pb.EmbeddingInput(text="a"), pb.EmbeddingInput(text="b")]
                found = await direct(asked).embed(
                    pb.CreateEmbeddingsRequest(model="e", inputs=inputs), Call()
                )
                assert [(entry.index, list(entry.values)) for entry in found.embeddings] == [
                    (0, [0.5]),
                    (1, [1.0]),
                ]
                await asked.close()
                await asyncio.sleep(0.001)

    async def test_custom_tools_input_comes_in_fragments(self, up: OpenAIUpstream) -> None:
        up.default = Reply(tool_calls=[ToolCall("write", ["free ", "text"], kind="custom", id="c")])
        asked = provider("openai", up.base_url)
        for completion in (
            await direct(asked).complete(chat(), Call()),
            await fold(direct(asked).stream(chat(), Call())),
        ):
            [call] = completion.choices[0].message.tool_calls
            assert call == message_pb2.ToolCall(
                id="c", custom=message_pb2.CustomCall(name="write", input="free text")
            )
        await asked.close()

    async def test_upstream_fields_about_itself_are_passed_on(self, up: OpenAIUpstream) -> None:
        up.default = Reply("a", id="chatcmpl-7", created=7, model="m-2026", service_tier="flex")
        asked = provider("openai", up.base_url)
        for completion in (
            await direct(asked).complete(chat(), Call()),
            await fold(direct(asked).stream(chat(), Call())),
        ):
            assert (completion.id, completion.create_time.seconds, completion.model) == (
                "chatcmpl-7",
                7,
                "m-2026",
            )
            assert (completion.service_tier, completion.system_fingerprint) == ("flex", "fp_5d2f9c0a1b")
        await asked.close()

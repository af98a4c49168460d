"""POST /v1/completions with either of its bodies, and POST /v1/embeddings."""

import base64
import struct
from typing import Any

import pytest
from msgspec.structs import replace

from tests.service.running import Posted, Running
from tests.upstreams import openai_errors
from tests.upstreams.reply import Content, Reply
from tests.upstreams.samples import vector

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT, VECTORS = "/v1/completions", "/v1/embeddings"
INSTRUCT = "gpt-3.5-turbo-instruct"


async def complete(service: Running, **fields: Any) -> Posted:
    return await service.post(TEXT, {"model": INSTRUCT, "prompt": "Go on", "max_tokens": 100, **fields})


def spoken(posted: Posted) -> dict[int, str]:
    """Text of each index of a stream."""
    found: dict[int, str] = {}
    for frame in posted.events[:-1]:
        for choice in frame["choices"]:
            found[choice["index"]] = found.get(choice["index"], "") + choice["text"]
    return found


class TestText:
    async def test_an_answer_has_openais_shape(self, service: Running) -> None:
        service.openai.script(Reply("so it is", created=7))
        answer = (await complete(service)).json
        assert answer["id"].startswith("cmpl-")
        assert len(answer["id"]) == len("cmpl-") + 24
        assert (answer["object"], answer["created"], answer["model"]) == ("text_completion", 7, INSTRUCT)
        assert answer["choices"] == [
            {"text": "so it is", "index": 0, "logprobs": None, "finish_reason": "stop"}
        ]
        assert (
            answer["usage"]["total_tokens"]
            == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
        )
        assert service.openai.bill[0].path == TEXT

    @pytest.mark.parametrize(
        ("prompt", "sent"),
        [
            ("a", ["a"]),
            (["a"], ["a"]),
            (["a", "b"], ["a", "b"]),
            ([1, 2], [[1, 2]]),
            ([[1], [2, 3]], [[1], [2, 3]]),
            ("", [""]),
        ],
    )
    async def test_prompts_come_in_four_forms(self, service: Running, prompt: Any, sent: Any) -> None:
        answer = (await complete(service, prompt=prompt)).json
        assert sorted([entry.body["prompt"] for entry in service.openai.bill], key=str) == sorted(
            sent, key=str
        )
        assert [choice["index"] for choice in answer["choices"]] == list(range(len(sent)))
        shown = [" ".join(map(str, given)) if isinstance(given, list) else given for given in sent]
        assert [choice["text"] for choice in answer["choices"]] == [f"You said: {text}" for text in shown]

    async def test_every_prompt_is_completed_and_all_is_summed(self, service: Running) -> None:
        posted = await complete(service, prompt=["a", "b", "c"], n=2)
        answer = posted.json
        assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3, 4, 5]
        assert answer["usage"]["completion_tokens"] == service.openai.bill.completion_tokens
        rows = await service.rows(posted.headers["x-request-id"])
        assert len(rows) == 3
        ticks = sum(row.cost.cost_ticks for row in rows)
        assert answer["usage"]["cost_usd"] == ticks / 1e10

    @pytest.mark.parametrize("stream", [False, True])
    async def test_echo_puts_each_prompt_before_its_answers(self, service: Running, stream: bool) -> None:
        posted = await complete(service, prompt=["a", "b"], n=2, echo=True, stream=stream)
        texts = spoken(posted) if stream else {c["index"]: c["text"] for c in posted.json["choices"]}
        assert texts == {0: "aYou said: a", 1: "aYou said: a", 2: "bYou said: b", 3: "bYou said: b"}

    async def test_echo_of_token_ids_is_the_upstreams(self, service: Running) -> None:
        answer = (await complete(service, prompt=[1, 2], echo=True)).json
        assert service.openai.bill[0].body["echo"] is True
        assert answer["choices"][0]["text"] == "1 2You said: 1 2"

    async def test_suffix_best_of_and_logprobs_reach_the_provider(self, service: Running) -> None:
        answer = (await complete(service, suffix="end", best_of=3, logprobs=1)).json
        body = service.openai.bill[0].body
        assert (body["suffix"], body["best_of"], body["logprobs"], body["max_tokens"]) == ("end", 3, 1, 100)
        logprobs = answer["choices"][0]["logprobs"]
        assert "".join(logprobs["tokens"]) == "You said: Go on"
        assert set(logprobs["token_logprobs"]) == {-0.25}
        assert logprobs["top_logprobs"][0] == {logprobs["tokens"][0]: -0.25}

    async def test_a_chat_model_is_asked_as_one(self, service: Running) -> None:
        answer = (await complete(service, model="llama3.2:latest", max_tokens=None)).json
        assert answer["choices"][0]["text"] == "You said: Go on"
        assert service.ollama.bill[0].body["messages"] == [{"role": "user", "content": "Go on"}]

    async def test_a_stream_of_several_prompts_is_one_stream(self, service: Running) -> None:
        posted = await complete(
            service, prompt=["a", "b"], stream=True, stream_options={"include_usage": True}
        )
        *frames, usage, done = posted.events
        assert done == "[DONE]"
        assert posted.data.count(b"[DONE]") == 1
        assert {frame["object"] for frame in frames} == {"text_completion"}
        for name in ("id", "created", "model"):
            assert len({frame[name] for frame in posted.events[:-1]}) == 1
        assert all(frame["usage"] is None for frame in frames)
        assert spoken(posted) == {0: "You said: a", 1: "You said: b"}
        for index in (0, 1):
            reasons = [c["finish_reason"] for f in frames for c in f["choices"] if c["index"] == index]
            assert reasons == [None] * (len(reasons) - 1) + ["stop"]
        assert usage["choices"] == []
        assert usage["usage"]["completion_tokens"] == service.openai.bill.completion_tokens

    async def test_an_error_ends_a_stream_of_several_prompts(self, service: Running) -> None:
        service.openai.script(Reply("one"), openai_errors.bad_gateway(503), Reply("never"))
        posted = await complete(service, prompt=["a", "b", "c"], stream=True)
        assert b"[DONE]" not in posted.data
        assert "error" in posted.events[-1]
        assert len(service.openai.bill.calls) == 2

    async def test_one_bad_prompt_fails_the_whole_body(self, service: Running) -> None:
        service.openai.default = Reply("one", headers_delay_s=5.0)
        # Late enough that all three were sent.
        service.openai.script(replace(openai_errors.content_filter(), headers_delay_s=0.5))
        posted = await complete(service, prompt=["a", "b", "c"])
        assert (posted.problem["status"], posted.problem["code"]) == (400, "content_filter")
        rows = await service.rows(posted.headers["x-request-id"])
        assert len(rows) == len(service.openai.bill.calls) == 3, (
            "each call is booked, also those that were ended"
        )


class TestNativeBody:
    async def test_messages_make_it_the_older_services_own(self, service: Running) -> None:
        service.openai.script(Reply('{"sum": 4}'))
        body = {
            "messages": [{"role": "user", "content": "json: 2+2?"}],
            "model": "gpt-4o",
            "max_tokens": 9,
            "response_format": "json",
            "user": "ann",
        }
        posted = await service.post(TEXT, body)
        answer = posted.json
        assert set(answer) == {
            "id",
            "content",
            "model",
            "provider",
            "usage",
            "cost_usd",
            "latency_ms",
            "request_id",
            "execution_id",
        }
        assert answer["id"].startswith("comp_")
        assert (answer["content"], answer["model"], answer["provider"]) == ('{"sum": 4}', "gpt-4o", "openai")
        assert set(answer["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
        sent = service.openai.bill[0].body
        assert (sent["temperature"], sent["max_completion_tokens"]) == (0.7, 9)
        assert sent["response_format"] == {"type": "json_object"}
        [row] = await service.rows(answer["request_id"])
        assert row.end_user == "ann"

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"stream": True}, "stream"),
            ({"model": None}, "model"),
            ({"messages": []}, "messages"),
            ({"temperature": 3}, "temperature"),
            ({"response_format": "xml"}, "response_format"),
        ],
    )
    async def test_what_it_cannot_do_is_refused(self, service: Running, change: Any, param: str) -> None:
        body = {"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o"} | change
        posted = await service.post(TEXT, body)
        assert (posted.problem["status"], posted.problem["param"]) == (400, param)


class TestEmbeddings:
    async def test_an_answer_has_openais_shape(self, service: Running) -> None:
        posted = await service.post(
            VECTORS, {"model": "text-embedding-3-small", "input": ["one", "two"], "dimensions": 4}
        )
        answer = posted.json
        assert (answer["object"], answer["model"]) == ("list", "text-embedding-3-small")
        assert [(entry["object"], entry["index"]) for entry in answer["data"]] == [
            ("embedding", 0),
            ("embedding", 1),
        ]
        assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
        packed = [struct.pack("<4f", *entry["embedding"]) for entry in answer["data"]]
        assert packed == [struct.pack("<4f", *vector(text, 4)) for text in ("one", "two")]
        assert posted.headers["x-genai-cost-usd"] == "0.0000000400"

    @pytest.mark.parametrize("model", ["text-embedding-3-small", "vllm:any", "ollama:nomic-embed-text"])
    async def test_base64_is_little_endian_float32_whatever_the_provider_sent(
        self, service: Running, model: str
    ) -> None:
        body = {"model": model, "input": "one", "dimensions": 8, "encoding_format": "base64"}
        [entry] = (await service.post(VECTORS, body)).json["data"]
        assert base64.b64decode(entry["embedding"]) == struct.pack("<8f", *vector("one", 8))
        plain = (await service.post(VECTORS, body | {"encoding_format": "float"})).json["data"][0][
            "embedding"
        ]
        assert struct.pack("<8f", *plain) == struct.pack("<8f", *vector("one", 8))
        unsaid = (await service.post(VECTORS, {k: v for k, v in body.items() if k != "encoding_format"})).json
        assert unsaid["data"][0]["embedding"] == plain

    @pytest.mark.parametrize(
        ("given", "sent"),
        [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
    )
    async def test_inputs_come_in_four_forms(self, service: Running, given: Any, sent: Any) -> None:
        body = {"model": "text-embedding-3-small", "input": given, "user": "ann"}
        answer = (await service.post(VECTORS, body)).json
        assert service.openai.bill[0].body["input"] == sent
        assert service.openai.bill[0].body["user"] == "ann"
        assert len(answer["data"]) == len(sent)

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"input": "x"}, "model"),
            ({"model": "e"}, "input"),
            ({"model": "e", "input": []}, "input"),
            ({"model": "e", "input": ["a", 1]}, "input"),
            ({"model": "e", "input": [[]]}, "inputs[0].tokens.tokens"),
            ({"model": "e", "input": [-1]}, "token"),
            ({"model": "e", "input": ["x"] * 2049}, "input"),
            ({"model": "e", "input": "x", "dimensions": 0}, "dimensions"),
            ({"model": "e", "input": "x", "encoding_format": "int8"}, "encoding_format"),
        ],
    )
    async def test_bad_bodies_are_refused_by_name(self, service: Running, body: Any, param: str) -> None:
        problem = (await service.post(VECTORS, body)).problem
        assert (problem["status"], problem["type"]) == (400, "invalid_request_error")
        assert problem["param"] == param
        assert service.openai.bill.calls == []

    async def test_builtin_needs_no_provider(self, service: Running) -> None:
        answer = (await service.post(VECTORS, {"model": "builtin:hashing", "input": ["a", "a"]})).json
        first, second = (entry["embedding"] for entry in answer["data"])
        assert first == second
        assert answer["usage"]["prompt_tokens"] > 0

    async def test_a_provider_without_embeddings_says_so(self, service: Running) -> None:
        service.ollama.unknown_models.add("nope")
        problem = (await service.post(VECTORS, {"model": "ollama:nope", "input": "x"})).problem
        assert (problem["status"], problem["code"], problem["param"]) == (404, "model_not_found", "model")


async def test_choices_of_a_text_stream_are_kept_apart(service: Running) -> None:
    service.openai.script(Reply(choices=[Content(["a", "b"]), Content(["c", "d"])], interval_s=0.002))
    assert spoken(await complete(service, n=2, stream=True)) == {0: "ab", 1: "cd"}

"""Files and batches of this service itself, by the official SDK, unmodified, through real Envoy."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.acceptance.stack import Stack

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
TEXT = "Oslo has trams. The trams are blue. They run every ten minutes, also at night and on holidays."
ENDED = ("completed", "failed", "expired", "cancelled")


@pytest.fixture
async def sdk(any_stack: Stack) -> AsyncIterator[openai.AsyncOpenAI]:
    http = openai.DefaultAsyncHttpxClient(verify=False)
    url = any_stack.url + "/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
        yield client


def line(id: str, endpoint: str = CHAT, **body: Any) -> dict[str, Any]:
    return {"custom_id": id, "method": "POST", "url": endpoint, "body": body}


def chat(id: str, model: str = "builtin:extractive") -> dict[str, Any]:
    return line(id, model=model, messages=[{"role": "user", "content": f"{TEXT} Number {id}."}])


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


async def batch_of(sdk: openai.AsyncOpenAI, lines: list[dict[str, Any]], endpoint: str = CHAT) -> Any:
    file = await sdk.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
    return await sdk.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"team": "a"}
    )


async def ended(sdk: openai.AsyncOpenAI, id: str) -> Any:
    for _ in range(600):
        found = await sdk.batches.retrieve(id)
        if found.status in ENDED:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"batch {id} is {found.status}")


async def answers(sdk: openai.AsyncOpenAI, file_id: str) -> list[Any]:
    return [json.loads(text) for text in (await sdk.files.content(file_id)).text.splitlines()]


async def test_files_are_kept_here(sdk: openai.AsyncOpenAI) -> None:
    content = bytes(range(256)) * 10_000  # more than one piece
    kept = await sdk.files.create(file=("a é.bin", content), purpose="user_data")
    assert (kept.object, kept.bytes, kept.filename, kept.purpose) == (
        "file",
        len(content),
        "a é.bin",
        "user_data",
    )
    same = await sdk.files.create(file=("b.bin", content), purpose="user_data")
    assert same.id != kept.id
    listed = [file.id async for file in sdk.files.list(limit=1)]
    assert listed.index(same.id) < listed.index(kept.id)
    assert await sdk.files.retrieve(kept.id) == kept
    assert (await sdk.files.content(kept.id)).content == content
    assert (await sdk.files.delete(kept.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await sdk.files.retrieve(kept.id)
    assert (await sdk.files.content(same.id)).content == content  # its content is still another file's


async def test_batch_is_made_here_in_its_order(sdk: openai.AsyncOpenAI) -> None:
    ids = [f"row-{number}" for number in range(25)]
    made = await batch_of(sdk, [chat(id) for id in ids])
    assert (made.object, made.endpoint, made.metadata) == ("batch", CHAT, {"team": "a"})
    assert made.status in ("validating", "in_progress", "completed")
    batch = await ended(sdk, made.id)
    assert (batch.status, batch.errors, batch.error_file_id) == ("completed", None, None)
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (25, 25, 0)
    lines = await answers(sdk, batch.output_file_id)
    assert [one["custom_id"] for one in lines] == ids
    bodies = [one["response"]["body"] for one in lines]
    assert {body["object"] for body in bodies} == {"chat.completion"}
    assert all(body["choices"][0]["message"]["content"] for body in bodies)
    listed = [one.id async for one in sdk.batches.list(limit=1)]
    assert made.id in listed


async def test_failed_lines_are_in_the_error_file(sdk: openai.AsyncOpenAI) -> None:
    made = await batch_of(sdk, [chat("good"), chat("bad", "claude-none")])
    batch = await ended(sdk, made.id)
    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    [good] = await answers(sdk, batch.output_file_id)
    [bad] = await answers(sdk, batch.error_file_id)
    assert (good["custom_id"], good["error"]) == ("good", None)
    assert (bad["custom_id"], bad["response"]) == ("bad", None)
    assert bad["error"]["message"]


async def test_embeddings_come_as_openai_writes_them(sdk: openai.AsyncOpenAI) -> None:
    lines = [line(str(n), EMBEDDINGS, model="builtin:hashing", input=["a", "b"]) for n in range(3)]
    batch = await ended(sdk, (await batch_of(sdk, lines, EMBEDDINGS)).id)
    found = await answers(sdk, batch.output_file_id)
    assert [len(one["response"]["body"]["data"]) for one in found] == [2, 2, 2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "without a request"),
        (b"{nonsense\n", "line 1"),
        (jsonl([chat("a"), chat("a")]), "line 2 has custom_id 'a' again"),
        (jsonl([line("a", EMBEDDINGS, model="m", input="x")]), "line 1 has url"),
        (jsonl([line("a", model="m", messages="no list")]), "line 1 body"),
        (jsonl([line("a", model="m", messages=[], stream=True)]), "line 1 body"),
    ],
)
async def test_wrong_line_is_named(sdk: openai.AsyncOpenAI, content: bytes, said: str) -> None:
    file = await sdk.files.create(file=("in.jsonl", content or b"\n"), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="input_file_id") as failed:
        await sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert said in failed.value.message


async def test_unknown_file_endpoint_and_window_are_named(sdk: openai.AsyncOpenAI) -> None:
    file = await sdk.files.create(file=("in.jsonl", jsonl([chat("a")])), purpose="batch")
    with pytest.raises(openai.NotFoundError):
        await sdk.batches.create(input_file_id="file-none", endpoint=CHAT, completion_window="24h")
    wrong: Any = "/v1/images"
    with pytest.raises(openai.BadRequestError, match="endpoint"):
        await sdk.batches.create(input_file_id=file.id, endpoint=wrong, completion_window="24h")
    long: Any = "7d"
    with pytest.raises(openai.BadRequestError, match="completion_window"):
        await sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window=long)
    for call in (sdk.batches.retrieve, sdk.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            await call("batch_none")


async def test_finished_batch_cannot_be_cancelled(sdk: openai.AsyncOpenAI) -> None:
    made = await batch_of(sdk, [chat("a")])
    await ended(sdk, made.id)
    with pytest.raises(openai.BadRequestError, match="completed"):
        await sdk.batches.cancel(made.id)

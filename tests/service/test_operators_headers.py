"""Headers that the operator gives a provider: once in every request, whoever writes the request."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from genai_spine.providers.base import Endpoint
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import provider_file_service_pb2 as files
from tests.service.running import Running, Upstreams, asked, running
from tests.unit.providers.http.raw_server import RawServer, response

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWN = {"x-team": "blue", "openai-organization": "org-1", "traceparent": "00-1-2-01", "user-agent": "ours"}
TRACE = (("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),)
USAGE = b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}'
CHAT = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],' + USAGE + b"}"
)
EVENT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":"Hi"},"finish_reason":"stop"}],' + USAGE + b"}\n\ndata: [DONE]\n\n"
)
EMBEDDING = (
    b'{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5]}],'
    b'"usage":{"prompt_tokens":1,"total_tokens":1}}'
)
IMAGE = b'{"created":1,"data":[{"b64_json":"AAAA"}]}'
FILE = (
    b'{"id":"file-1","object":"file","bytes":2,"created_at":1,"filename":"a.jsonl","purpose":"batch",'
    b'"status":"processed"}'
)
FILES = b'{"object":"list","has_more":false,"data":[' + FILE + b"]}"


@pytest_asyncio.fixture(loop_scope="session")
async def raw() -> AsyncIterator[RawServer]:
    async with RawServer(response(b"")) as server:
        yield server


async def streamed(service: Running) -> None:
    request = asked("Hello", model="openai:gpt-4o")
    assert [chunk async for chunk in service.completions.StreamCompletion(request, metadata=TRACE)]


def chat(service: Running) -> Any:
    return service.completions.CreateCompletion(asked("Hello", model="openai:gpt-4o"), metadata=TRACE)


def embedding(service: Running) -> Any:
    request = pb.CreateEmbeddingsRequest(model="openai:m", inputs=[pb.EmbeddingInput(text="a")])
    return service.completions.CreateEmbeddings(request, metadata=TRACE)


def image(service: Running) -> Any:
    return service.media.CreateImages(
        media.CreateImagesRequest(model="openai:gpt-image-1", prompt="A fox"), metadata=TRACE
    )


def upload(service: Running) -> Any:
    request = files.UploadFileRequest(provider="openai", filename="a.jsonl", data=b"{}", purpose="batch")
    return service.files.UploadFile(request, metadata=TRACE)


def listing(service: Running) -> Any:
    return service.files.ListFiles(files.ListFilesRequest(provider="openai"), metadata=TRACE)


@pytest.mark.parametrize("key", ["the key of the provider", "a key in the headers"])
@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (chat, CHAT),
        (streamed, EVENT),
        (embedding, EMBEDDING),
        (image, IMAGE),
        (upload, FILE),
        (listing, FILES),
    ],
)
async def test_each_header_goes_out_once(
    upstreams: Upstreams,
    module_sqlite_url: str,
    raw: RawServer,
    ask: Callable[[Running], Awaitable[Any]],
    answer: bytes,
    key: str,
) -> None:
    kind = "text/event-stream" if ask is streamed else "application/json"
    raw.answers = [[response(answer, headers=f"content-type: {kind}\r\n")]]
    own = OWN if key == "the key of the provider" else OWN | {"authorization": "Bearer of-the-headers"}
    endpoints = {"openai": Endpoint("openai", f"{raw.url}/v1", "sk-of-the-provider", headers=own)}
    async with running(upstreams, module_sqlite_url, endpoints=endpoints) as service:
        await ask(service)
    lines = raw.requests[-1].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    sent = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    assert {name: count for name, count in Counter(name for name, _ in sent).items() if count > 1} == {}
    assert own.items() <= dict(sent).items()
    if "authorization" not in own:
        assert dict(sent)["authorization"] == "Bearer sk-of-the-provider"

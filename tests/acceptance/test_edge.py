"""What one Envoy with envoy.yaml does for its clients, proven with a scripted server behind it."""

import asyncio
import base64
import json
import uuid

import grpc
import httpx
import pytest

from genai_spine.v1 import completion_service_pb2 as completion
from genai_spine.v1 import completion_service_pb2_grpc as completion_grpc
from genai_spine.v1 import health_service_pb2 as health_service
from genai_spine.v1 import health_service_pb2_grpc as health_service_grpc
from tests.acceptance.edge import (
    CHAT,
    CREATE,
    STREAM,
    Edge,
    check_both_shapes,
    grpc_web,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- Transcoding


async def test_names_are_snake_case_and_zero_values_are_printed(edge: Edge) -> None:
    answer = await edge.call("GET", "/v1/models")
    assert answer.json == {"object": "", "data": [], "next_page_token": "", "unreachable_providers": []}


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("llama3.2:latest", "llama3.2:latest"),
        ("ollama:llama3.2:latest", "ollama:llama3.2:latest"),
        ("org/model", "org/model"),
        ("org%2Fmodel", "org/model"),
        ("hf.co/org/model:Q4_K_M", "hf.co/org/model:Q4_K_M"),
        ("a%20b", "a b"),
    ],
)
async def test_rest_of_the_path_is_one_model_id(edge: Edge, path: str, model: str) -> None:
    async with httpx.AsyncClient() as client:  # sends %2F as it is
        answer = await client.get(f"{edge.url}/v1/models/{path}")
    assert (answer.status_code, answer.json()["id"]) == (200, model)


async def test_custom_verbs_reach_their_methods(edge: Edge) -> None:
    assert (await edge.call("POST", CREATE, data=b"{}")).status == 200
    assert (await edge.call("POST", STREAM, data=b"{}")).status == 200
    assert edge.server.calls == ["CreateCompletion", "StreamCompletion"]


async def test_unknown_query_parameters_are_ignored_and_plus_is_a_space(edge: Edge) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{edge.url}/v1/models?provider=a+b&page_token=x%2By&unheard=1")
    assert (answer.json()["object"], answer.json()["next_page_token"]) == ("a b", "x+y")


async def test_openai_body_arrives_byte_for_byte(edge: Edge) -> None:
    body = '{"seed": 12345678901234567890, "x": 1.0, "zz": null, "a": "é\\u00e9"}'
    assert (await edge.call("POST", CHAT, data=body.encode())).json["body"] == body


async def test_api_prefix_is_dropped_before_the_path_is_matched(edge: Edge) -> None:
    answer = await edge.call("POST", "/api/v1/chat/completions?a=1", data=b"{}")
    assert answer.json["metadata"]["x-envoy-original-path"] == "/v1/chat/completions?a=1"


async def test_words_between_edge_and_server_cannot_be_said_by_a_client(edge: Edge) -> None:
    forged = {
        "x-envoy-original-path": "/forged",
        "x-envoy-retry-on": "5xx",
        "x-genai-http-status": "200",
        "x-genai-error": "forged",
        "x-genai-transport": "forged",
        "x-genai-client-request-id": "forged",
    }
    answer = await edge.call("POST", CHAT, data=b"{}", headers=forged)
    assert answer.json["metadata"]["x-envoy-original-path"] == CHAT
    assert "forged" not in json.dumps(answer.json["metadata"])
    stub = health_service_grpc.HealthServiceStub(edge.channel)
    native = await stub.GetHealth(health_service.GetHealthRequest(), metadata=tuple(forged.items()))
    assert "forged" not in native.status
    assert "x-envoy-original-path" not in native.status


# --- Streams


async def test_typed_stream_is_sse_and_is_not_buffered(edge: Edge) -> None:
    headers = {"x-edge-script": "hold-stream"}
    async with edge.http.post(STREAM, data=b"{}", headers=headers) as response:
        assert response.headers["content-type"] == "text/event-stream"
        first = await response.content.readuntil(b"\n\n")
        assert json.loads(first.removeprefix(b"data: "))["choices"][0]["content"] == "piece 0"
        edge.server.release.set()
        rest = await response.read()
    assert rest.count(b"data: {") == 2
    assert b"piece 2" in rest


async def test_openai_stream_passes_unchanged_and_is_not_buffered(edge: Edge) -> None:
    headers = {"x-edge-script": "hold-stream"}
    async with edge.http.post(CHAT, data=b'{"stream": true}', headers=headers) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-genai-cost-usd"] == "0.1"
        assert await response.content.readuntil(b"\n\n") == b"data: piece 0\n\n"
        edge.server.release.set()
        assert await response.read() == b"data: piece 1\n\ndata: piece 2\n\n"


@pytest.mark.parametrize("path", [STREAM, CHAT])
async def test_nothing_is_added_to_a_stream_that_failed_after_its_first_chunk(edge: Edge, path: str) -> None:
    answer = await edge.call("POST", path, "cut", data=b'{"stream": true}'[: None if path == CHAT else 0])
    assert answer.status == 200
    assert answer.body.count(b"data: ") == 1
    assert b"error" not in answer.body


async def test_call_is_cancelled_when_its_client_leaves(edge: Edge) -> None:
    headers = {"x-edge-script": "hold-stream"}
    async with edge.http.post(CHAT, data=b'{"stream": true}', headers=headers) as response:
        await response.content.readuntil(b"\n\n")
        await until(lambda: edge.server.held == 1)
        response.close()
    await until(lambda: edge.server.held == 0)
    assert edge.server.cancelled == 1


async def test_thousand_held_connections_leave_room_for_more(edge: Edge) -> None:
    async def held() -> bytes:
        headers = {"x-edge-script": "hold-stream"}
        async with edge.http.post(CHAT, data=b'{"stream": true}', headers=headers) as response:
            return await response.read()

    streams = [asyncio.create_task(held()) for _ in range(1000)]
    await until(lambda: edge.server.held == 1000)
    assert (await edge.call("GET", "/health")).status == 200
    edge.server.release.set()
    assert set(await asyncio.gather(*streams)) == {b"data: piece 0\n\ndata: piece 1\n\ndata: piece 2\n\n"}


# --- Protocols on the one port


async def test_http2_by_prior_knowledge(edge: Edge) -> None:
    async with httpx.AsyncClient(http1=False, http2=True) as client:
        answer = await client.get(f"{edge.url}/health")
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)


async def test_native_grpc_unary_and_stream(edge: Edge) -> None:
    stub = completion_grpc.CompletionServiceStub(edge.channel)
    assert (await stub.CreateCompletion(completion.CreateCompletionRequest())).id
    chunks = [chunk async for chunk in stub.StreamCompletion(completion.CreateCompletionRequest())]
    assert [chunk.choices[0].content for chunk in chunks] == ["piece 0", "piece 1", "piece 2"]


async def test_grpc_web_in_binary_and_in_text(edge: Edge) -> None:
    binary = await grpc_web(edge)
    assert binary.body.endswith(b"grpc-status:0\r\ngrpc-message:\r\n")
    text = (await grpc_web(edge, text=True)).body  # pieces, each with its own padding
    parts = [base64.b64decode(text[start : start + 4]) for start in range(0, len(text), 4)]
    assert b"".join(parts).endswith(b"grpc-status:0\r\ngrpc-message:\r\n")


# --- Request ids


@pytest.mark.parametrize("given", ["abc-123", "trace:1/2+3=4@x_y.z", "a" * 128])
async def test_request_id_of_the_caller_is_kept(edge: Edge, given: str) -> None:
    answer = await edge.call("POST", CHAT, data=b"{}", headers={"x-request-id": given})
    assert answer.headers.getall("x-request-id") == [given]
    assert answer.json["metadata"]["x-request-id"] == given
    error = await edge.call("GET", "/nowhere", headers={"x-request-id": given})
    assert error.json["error"]["request_id"] == given


@pytest.mark.parametrize("given", ["a" * 129, 'a"b', "a\\b", "a b", "é", "a,b", ""])
async def test_absurd_request_id_is_replaced(edge: Edge, given: str) -> None:
    for path in (CHAT, "/nowhere"):
        answer = await edge.call("POST", path, data=b"{}", headers={"x-request-id": given})
        replaced = answer.headers["x-request-id"]
        assert str(uuid.UUID(replaced)) == replaced
        assert replaced in answer.body.decode()
        assert (answer.json.get("metadata") or answer.json["error"]).keys()


async def test_request_ids_made_here_differ(edge: Edge) -> None:
    answers = [await edge.call("GET", "/health") for _ in range(3)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


# --- Deadlines


async def test_deadline_of_the_caller_passes_through_and_ends_the_call(edge: Edge) -> None:
    stub = health_service_grpc.HealthServiceStub(edge.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetHealth(
            health_service.GetHealthRequest(), metadata=(("x-edge-script", "sleep:5"),), timeout=0.2
        )
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    answer = await edge.call("GET", "/health", "sleep:5", headers={"grpc-timeout": "200m"})
    assert check_both_shapes(answer, 504, "PROVIDER_TIMEOUT") == "the caller's deadline passed"

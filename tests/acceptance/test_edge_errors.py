"""What clients of the edge see when a call fails: at the server, at the edge, or because it is too large."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import grpc
import pytest
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamReset

from genai_spine.v1 import completion_service_pb2 as completion
from genai_spine.v1 import completion_service_pb2_grpc as completion_grpc
from genai_spine.v1 import health_service_pb2 as health_service
from genai_spine.v1 import health_service_pb2_grpc as health_service_grpc
from tests.acceptance.edge import (
    CHAT,
    CREATE,
    EMBEDDINGS,
    LEAKS,
    MIB,
    POSTS,
    STREAM,
    Edge,
    check_both_shapes,
    grpc_web,
)
from tests.acceptance.edge_server import ERROR

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT = 32 * MIB


# --- Errors of the server


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("status", [402, 422, 502])
async def test_server_chooses_status_and_body(edge: Edge, path: str, status: int) -> None:
    answer = await edge.call("POST", path, f"refuse:{status}", data=b"{}")
    assert (answer.status, answer.json) == (status, ERROR)
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("7", "false")
    assert not (LEAKS | {"x-genai-http-status", "x-genai-error"}) & {name.lower() for name in answer.headers}


async def test_large_error_body_arrives_whole(edge: Edge) -> None:
    answer = await edge.call("GET", "/health", "large:50000")
    assert (answer.status, len(answer.json)) == (502, 50000)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("code", "status", "rest_code"),
    [
        ("INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
        ("UNAUTHENTICATED", 401, "UNAUTHORIZED"),
        ("PERMISSION_DENIED", 403, "FORBIDDEN"),
        ("NOT_FOUND", 404, "NOT_FOUND"),
        ("ALREADY_EXISTS", 409, "CONFLICT"),
        ("RESOURCE_EXHAUSTED", 429, "RATE_LIMITED"),
        ("UNAVAILABLE", 503, "SERVICE_UNAVAILABLE"),
        ("CANCELLED", 503, "SERVICE_UNAVAILABLE"),
        ("DEADLINE_EXCEEDED", 504, "PROVIDER_TIMEOUT"),
    ],
)
async def test_status_without_body_gets_one(
    edge: Edge, path: str, code: str, status: int, rest_code: str
) -> None:
    answer = await edge.call("POST", path, f"abort:{code}", data=b"{}")
    assert check_both_shapes(answer, status, rest_code) == 'a "plain" abort ?'


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "UNIMPLEMENTED"])
async def test_cause_of_an_internal_error_is_not_told(edge: Edge, code: str) -> None:
    answer = await edge.call("POST", CHAT, f"abort:{code}", data=b"{}")
    said = check_both_shapes(answer, 501 if code == "UNIMPLEMENTED" else 500, "INTERNAL_ERROR")
    assert said.startswith("internal error")


async def test_native_grpc_error_is_untouched(edge: Edge) -> None:
    stub = health_service_grpc.HealthServiceStub(edge.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetHealth(health_service.GetHealthRequest(), metadata=(("x-edge-script", "refuse"),))
    error = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "refused\nin two lines")
    trailers = dict(error.trailing_metadata() or ())
    assert json.loads(trailers["x-genai-error"]) == ERROR
    assert trailers["grpc-status-details-bin"] == b"\x08\x03"


@pytest.mark.parametrize("text", [False, True])
async def test_grpc_web_error_is_untouched(edge: Edge, text: bool) -> None:
    answer = await grpc_web(edge, text, x_edge_script="refuse")
    assert answer.headers["grpc-status"] == "3"
    assert answer.headers["grpc-message"] == "refused%0Ain two lines"


# --- Errors of the edge itself


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "says"),
    [
        ("GET", "/nowhere", None, 404, "NOT_FOUND", "nothing answers at /nowhere; /docs lists the paths"),
        ("GET", "/api/no?x=1", None, 404, "NOT_FOUND", "nothing answers at /api/no; /docs lists the paths"),
        ("POST", "/chat/completions", b"{}", 404, "NOT_FOUND",
         "nothing answers at /chat/completions; a base URL for OpenAI clients ends in /v1"),
        ("POST", "/api/embeddings", b"{}", 404, "NOT_FOUND",
         "nothing answers at /api/embeddings; a base URL for OpenAI clients ends in /api/v1"),
        ("POST", "/v1/v1/embeddings", b"{}", 404, "NOT_FOUND",
         "nothing answers at /v1/v1/embeddings; /v1 stands there twice"),
        ("POST", "/v1/responses", b"{}", 404, "NOT_FOUND",
         "nothing answers at /v1/responses; ask /v1/chat/completions: .chat()"),
        ("DELETE", "/health", None, 405, "METHOD_NOT_ALLOWED", "/health takes GET, HEAD"),
        ("PUT", "/api/v1/files?z", None, 405, "METHOD_NOT_ALLOWED", "/api/v1/files takes GET, HEAD, POST"),
        ("POST", CREATE, b'{"temperature": "hot"}', 400, "VALIDATION_ERROR", "temperature"),
        ("POST", CREATE, b'{"max_tokens": 3.5}', 400, "VALIDATION_ERROR", "max_tokens"),
        ("POST", CREATE, b'{\n"user": "\xff\x01"', 400, "VALIDATION_ERROR", ""),
        ("POST", STREAM, b'{bro\nken "json"', 400, "VALIDATION_ERROR", 'Expected : between key:value pair.'),
        ("POST", CREATE, b'{"user": ' + b"x" * 5000, 400, "VALIDATION_ERROR", ""),
        ("GET", "/v1/models?page_size=abc", None, 400, "VALIDATION_ERROR", "page_size"),
    ],
)  # fmt: skip
async def test_request_that_cannot_be_read_is_refused_in_both_shapes(
    edge: Edge, method: str, path: str, body: bytes | None, status: int, code: str, says: str
) -> None:
    message = check_both_shapes(await edge.call(method, path, data=body), status, code)
    assert message.startswith(says)
    assert message.isprintable()
    assert 0 < len(message) <= 300
    assert edge.server.calls == []


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\nbad: \x01\r\n\r\n", 400),
        (b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\nlong: " + b"x" * 70000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.0\r\n\r\n", 426),
        (
            b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            403,
        ),
    ],
)
async def test_broken_http_is_answered_in_both_shapes(edge: Edge, request_bytes: bytes, status: int) -> None:
    answer = await edge.raw(request_bytes)
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    error = json.loads(body)["error"]
    assert f"x-request-id: {uuid.UUID(error['request_id'])}" in head
    assert error["message"] == json.loads(body)["detail"] != ""


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/health", "GET, HEAD"),
        ("GET", "/v1/embeddings", "POST"),
        ("HEAD", CHAT, "POST"),
        ("PUT", "/v1/models/org/model:latest", "GET, HEAD"),
        ("POST", "/v1/prompts/greet", "GET, HEAD, PUT, PATCH, DELETE"),
        ("GET", "/v1/prompts/greet:render", "POST"),
        ("PATCH", "/v1/files", "GET, HEAD, POST"),
    ],
)
async def test_wrong_method_is_told_which_are_right(edge: Edge, method: str, path: str, allow: str) -> None:
    answer = await edge.call(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert edge.server.calls == []
    await edge.check_lua()


@pytest.mark.parametrize("path", ["/health", "/api/health", "/v1/models"])
async def test_head_has_the_answer_of_get_without_its_body(edge: Edge, path: str) -> None:
    answer = await edge.call("HEAD", path)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/json"
    raw = f"HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\nGET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.envoy.port)
    writer.write(raw.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    following = await reader.readuntil(b"\r\n\r\n")  # at once: no body stood between
    assert head.startswith(b"HTTP/1.1 200 ")
    assert following.startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()


async def test_root_leads_to_the_page_of_the_api(edge: Edge) -> None:
    for path in ("/", "/api/"):
        answer = await edge.call("GET", path, allow_redirects=False)
        assert (answer.status, answer.headers["location"]) == (302, "docs")


async def test_lane_that_does_not_exist_is_refused(edge: Edge) -> None:
    lane = {"x-genai-lane": "fast"}
    for path in POSTS:
        answer = await edge.call("POST", path, data=b"{}", headers=lane)
        said = check_both_shapes(answer, 400, "VALIDATION_ERROR")
        assert said == "x-genai-lane: must be cpu, gpu or batch"
    stub = health_service_grpc.HealthServiceStub(edge.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetHealth(health_service.GetHealthRequest(), metadata=tuple(lane.items()))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, said)
    for text in (False, True):
        web = await grpc_web(edge, text, x_genai_lane="fast")
        assert (web.headers["grpc-status"], web.headers["grpc-message"]) == ("3", said)
    assert edge.server.calls == []


async def test_lane_without_a_server_says_so_at_once(edge: Edge) -> None:
    lane = {"x-genai-lane": "gpu"}
    async with asyncio.timeout(5):
        answer = await edge.call("POST", CHAT, data=b"{}", headers=lane)
    said = check_both_shapes(answer, 503, "SERVICE_UNAVAILABLE")
    assert said == "no server of lane gpu can be reached"
    stub = health_service_grpc.HealthServiceStub(edge.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetHealth(health_service.GetHealthRequest(), metadata=tuple(lane.items()))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, said)
    web = await grpc_web(edge, x_genai_lane="gpu")
    assert (web.headers["grpc-status"], web.headers["grpc-message"]) == ("14", said)


# --- Sizes


async def chunked(size: int) -> AsyncIterator[bytes]:
    head, tail = b'{"user": "', b'"}'
    yield head
    left = size - len(head) - len(tail)
    for start in range(0, left, MIB):
        yield b"x" * min(MIB, left - start)
    yield tail


async def whole(size: int) -> BytesIO:
    return BytesIO(b"".join([piece async for piece in chunked(size)]))


@pytest.mark.parametrize("path", [CREATE, CHAT, EMBEDDINGS])
async def test_body_of_32_mib_arrives(edge: Edge, path: str) -> None:
    answer = await edge.call("POST", path, data=await whole(LIMIT))
    assert answer.status == 200
    assert (answer.json.get("body") or answer.json["created"]) >= LIMIT - 20


@pytest.mark.parametrize("path", [CREATE, STREAM, CHAT, EMBEDDINGS])
@pytest.mark.parametrize("body", [whole, chunked])
async def test_larger_body_is_413(edge: Edge, path: str, body: Any) -> None:
    data = chunked(LIMIT + 1) if body is chunked else await whole(LIMIT + 1)
    # 413 comes while the client still sends. A client that reads only after it has sent everything
    # (Python's http.client) sees a reset connection instead: Envoy has no lingering close.
    answer = await edge.call("POST", path, data=data)
    said = check_both_shapes(answer, 413, "PAYLOAD_TOO_LARGE")
    assert said == f"the request body is larger than {LIMIT} bytes"
    assert edge.server.calls == []


async def test_larger_body_is_413_over_http2_before_the_stream_is_reset(edge: Edge) -> None:
    connection = H2Connection()
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.envoy.port)
    connection.initiate_connection()
    start = {":method": "POST", ":path": CREATE, ":scheme": "http", ":authority": "localhost"}
    connection.send_headers(1, list((start | {"content-length": str(LIMIT + 1)}).items()))
    connection.send_data(1, b"{")
    writer.write(connection.data_to_send())
    events: list[Any] = []
    while not any(isinstance(event, StreamReset) for event in events):
        events += connection.receive_data(await reader.read(MIB))
    writer.close()
    await writer.wait_closed()
    (head,) = [event for event in events if isinstance(event, ResponseReceived)]
    assert (b":status", b"413") in head.headers
    body = b"".join(event.data for event in events if isinstance(event, DataReceived))
    assert json.loads(body)["error"]["code"] == "PAYLOAD_TOO_LARGE"


async def test_larger_grpc_request_is_resource_exhausted(edge: Edge) -> None:
    said = f"the request body is larger than {LIMIT} bytes"
    request = completion.CreateCompletionRequest(user="x" * LIMIT)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await completion_grpc.CompletionServiceStub(edge.channel).CreateCompletion(request)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, said)
    data = b"\0" + request.ByteSize().to_bytes(4, "big") + request.SerializeToString()
    kind = {"content-type": "application/grpc-web+proto"}
    path = "/genai_spine.v1.CompletionService/CreateCompletion"
    web = await edge.call("POST", path, data=BytesIO(data), headers=kind)
    assert (web.status, web.headers["grpc-status"], web.headers["grpc-message"]) == (200, "8", said)
    assert edge.server.calls == []


async def test_answer_of_60_mib_arrives(edge: Edge) -> None:
    size = {"x-edge-answer-bytes": str(60 * MIB)}
    answer = await edge.call("POST", EMBEDDINGS, data=b"{}", headers=size)
    assert (answer.status, len(answer.body)) == (200, 60 * MIB)


@pytest.mark.parametrize("coding", ["xchunked", "gzip"])
async def test_a_transfer_coding_that_is_not_known_is_the_callers_mistake(edge: Edge, coding: str) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    answer = await edge.raw(f"{head}transfer-encoding: {coding}\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 501 ")
    error = json.loads(answer.partition("\r\n\r\n")[2])["error"]
    assert (error["code"], error["type"]) == ("VALIDATION_ERROR", "invalid_request_error")
    assert error["message"] == "transfer-encoding: must be chunked"

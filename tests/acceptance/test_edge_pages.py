"""Which web pages may call, and by which names: only those of this machine, unless a setting says more."""

import asyncio
import copy
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_spine.services import openapi
from genai_spine.supervisor import envoy
from genai_spine.v1 import health_service_pb2 as health_service
from genai_spine.v1 import health_service_pb2_grpc as health_service_grpc
from tests.acceptance.edge import (
    CHAT,
    CREATE,
    PAGE,
    Answer,
    Edge,
    check_both_shapes,
    clients,
    edge_with,
    grpc_web,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = {"content-type": "application/json"}
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,x-a",
}
OTHER_PAGES = (
    *(
        "https://page.example",
        "http://localhost.evil.com",
        "http://127.0.0.1.evil.com",
        "http://evil.localhost",
    ),
    *("http://evil.com#localhost", "http://localhost@evil.com", "http://evil@localhost", "http://localhost:"),
    *("http://localhost.", "http://localhost:80:80", "http://localhost/", "http://[::1", "http://::1"),
    *("http://127.0.0.2", "http://2130706433", "http://[::ffff:127.0.0.1]", "HTTP://LOCALHOST", "localhost"),
    *(
        "file://",
        "null",
        "NULL",
        "",
        "*",
        "chrome-extension://localhost",
        "http://localhost, http://evil.com",
    ),
)
OTHER_HOSTS = (
    *("evil.com", "evil.com:8100", "localhost.evil.com", "127.0.0.1.evil.com", "localhost.", "127.0.0.1."),
    *(
        "evil-localhost",
        "localhostevil",
        "user@localhost",
        "localhost:x",
        "localhost:",
        "[::1",
        "::1",
        "[::2]",
    ),
    *("0.0.0.0", "127.0.0.2", "2130706433", "envoy", "*", ".localhost.evil.com", ""),
)


async def page_calls(edge: Edge, origin: str, **headers: str) -> Answer:
    return await edge.call("POST", CHAT, data=b"{}", headers={"origin": origin} | JSON | headers)


def check_refused(answer: Answer, said: str, status: int = 403, code: str = "FORBIDDEN") -> None:
    assert check_both_shapes(answer, status, code).startswith(said)


# --- Pages


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host", ["localhost", "localhost:3000", "127.0.0.1", "127.0.0.1:5173", "[::1]", "[::1]:1"]
)
async def test_pages_of_this_machine_may_call_from_any_port(edge: Edge, scheme: str, host: str) -> None:
    answer = await page_calls(edge, f"{scheme}://{host}")
    assert answer.status == 200
    assert answer.headers.getall("access-control-allow-origin") == [f"{scheme}://{host}"]


@pytest.mark.parametrize("origin", OTHER_PAGES)
async def test_other_pages_are_refused_and_cannot_read_why(edge: Edge, origin: str) -> None:
    preflight = await edge.call("OPTIONS", CHAT, headers={"origin": origin} | PREFLIGHT)
    simple = await page_calls(edge, origin, **{"content-type": "text/plain"})
    read = await edge.call("GET", "/api/v1/models", headers={"origin": origin})
    for answer in (preflight, simple, read, await page_calls(edge, origin)):
        check_refused(answer, "origin: this page may not call")
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert edge.server.calls == []


async def test_two_origins_are_none(edge: Edge) -> None:
    origin = b"origin: http://localhost\r\n"
    said = await edge.raw(b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + origin + origin + b"\r\n")
    assert said.startswith("HTTP/1.1 403 Forbidden\r\n")
    assert edge.server.calls == []


async def test_preflight_of_a_page_that_may_call_allows_the_headers_it_asks_for(edge: Edge) -> None:
    answer = await edge.call("OPTIONS", CHAT, headers=PAGE | PREFLIGHT)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
    assert answer.headers["access-control-allow-headers"] == "authorization,x-a"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert edge.server.calls == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/health", {}),
        ("/health", {"x-edge-script": "refuse"}),
        ("/nowhere", {}),
        ("/health", {"x-genai-lane": "fast"}),
    ],
)
async def test_pages_may_read_our_headers_also_on_errors(
    edge: Edge, path: str, headers: dict[str, str]
) -> None:
    answer = await edge.call("GET", path, headers=PAGE | headers)
    assert answer.headers.getall("access-control-allow-origin") == [PAGE["origin"]]
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"x-request-id", "grpc-status", "*"} <= exposed
    if "x-genai-lane" not in headers:
        assert {"retry-after", "x-genai-cost-usd", "x-cache"} <= exposed


async def test_grpc_web_is_refused_with_a_grpc_status(edge: Edge) -> None:
    for headers in ({"origin": "https://page.example"}, {"host": "page.example"}):
        answer = await grpc_web(edge, **headers)
        assert answer.headers["grpc-status"] == "7"
        assert answer.headers["grpc-message"].startswith(f"{next(iter(headers))}: ")
        assert "access-control-allow-origin" not in answer.headers
    assert edge.server.calls == []
    answer = await grpc_web(edge)
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
    assert edge.server.calls == ["GetHealth"]


# --- Content types


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", "Application/JSON ;x", "application/json;"],
)
async def test_a_page_sends_json(edge: Edge, kind: str) -> None:
    assert (await page_calls(edge, PAGE["origin"], **{"content-type": kind})).status == 200


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "text/plain; application/json", "text/plain, application/json", "application/jsonx"),
        *(
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/octet-stream",
            "",
        ),
    ],
)
@pytest.mark.parametrize("path", [CHAT, CREATE, f"/api{CHAT}?x=/v1/files"])
async def test_a_page_that_sends_something_else_is_told_so(edge: Edge, kind: str, path: str) -> None:
    answer = await edge.call("POST", path, data=b"{}", headers=PAGE | {"content-type": kind})
    check_refused(answer, "content-type: must be application/json", 415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
    assert edge.server.calls == []


@pytest.mark.parametrize(
    "body", [b"content-length: 2\r\n\r\n{}", b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
async def test_a_body_of_a_page_without_a_content_type_is_refused(edge: Edge, body: bytes) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\norigin: {PAGE['origin']}\r\n".encode()
    assert (await edge.raw(head + body)).startswith("HTTP/1.1 415 Unsupported Media Type\r\n")
    assert edge.server.calls == []


async def test_a_page_needs_no_content_type_where_it_sends_no_body(edge: Edge) -> None:
    head = f"POST {CREATE} HTTP/1.1\r\nhost: localhost\r\norigin: {PAGE['origin']}\r\n".encode()
    assert (await edge.raw(head + b"content-length: 0\r\n\r\n")).startswith("HTTP/1.1 200 OK\r\n")
    assert (await edge.call("DELETE", "/v1/prompts/x", headers=PAGE)).status != 415


def upload_paths() -> list[str]:
    described = openapi.document("1")["paths"].items()
    return [path for path, methods in described if "multipart/form-data" in str(methods)]


async def test_a_page_may_upload_where_forms_are_read(edge: Edge) -> None:
    form = PAGE | {"content-type": "multipart/form-data; boundary=x"}
    paths = upload_paths()
    assert len(paths) == 3
    for path in (*paths, f"/api{paths[0]}?a=1"):
        assert (await edge.call("POST", path, data=b"--x--", headers=form)).status != 415


async def test_without_an_origin_every_content_type_is_read_as_before(edge: Edge) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        answer = await edge.call("POST", CHAT, data=b"{}", headers={"content-type": kind})
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers


# --- Names


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "localhost:1",
            "LocalHost:8100",
            "127.0.0.1",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:8100",
        ),
        *("spine.localhost", "a.b.localhost:80", "SPINE.LOCALHOST"),
    ],
)
async def test_names_of_this_machine_are_served(edge: Edge, host: str) -> None:
    assert (await edge.call("GET", "/health", headers={"host": host})).status == 200


@pytest.mark.parametrize("host", OTHER_HOSTS)
async def test_other_names_are_refused_whoever_calls(edge: Edge, host: str) -> None:
    for headers in ({}, {"origin": f"http://{host}"}, PAGE):
        answer = await edge.call("GET", "/health", headers=headers | {"host": host})
        check_refused(answer, "host: not a name of this machine")
    preflight = await edge.call("OPTIONS", CHAT, headers=PAGE | PREFLIGHT | {"host": host})
    assert (preflight.status, preflight.headers.get("access-control-allow-origin")) == (403, None)
    assert edge.server.calls == []


@pytest.mark.parametrize(
    ("request_line", "hosts", "status"),
    [
        ("GET http://evil.com/health HTTP/1.1", ["localhost"], 403),
        ("GET http://localhost/health HTTP/1.1", ["localhost"], 200),
        ("GET /health HTTP/1.1", ["localhost", "evil.com"], 403),
        ("GET /health HTTP/1.1", ["evil.com", "localhost"], 403),
        ("GET /health HTTP/1.1", [], 400),
        ("GET /health HTTP/1.0", ["localhost"], 426),
        ("GET /health HTTP/1.0", [], 426),
        ("CONNECT localhost:80 HTTP/1.1", ["evil.com"], 404),
    ],
)
async def test_odd_requests_do_not_get_around_it(
    edge: Edge, request_line: str, hosts: list[str], status: int
) -> None:
    lines = [request_line, *(f"host: {host}" for host in hosts), "", ""]
    said = await edge.raw("\r\n".join(lines).encode())
    assert said.partition("\r\n")[0].split()[1] == str(status)
    assert (edge.server.calls == []) is (status != 200)


async def test_native_grpc_is_refused_under_another_name(edge: Edge) -> None:
    options = [("grpc.default_authority", "evil.com:8100")]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.envoy.port}", options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="host: not a name of this machine") as caught:
            await health_service_grpc.HealthServiceStub(channel).GetHealth(health_service.GetHealthRequest())
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "target", ["127.0.0.1:{}", "localhost:{}", "ipv4:127.0.0.1:{}", "dns:///localhost:{}"]
)
async def test_grpc_targets_of_this_machine_are_served(edge: Edge, target: str) -> None:
    async with grpc.aio.insecure_channel(target.format(edge.envoy.port)) as channel:
        await health_service_grpc.HealthServiceStub(channel).GetHealth(health_service.GetHealthRequest())


# --- Settings


async def test_listed_pages_may_call_too(edge: Edge, tmp_path: Path) -> None:
    listed = ("https://app.example", "tauri://localhost")
    async with edge_with(tmp_path, origins=listed, cpu=[edge.server]) as running:
        for origin in (*listed, PAGE["origin"]):
            answer = await page_calls(running, origin)
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
        for origin in ("http://app.example", "https://app.example:444", "https://x.app.example", "null"):
            check_refused(await page_calls(running, origin), "origin: ")
        check_refused(await running.call("GET", "/health", headers={"host": "app.example"}), "host: ")
        await running.check_lua()


async def test_star_lets_every_page_call_but_not_without_a_preflight(edge: Edge, tmp_path: Path) -> None:
    async with edge_with(tmp_path, origins=("*",), cpu=[edge.server]) as running:
        for origin in ("https://page.example", "null"):
            assert (await page_calls(running, origin)).headers["access-control-allow-origin"] == origin
            assert (await page_calls(running, origin, **{"content-type": "text/plain"})).status == 415
        check_refused(await running.call("GET", "/health", headers={"host": "evil.com"}), "host: ")


async def test_a_listener_beyond_loopback_is_served_by_every_name_but_not_to_every_page(
    edge: Edge, tmp_path: Path
) -> None:
    async with edge_with(tmp_path, host="0.0.0.0", cpu=[edge.server]) as running:
        assert (await running.call("GET", "/health", headers={"host": "api.lan:8100"})).status == 200
        rebound = {"host": "evil.com:8100", "origin": "http://evil.com:8100"}
        check_refused(await running.call("GET", "/health", headers=rebound), "origin: ")


async def test_listeners_are_judged_by_their_own_address(edge: Edge, tmp_path: Path) -> None:
    addresses = envoy.Addresses(
        port=0, symbols=("0.0.0.0", 0), lanes={"cpu": [("127.0.0.1", edge.server.port)]}
    )
    running = envoy.Envoy(tmp_path)
    await running.start(addresses)
    try:
        async with clients(running) as (http, _):
            for port, refused in ((running.port, True), (running.symbols_port, False)):
                url = f"http://127.0.0.1:{port}/health"
                async with http.get(url, headers={"host": "api.lan"}) as answer:
                    assert (answer.status == 403) is refused
    finally:
        await running.stop()


def composed(edge: Edge) -> dict[str, Any]:
    """envoy.yaml as compose runs it, apart from addresses: nothing but variables says who may call."""
    addresses = envoy.Addresses(
        port=0, symbols=("127.0.0.1", 0), lanes={"cpu": [("127.0.0.1", edge.server.port)]}
    )
    config = copy.deepcopy(envoy.overlay(envoy.load(), addresses))
    for listener in config["static_resources"]["listeners"]:
        (host,) = envoy._manager(listener)["route_config"]["virtual_hosts"]
        del host["typed_per_filter_config"]["envoy.filters.http.lua"]
    return config


@pytest.mark.parametrize(
    ("published", "origins", "served", "refused"),
    [
        (None, None, ["localhost:8100", "envoy:8100"], ["evil.com", "envoy.evil.com"]),
        ("127.0.0.1", "", ["localhost", "envoy"], ["api.lan"]),
        ("::1", " https://APP.example , *", ["localhost"], ["api.lan"]),
        ("0.0.0.0", "https://app.example,", ["localhost", "api.lan", "envoy"], []),
    ],
)
async def test_compose_says_the_same_with_variables(
    edge: Edge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    published: str | None,
    origins: str | None,
    served: list[str],
    refused: list[str],
) -> None:
    for name, value in (("GENAI_PUBLISH_HOST", published), ("GENAI_CORS_ORIGINS", origins)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    running = envoy.Envoy(tmp_path)
    await running.launch(composed(edge))
    try:
        async with clients(running) as (http, channel):
            started = Edge(running, edge.server, http, channel)
            for host in served:
                assert (await started.call("GET", "/health", headers={"host": host})).status == 200
            for host in refused:
                check_refused(await started.call("GET", "/health", headers={"host": host}), "host: ")
            listed = await page_calls(started, "https://app.example")
            assert (listed.status == 200) is ("app.example" in (origins or "").lower())
            other = await page_calls(started, "https://page.example")
            assert (other.status == 200) is ("*" in (origins or ""))
            await started.check_lua()
    finally:
        await running.stop()


async def test_settings_of_a_run_here_win_over_variables_of_compose(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_PUBLISH_HOST", "0.0.0.0")
    monkeypatch.setenv("GENAI_CORS_ORIGINS", "*")
    async with edge_with(tmp_path, cpu=[edge.server]) as running:
        check_refused(await running.call("GET", "/health", headers={"host": "evil.com"}), "host: ")
        check_refused(await page_calls(running, "https://page.example"), "origin: ")


async def test_many_callers_at_once_are_judged_one_by_one(edge: Edge) -> None:
    origins = [PAGE["origin"], "https://page.example"] * 50
    answers = await asyncio.gather(*(page_calls(edge, origin) for origin in origins))
    assert [answer.status for answer in answers] == [200, 403] * 50

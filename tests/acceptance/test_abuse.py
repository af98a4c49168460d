"""Attacks that hit comparable products in 2025 and 2026, tried on the running service, with their reports."""

import asyncio
import json
import zlib
from typing import Any

import aiohttp
import pytest

from tests.acceptance.stack import Stack, tail
from tests.upstreams.process import UpstreamProcess

JSON = {"content-type": "application/json"}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].system('id') }}",
    "{{ x|attr('__class__') }}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
    "{{ '%s'|format(x.__class__) }}",
    "{{ request.application.__globals__ }}",
)


async def raw(stack: Stack, data: bytes) -> str:
    """Answer to bytes as they are, until the connection ends or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(data)
    answer = b""
    try:
        async with asyncio.timeout(3):
            while data := await reader.read(65536):
                answer += data
    except (TimeoutError, ConnectionResetError):
        pass
    writer.close()
    return answer.decode("latin-1")


async def post(stack: Stack, path: str, body: Any, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(stack.url + path, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    "host",
    ["localhost:8100/#@evil.test", "evil.test", "localhost@evil.test", "localhost#", "169.254.169.254"],
)
async def test_a_forged_host_is_refused(stack: Stack, host: str) -> None:
    """BerriAI/litellm CVE-2026-49468 and Starlette CVE-2026-48710: the Host header chose the route."""
    answer = await raw(stack, f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    assert answer.split(" ")[1] in ("400", "403", "421"), answer[:200]


@pytest.mark.parametrize(
    "path", ["/V1/models", "/v1//models", "/v1/models/../executions/../../nowhere", "/v1;x/models"]
)
async def test_other_spellings_of_a_path_lead_nowhere(stack: Stack, path: str) -> None:
    """grpc-go CVE-2026-33186 and Envoy CVE-2021-29492: a rule and a route read one path differently."""
    answer = await raw(stack, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 404"), answer[:200]


@pytest.mark.parametrize(
    "path",
    ["/admin", "/config", "/debug", "/server_info", "/config_dump", "/stats", "/key/list", "/model/info"],
)
async def test_there_are_no_side_routes(stack: Stack, path: str) -> None:
    """projectdiscovery/nuclei-templates#16055: routes beside the API that ask nobody."""
    answer = await raw(stack, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 404"), answer[:200]


@pytest.mark.parametrize("template", ESCAPES)
async def test_templates_do_not_leave_their_sandbox(stack: Stack, template: str) -> None:
    """BerriAI/litellm#24458 and #27043, infiniflow/ragflow#14068: prompt templates that reach Python."""
    slug = f"abuse-{zlib.crc32(template.encode())}"
    status, text = await post(stack, "/v1/prompts", {"slug": slug, "name": slug, "user_template": template})
    if status < 300:
        rendered = await post(
            stack, f"/v1/prompts/{json.loads(text)['id']}:render", {"variables": {"x": "y"}}
        )
        status, text = rendered
    assert 400 <= status < 500, text[:300]
    assert "uid=" not in text
    assert "<class" not in text


@pytest.mark.parametrize("name", ["api_base", "base_url", "apiBase"])
async def test_a_base_url_in_a_request_is_not_followed(
    stack: Stack, openai_upstream: UpstreamProcess, name: str
) -> None:
    """BerriAI/litellm#24952 and #37053, mlflow/mlflow#25761: callers chose where keys are sent."""
    for body in (CHAT | {name: "http://127.0.0.1:9"}, CHAT | {"extra_body": {name: "http://127.0.0.1:9"}}):
        status, text = await post(stack, "/v1/chat/completions", body)
        assert status in (200, 400), text
    assert "127.0.0.1:9" not in text


@pytest.mark.parametrize("sql", ["' OR '1'='1", "x'; DROP TABLE executions;--", "' UNION SELECT 1,2--"])
async def test_sql_in_headers_is_text(stack: Stack, openai_upstream: UpstreamProcess, sql: str) -> None:
    """BerriAI/litellm CVE-2026-42208: the bearer token became part of a query on the way to an error."""
    headers = {
        "authorization": f"Bearer {sql}",
        "x-request-id": sql,
        "idempotency-key": sql,
        "user-agent": sql,
    }
    assert (await post(stack, "/v1/chat/completions", CHAT, **headers))[0] == 200
    other = headers | {"idempotency-key": f"{sql} again"}
    assert (await post(stack, "/v1/chat/completions", {"model": sql}, **other))[0] == 400
    assert (await post(stack, "/v1/chat/completions", CHAT))[0] == 200


async def test_what_callers_say_makes_no_log_line_of_its_own(stack: Stack) -> None:
    """BerriAI/litellm#34705 and NVIDIA/garak#1957: line ends of a caller forge entries of the log."""
    start = stack.log.stat().st_size
    forged = '\n{"event":"forged","level":"info"}\n'
    await post(stack, "/v1/chat/completions", CHAT | {"model": f"openai:x{forged}"})
    await post(
        stack, "/v1/completions:create", {"model": f"nobody:{forged}", "prompt": forged, "user": forged}
    )
    await raw(stack, b"GET /v1/models%0a{%22event%22:%22forged%22} HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await asyncio.sleep(1)
    lines = [line for line in tail(stack.log, start).splitlines() if line.startswith("{")]
    assert lines
    assert all(json.loads(line)["event"] != "forged" for line in lines)


@pytest.mark.parametrize(
    "request_id", [b"a\r\nx-injected: 1", b"a\nx-injected: 1", b"a%0d%0ax-injected:%201", b'a"b', b"a\x00b"]
)
async def test_an_answer_has_no_header_of_a_callers(stack: Stack, request_id: bytes) -> None:
    """CWE-93: what is repeated in an answer's headers ends one."""
    head = b"GET /v1/executions/none HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-request-id: "
    answer = await raw(stack, head + request_id + b"\r\n\r\n")
    assert "\nx-injected" not in answer.partition("\r\n\r\n")[0].lower()


SMUGGLED = b"GET /v1/executions HTTP/1.1\r\nhost: localhost\r\nx-smuggled: 1\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 0\r\ncontent-length: 70\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding : chunked\r\n",
        b"content-length: +0\r\n",
    ],
)
async def test_no_request_hides_in_another_ones_body(stack: Stack, head: bytes) -> None:
    """Envoy and HTTP/1 front ends, CWE-444: two lengths, of which two servers believe one each."""
    start = b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    answer = await raw(stack, start + head + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert answer.startswith(("HTTP/1.1 400", "HTTP/1.1 501")), answer[:200]
    assert answer.count("HTTP/1.1 ") == 1


async def test_a_bomb_is_not_unpacked(stack: Stack) -> None:
    """Bodies of some KB that become GB: the unpacked size is what counts."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(256)) + packer.flush()
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{stack.url}/v1/embeddings", data=bomb, headers=JSON | {"content-encoding": "gzip"}
        ) as answer,
    ):
        assert answer.status == 413

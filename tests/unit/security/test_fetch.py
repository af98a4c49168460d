"""Fetching of callers' addresses: what is refused, where the connection goes, and its limits.

Names are resolved by a scripted resolver, and connections to public addresses lead to a server of the test:
what is under test is which address is connected to, and what is never asked.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from genai_spine.errors import InvalidRequest
from genai_spine.security.fetch import Fetcher, FetchFailed, Limits
from tests.certificates import Authority

PUBLIC, OTHER, LOCAL = "93.184.216.34", "8.8.8.8", "127.0.0.1"
OPEN = Limits(total_s=5, schemes=("https", "http"), ports=frozenset({80, 443}), max_bytes=1000)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@dataclass
class World:
    """Names with their addresses, a list for each time that they are asked for, and what was connected to."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        turns = self.names.get(host)
        if turns is None:
            raise OSError("unknown")
        found = turns.pop(0) if len(turns) > 1 else turns[0]
        return [(0, 0, 0, "", (address, port)) for address in found]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
        self.requests.append(head + await reader.readexactly(size))
        if answer := self.answers.pop(0):
            writer.write(answer)
        else:
            await reader.read()
        writer.close()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    found = World()
    server = await asyncio.start_server(found.serve, LOCAL, 0)
    found.port = server.sockets[0].getsockname()[1]
    connect = asyncio.open_connection

    async def redirected(host: str, port: int, **more: Any) -> Any:
        found.connected.append((host, port))
        return await connect(LOCAL, found.port, **more)

    monkeypatch.setattr(asyncio, "open_connection", redirected)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found.getaddrinfo)
    yield found
    server.close()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("file:///etc/passwd", "must begin with https:// or http://"),
        ("gopher://a.test/", "must begin with"),
        ("ftp://a.test/", "must begin with"),
        ("//a.test/", "must begin with"),
        ("https:///path", "names no host"),
        ("https://user:word@a.test/", "must not hold credentials"),
        ("https://@a.test/", "must not hold credentials"),
        ("https://a.test:22/", "must use one of the ports 80, 443"),
        ("https://a.test:99999/", "is no URL"),
        ("https://[::1", "is no URL"),
        ("https://a.test/\r\nx: y", "without spaces"),
        ("https://a.test\\@b.test/", "without spaces and backslashes"),
        ("https://\u24d0.test/", "ASCII"),
        ("https://a.test/" + "x" * 3000, "at most 2048"),
    ],
)
async def test_urls_that_are_refused_before_anything_is_asked(world: World, url: str, problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem) as caught:
        await Fetcher(OPEN).get(url, name="webhook.url")
    assert str(caught.value).startswith("webhook.url: ")
    assert "word" not in str(caught.value)
    assert world.connected == []


async def test_https_alone_is_let_through_unless_said_otherwise(world: World) -> None:
    with pytest.raises(InvalidRequest, match="must begin with https://"):
        await Fetcher().get("http://a.test/")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "169.254.169.254"]
)
async def test_addresses_of_this_side_are_refused_however_they_are_written(world: World, host: str) -> None:
    resolved = {"2130706433": LOCAL, "0x7f.1": LOCAL, "127.1": LOCAL}.get(host, host.strip("[]"))
    world.names[host.strip("[]")] = [[resolved]]
    with pytest.raises(InvalidRequest, match="not of the public internet"):
        await Fetcher(OPEN).get(f"http://{host}/")
    assert world.connected == []


async def test_one_private_address_among_public_ones_is_enough(world: World) -> None:
    world.names["mixed.test"] = [[PUBLIC, "10.0.0.1"]]
    with pytest.raises(InvalidRequest, match="not of the public internet"):
        await Fetcher(OPEN).get("http://mixed.test/")
    assert world.connected == []


async def test_a_name_that_turns_is_connected_to_by_the_address_that_was_judged(world: World) -> None:
    world.names["turning.test"] = [[PUBLIC], [LOCAL]]
    world.answers = [OK]
    found = await Fetcher(OPEN).get("http://turning.test/a?b=c")
    assert (found.status, found.body) == (200, b"hi")
    assert world.connected == [(PUBLIC, 80)]
    assert world.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert b"host: turning.test\r\n" in world.requests[0]


async def test_each_redirect_is_judged(world: World) -> None:
    world.names |= {"a.test": [[PUBLIC]], "b.test": [[OTHER]], "inside.test": [["169.254.169.254"]]}
    hop = b"HTTP/1.1 302 Found\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n"
    world.answers = [hop % b"http://b.test/next", OK]
    assert (await Fetcher(OPEN).get("http://a.test/")).url == "http://b.test/next"
    assert world.connected == [(PUBLIC, 80), (OTHER, 80)]
    for bad in (b"http://inside.test/latest/meta-data/", b"file:///etc/passwd", b"http://a.test:6379/"):
        world.answers = [hop % bad]
        with pytest.raises(InvalidRequest):
            await Fetcher(OPEN).get("http://a.test/")
    world.answers = [hop % b"/again"] * 4
    with pytest.raises(FetchFailed, match="more than 3 times"):
        await Fetcher(OPEN).get("http://a.test/")


async def test_size_and_time_end_it(world: World) -> None:
    world.names["a.test"] = [[PUBLIC]]
    world.answers = [b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000]
    with pytest.raises(FetchFailed, match="more than 1000 bytes"):
        await Fetcher(OPEN).get("http://a.test/")
    world.answers = [b""]
    with pytest.raises(FetchFailed, match=r"no answer in 0\.2 s"):
        await Fetcher(Limits(total_s=0.2, schemes=("http",), ports=frozenset({80}))).get("http://a.test/")
    world.answers = [b"SSH-2.0-OpenSSH\r\n"]
    with pytest.raises(FetchFailed, match="no HTTP answer"):
        await Fetcher(OPEN).get("http://a.test/")


async def test_post_sends_its_body_once_and_follows_nothing(world: World) -> None:
    world.names["a.test"] = [[PUBLIC]]
    world.answers = [b"HTTP/1.1 307 Temporary\r\nlocation: http://b.test/\r\ncontent-length: 0\r\n\r\n"]
    found = await Fetcher(OPEN).post(
        "http://a.test/hook", b'{"x":1}', {"webhook-id": "1", "host": "evil.test"}
    )
    assert (found.status, world.connected) == (307, [(PUBLIC, 80)])
    head, body = world.requests[0].split(b"\r\n\r\n")
    assert body == b'{"x":1}'
    assert b"host: a.test" in head
    assert b"evil" not in head
    with pytest.raises(ValueError, match="is no header"):
        await Fetcher(OPEN).post("http://a.test/", b"", {"x": "a\r\nhost: b"})


async def test_tls_is_checked_against_the_name_and_not_the_address(world: World, tmp_path: Any) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", ["a.test"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(world.serve, LOCAL, 0, ssl=context)
    world.port = server.sockets[0].getsockname()[1]
    world.names |= {"a.test": [[PUBLIC]], "b.test": [[PUBLIC]]}
    world.answers = [OK]
    fetcher = Fetcher(OPEN, ssl.create_default_context(cafile=authority.file))
    assert (await fetcher.get("https://a.test/")).status == 200
    with pytest.raises(FetchFailed, match="TLS fails"):
        await fetcher.get("https://b.test/")
    with pytest.raises(FetchFailed, match="TLS fails"):
        await Fetcher(OPEN).get("https://a.test/")
    await asyncio.sleep(0.1)  # the server's side of those that failed
    server.close()

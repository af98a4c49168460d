"""Pool: which connection serves the next call, and when a name is looked up again."""

import socket
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.errors import ProviderUnavailable
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.http import pool
from genai_spine.providers.http.client import HttpClient
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.waiting import until

TIMEOUTS = Timeouts(connect_s=20, first_token_s=20, between_tokens_s=20)


class Resolver:
    """A name whose address changes; ports tell the servers apart here, as addresses would outside."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port = 0
        self.asked = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, *_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror("no address")
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.port))]


class Clock:
    """Time of the pool, which a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(pool, "monotonic", lambda: self.now_s)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    return Resolver(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_busy_connection_follows_its_name_to_another_address(resolver: Resolver, clock: Clock) -> None:
    client = HttpClient(Endpoint("up", "http://up.test:80", timeouts=TIMEOUTS))
    async with RawServer(response(b"old")) as old, RawServer(response(b"new")) as new:
        resolver.port = old.port
        seen = []
        while clock.now_s < 1000 + pool.MAX_AGE_S + 40:
            seen.append((await client.get("/", Call())).body)
            resolver.port = new.port
            clock.now_s += 20  # never idle for long
        assert seen == [b"old"] * 15 + [b"new"] * 2
        assert (old.connections, new.connections, resolver.asked) == (1, 1, 2)
        await client.close()


async def test_failed_connect_asks_the_resolver_again(resolver: Resolver) -> None:
    client = HttpClient(Endpoint("up", "http://up.test:80", timeouts=TIMEOUTS))
    async with RawServer(response(b"new")) as new:
        resolver.port = 9  # nobody listens
        with pytest.raises(ProviderUnavailable):
            await client.get("/", Call())
        resolver.port = new.port
        assert (await client.get("/", Call())).body == b"new"
        await client.close()
    assert resolver.asked == 2


async def test_connection_that_the_old_address_ended_is_opened_to_the_new_one(resolver: Resolver) -> None:
    client = HttpClient(Endpoint("up", "http://up.test:80", timeouts=TIMEOUTS))
    async with RawServer([response(b"old"), Then.CLOSE]) as old, RawServer(response(b"new")) as new:
        resolver.port = old.port
        assert (await client.get("/", Call())).body == b"old"
        await until(lambda: all(connection.closed for connection in client.pool.idle))
        resolver.port = new.port
        assert (await client.get("/", Call())).body == b"new"
        await client.close()


async def test_connection_that_is_old_still_ends_its_answer(resolver: Resolver, clock: Clock) -> None:
    client = HttpClient(Endpoint("up", "http://up.test:80", timeouts=TIMEOUTS))
    async with RawServer(response(b"old")) as old:
        resolver.port = old.port
        assert (await client.get("/", Call())).body == b"old"
        clock.now_s += pool.MAX_AGE_S + 1
        assert (await client.get("/", Call())).body == b"old"
        assert old.connections == 2
        await client.close()

"""One connection: what arrives is given out whole, in order and once, and what is broken is an error."""

import asyncio
from time import monotonic
from typing import Any

import pytest

from genai_spine.providers.http import connection as connection_module
from genai_spine.providers.http.connection import Connection, ConnectionLost, Exchange, ReadTimeout
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.waiting import until

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"
)
SIZED = b"HTTP/1.1 200 OK\r\nX-A: 1\r\ncontent-length: 11\r\n\r\nhello world"
INFORMED = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + SIZED
OLD = b"HTTP/1.0 200 OK\r\nserver: old\r\n\r\nhello world"


class RecordingTransport(asyncio.Transport):
    """The socket's place, for tests that decide what each read brings."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class CountingLoop:
    """The running loop, which keeps the timers that were armed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.create_future, self.call_soon, self.time = loop.create_future, loop.call_soon, loop.time
        self.timers: list[asyncio.TimerHandle] = []
        self.ticks: list[asyncio.TimerHandle] = []
        self._loop = loop

    def call_at(self, at: float, callback: Any) -> asyncio.TimerHandle:
        self.ticks.append(self._loop.call_at(at, callback))
        return self.ticks[-1]

    def call_later(self, delay_s: float, callback: Any) -> asyncio.TimerHandle:
        self.timers.append(self._loop.call_later(delay_s, callback))
        return self.timers[-1]


def merging(loop: CountingLoop, size: int = 1_000_000) -> tuple[Connection, Exchange]:
    """Exchange whose body has begun, and whose consumer is woken at ticks."""
    connection = Connection(loop)  # type: ignore[arg-type]
    connection.connection_made(RecordingTransport())
    exchange = connection.send(GET)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
    exchange.merge_s = 0.01
    return connection, exchange


@pytest.fixture
async def connection() -> Connection:
    made = Connection(asyncio.get_running_loop())
    made.connection_made(RecordingTransport())
    return made


async def connected(server: RawServer) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(loop), "127.0.0.1", server.port)
    return connection


async def body(exchange: Exchange) -> bytes:
    parts = []
    while part := await exchange.some(20):
        parts.append(part)
    return b"".join(parts)


class TestConnectionParsing:
    @pytest.mark.parametrize("message", [CHUNKED, SIZED, INFORMED], ids=["chunked", "sized", "informed"])
    async def test_response_is_the_same_at_every_cut_of_the_bytes(
        self, message: bytes, connection: Connection
    ) -> None:
        for place in range(1, len(message)):
            exchange = connection.send(GET)
            connection.data_received(message[:place])
            connection.data_received(message[place:])
            assert (await exchange.head(0), await body(exchange)) == (200, b"hello world"), place
            assert exchange.done
        assert connection.reusable

    async def test_response_is_the_same_byte_by_byte(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        for at in range(len(CHUNKED)):
            connection.data_received(CHUNKED[at : at + 1])
        assert (await exchange.head(0), await exchange.all(0)) == (200, b"hello world")

    async def test_names_of_headers_are_in_lower_case_and_those_of_hints_are_left_out(
        self, connection: Connection
    ) -> None:
        exchange = connection.send(GET)
        connection.data_received(INFORMED)
        assert exchange.headers == {"x-a": "1", "content-length": "11"}

    async def test_body_without_a_length_ends_with_the_connection(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(OLD)
        assert not exchange.done
        connection.connection_lost(None)
        assert await exchange.all(0) == b"hello world"
        assert not connection.reusable

    async def test_body_without_a_length_is_an_error_when_the_connection_is_reset(
        self, connection: Connection
    ) -> None:
        exchange = connection.send(GET)
        connection.data_received(OLD)
        connection.connection_lost(ConnectionResetError("reset"))
        assert await exchange.some(0) == b"hello world"
        with pytest.raises(ConnectionLost, match="reset"):
            await exchange.some(0)

    @pytest.mark.parametrize("message", [CHUNKED, SIZED])
    async def test_connection_that_closes_within_the_answer_is_an_error(
        self, message: bytes, connection: Connection
    ) -> None:
        exchange = connection.send(GET)
        connection.data_received(message[:-7])
        connection.connection_lost(None)
        with pytest.raises(ConnectionLost, match="closed by the peer"):
            await exchange.all(0)

    @pytest.mark.parametrize(
        "garbage", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x00"]
    )
    async def test_bytes_that_are_not_http_are_an_error(self, garbage: bytes, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(garbage)
        with pytest.raises(ConnectionLost, match="not HTTP"):
            await exchange.head(0)
        assert connection.closed

    @pytest.mark.parametrize(
        ("status", "headers"),
        [("204 No Content", ""), ("304 Not Modified", ""), ("200 OK", "content-length: 0\r\n")],
    )
    async def test_answer_without_body_is_complete(
        self, status: str, headers: str, connection: Connection
    ) -> None:
        exchange = connection.send(GET)
        connection.data_received(f"HTTP/1.1 {status}\r\n{headers}\r\n".encode())
        assert await exchange.all(0) == b""

    async def test_connection_close_is_heeded(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(SIZED.replace(b"X-A: 1", b"connection: close"))
        assert await exchange.all(0) == b"hello world"
        assert not connection.reusable

    async def test_bytes_that_nobody_asked_for_end_the_connection(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(SIZED)
        connection.data_received(SIZED)
        assert connection.closed
        assert await exchange.all(0) == b"hello world"


class TestExchangeWaiting:
    async def test_bytes_of_one_read_stay_together(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(CHUNKED)
        assert await exchange.some(0) == b"hello world"
        assert await exchange.some(0) == b""

    async def test_silence_is_a_read_timeout_at_each_step(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        with pytest.raises(ReadTimeout):
            await exchange.head(0.01)
        connection.data_received(SIZED[:-3])
        assert await exchange.some(0.01) == b"hello wo"
        with pytest.raises(ReadTimeout):
            await exchange.some(0.01)
        with pytest.raises(ReadTimeout):
            await exchange.all(0.01)

    async def test_timer_is_armed_once_for_many_waits(self) -> None:
        loop = CountingLoop(asyncio.get_running_loop())
        connection = Connection(loop)  # type: ignore[arg-type]
        connection.connection_made(RecordingTransport())
        exchange = connection.send(GET)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(50):
            asyncio.get_running_loop().call_soon(connection.data_received, b"x")
            assert await exchange.some(20) == b"x"
        assert len(loop.timers) == 1
        exchange.end_timers()
        assert loop.timers[0].cancelled()

    async def test_shorter_wait_ends_in_its_own_time(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        asyncio.get_running_loop().call_soon(connection.data_received, b"x")
        assert await exchange.some(600) == b"x"
        async with asyncio.timeout(20):
            with pytest.raises(ReadTimeout):
                await exchange.some(0.01)

    async def test_wait_that_began_later_has_its_whole_time(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        asyncio.get_running_loop().call_soon(connection.data_received, b"x")
        assert await exchange.some(0.05) == b"x"
        await asyncio.sleep(0.03)  # the consumer is slow
        began = monotonic()
        with pytest.raises(ReadTimeout):  # the timer rings before, for the wait that is over
            await exchange.some(0.05)
        assert monotonic() - began >= 0.05

    async def test_no_wait_ends_for_a_consumer_that_is_slow(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        asyncio.get_running_loop().call_soon(connection.data_received, b"x")
        assert await exchange.some(0.01) == b"x"
        await asyncio.sleep(0.05)  # longer than it may wait
        connection.data_received(b"y")
        assert await exchange.some(0.01) == b"y"

    async def test_what_several_reads_bring_until_the_tick_is_given_out_together(self) -> None:
        loop = CountingLoop(asyncio.get_running_loop())
        connection, exchange = merging(loop)
        for piece in (b"a", b"b", b"c"):
            loop.call_soon(connection.data_received, piece)
        assert await exchange.some(20) == b"abc"
        assert len(loop.ticks) == 1

    @pytest.mark.parametrize("rest", [b"x" * 999, b"x" * (connection_module.MERGED_BYTES + 1)])
    async def test_end_and_much_at_once_wait_for_no_tick(self, rest: bytes) -> None:
        loop = CountingLoop(asyncio.get_running_loop())
        connection, exchange = merging(loop, len(rest) + (1 if len(rest) < 1000 else 2))
        loop.call_soon(connection.data_received, b"a")
        loop.call_soon(connection.data_received, rest)
        exchange.merge_s = 600.0
        async with asyncio.timeout(20):
            assert await exchange.some(20) == b"a" + rest

    async def test_lost_connection_waits_for_no_tick(self) -> None:
        loop = CountingLoop(asyncio.get_running_loop())
        connection, exchange = merging(loop)
        exchange.merge_s = 600.0
        loop.call_soon(connection.data_received, b"a")
        loop.call_soon(connection.connection_lost, None)
        async with asyncio.timeout(20):
            assert await exchange.some(20) == b"a"
            with pytest.raises(ConnectionLost):
                await exchange.some(20)
        exchange.end_timers()
        assert all(tick.cancelled() for tick in loop.ticks)

    async def test_what_waits_for_a_tick_is_no_silence(self) -> None:
        loop = CountingLoop(asyncio.get_running_loop())
        connection, exchange = merging(loop)
        exchange.merge_s = 600.0
        loop.call_soon(connection.data_received, b"a")
        assert await exchange.some(0.05) == b"a"  # its time is up before the tick

    async def test_all_has_one_limit_however_often_something_comes(self, connection: Connection) -> None:
        exchange = connection.send(GET)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")

        async def trickle() -> None:
            while True:
                await asyncio.sleep(0.005)
                connection.data_received(b"x")

        task = asyncio.create_task(trickle())
        async with asyncio.timeout(20):
            with pytest.raises(ReadTimeout):
                await exchange.all(0.05)
        task.cancel()

    async def test_second_request_does_not_see_the_first_ones_bytes(self) -> None:
        async with RawServer(response(b"one"), response(b"two")) as server:
            connection = await connected(server)
            for expected in (b"one", b"two"):
                exchange = connection.send(GET)
                assert (await exchange.head(20), await exchange.all(20)) == (200, expected)
            connection.abort()
        assert server.connections == 1

    async def test_closed_connection_refuses_a_request(self) -> None:
        async with RawServer([response(b"one"), Then.CLOSE]) as server:
            connection = await connected(server)
            assert await connection.send(GET).all(20) == b"one"
            await until(lambda: connection.closed)
            with pytest.raises(ConnectionLost):
                connection.send(GET)


class TestConnectionBackpressure:
    async def test_slow_consumer_stops_the_socket_and_still_gets_all(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection_module, "PAUSE_ABOVE_BYTES", 10_000)
        sent = bytes(range(256)) * 40_000  # 10 MB, more than all buffers on the way hold
        async with RawServer(response(sent)) as server:
            connection = await connected(server)
            exchange = connection.send(GET)
            await exchange.head(20)
            held = -1
            async with asyncio.timeout(20):
                while exchange.size != held:
                    held = exchange.size
                    await asyncio.sleep(0.02)
            assert held < 1_000_000, "the socket was not paused"
            assert await body(exchange) == sent
            connection.abort()

    async def test_all_takes_a_body_of_any_size(self) -> None:
        sent = b"x" * 5_000_000
        async with RawServer(response(sent)) as server:
            connection = await connected(server)
            assert await connection.send(GET).all(20) == sent
            connection.abort()

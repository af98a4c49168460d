"""Dialing: which address is tried when, and who wins."""

import asyncio
import socket
from typing import Any

import pytest

from genai_spine.providers.http import dial
from genai_spine.providers.http.dial import alternating, open_socket

V4, V6 = socket.AF_INET, socket.AF_INET6


def resolved(*addresses: tuple[int, str]) -> list[Any]:
    return [(family, socket.SOCK_STREAM, 6, "", (host, 443)) for family, host in addresses]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> "Network":
    return Network(monkeypatch)


class Network:
    """A resolver and a network of which a test says how each address behaves: an error, or silence."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Any] = []
        self.broken: dict[str, OSError] = {}
        self.silent: set[str] = set()
        self.tried: list[str] = []
        self.opened: list[socket.socket] = []
        self.silence = asyncio.Event()
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)
        monkeypatch.setattr(
            asyncio.SelectorEventLoop, "sock_connect", lambda _, sock, address: self._connect(sock, address)
        )

    def _look_up(self, host: str, *_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror("no address")
        return self.answers

    async def _connect(self, sock: socket.socket, address: Any) -> None:
        self.tried.append(address[0])
        self.opened.append(sock)
        if address[0] in self.silent:
            await self.silence.wait()
        if address[0] in self.broken:
            raise self.broken[address[0]]


class TestOrder:
    def test_families_take_turns_in_the_resolvers_order(self) -> None:
        found = alternating([(V6, "a"), (V6, "b"), (V6, "c"), (V4, "d"), (V4, "e")])
        assert [address for _, address in found] == ["a", "d", "b", "e", "c"]

    def test_one_family_stays_as_it_is(self) -> None:
        assert alternating([(V4, "a"), (V4, "b")]) == [(V4, "a"), (V4, "b")]
        assert alternating([]) == []


class TestRace:
    async def test_first_address_that_answers_wins_and_the_others_are_not_tried(
        self, network: Network
    ) -> None:
        network.answers = resolved((V6, "::6"), (V4, "4.4.4.4"))
        with await open_socket("up.test", 443) as sock:
            assert sock.family == V6
        assert network.tried == ["::6"]

    async def test_address_that_is_refused_leaves_the_turn_at_once(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dial, "HEAD_START_S", 3600)
        network.answers = resolved((V6, "::6"), (V6, "::7"), (V4, "4.4.4.4"))
        network.broken = {"::6": ConnectionRefusedError("no"), "4.4.4.4": OSError("no route")}
        with await open_socket("up.test", 443):
            pass
        assert network.tried == ["::6", "4.4.4.4", "::7"]

    async def test_address_that_is_silent_loses_its_head_start(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dial, "HEAD_START_S", 0.01)
        network.answers = resolved((V6, "::6"), (V4, "4.4.4.4"))
        network.silent = {"::6"}
        with await open_socket("up.test", 443) as sock:
            assert sock.family == V4
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [found.fileno() for found in network.opened] == [-1, -1]

    async def test_late_answer_still_wins_when_the_others_fail(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dial, "HEAD_START_S", 0.01)
        network.answers = resolved((V6, "::6"), (V4, "4.4.4.4"))
        network.silent, network.broken = {"::6"}, {"4.4.4.4": OSError("no route")}
        asyncio.get_running_loop().call_later(0.05, network.silence.set)
        with await open_socket("up.test", 443) as sock:
            assert sock.family == V6

    async def test_error_has_each_problem_once(self, network: Network) -> None:
        network.answers = resolved((V6, "::6"), (V6, "::7"), (V4, "4.4.4.4"))
        network.broken = dict.fromkeys(("::6", "::7"), OSError("unreachable")) | {"4.4.4.4": OSError("no")}
        with pytest.raises(OSError, match=r"^unreachable; no$"):
            await open_socket("up.test", 443)
        assert [found.fileno() for found in network.opened] == [-1, -1, -1]

    async def test_wait_that_is_given_up_closes_its_sockets(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dial, "HEAD_START_S", 0.001)
        network.answers = resolved((V6, "::6"), (V4, "4.4.4.4"))
        network.silent = {"::6", "4.4.4.4"}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await open_socket("up.test", 443)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(network.opened) == 2
        assert [found.fileno() for found in network.opened] == [-1, -1]

    async def test_name_without_an_address_is_an_error(self, network: Network) -> None:
        with pytest.raises(OSError, match=r"up\.test has no address"):
            await open_socket("up.test", 443)


async def test_name_that_can_be_none_is_an_error() -> None:
    with pytest.raises(OSError, match="is no name of a host"):
        await open_socket("x" * 70 + ".test", 443)

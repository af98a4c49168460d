"""Hosts of a pool: who is asked, who is left out, who comes back."""

import asyncio

import pytest

from genai_spine.errors import ModelNotFound, ProviderUnavailable
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.routing import host_pool
from genai_spine.routing.circuit_breaker import UpstreamLimits
from genai_spine.routing.host_pool import Host, HostPool
from genai_spine.routing.upstream import Upstream

LIMITS = UpstreamLimits(failures=0)


class Checked(Provider):
    """Answers health checks as the test says."""

    outcome: Exception | None = None
    checks = 0

    async def health(self) -> None:
        self.checks += 1
        if self.outcome is not None:
            raise self.outcome


def unreachable(code: str = "connect") -> ProviderUnavailable:
    return ProviderUnavailable(provider="x", provider_message="refused", provider_code=code)


def upstream(*urls: str, keys: tuple[str | None, ...] = (None,)) -> Upstream:
    return Upstream([Checked(Endpoint("x", url, key)) for key in keys for url in urls], LIMITS)


def urls(found: Upstream, count: int) -> list[str]:
    """Hosts of the next calls, none of which ends."""
    slots = [found.acquire("m") for _ in range(count)]
    return [slot.host.url for slot in slots if slot is not None]


def test_calls_go_to_the_host_with_the_fewest() -> None:
    found = upstream("a", "b")
    first, second = found.acquire("m"), found.acquire("m")
    assert first is not None
    assert second is not None
    assert {first.host.url, second.host.url} == {"a", "b"}
    found.release(second, "m", None)
    assert urls(found, 1) == [second.host.url]


def test_hosts_and_keys_take_turns() -> None:
    found = upstream("a", "b", keys=("k", "l"))
    assert len(found.pool.hosts) == 2
    slots = [found.acquire("m") for _ in range(4)]
    assert len({(slot.host.url, slot.provider.endpoint.api_key) for slot in slots if slot}) == 4


@pytest.mark.parametrize("code", host_pool.UNREACHABLE)
def test_a_host_that_cannot_be_connected_to_is_left_out_at_once(code: str) -> None:
    found = upstream("a", "b")
    slot = found.acquire("m")
    assert slot is not None
    found.release(slot, "m", unreachable(code))
    other = "b" if slot.host.url == "a" else "a"
    assert urls(found, 3) == [other] * 3
    assert found.live_provider.endpoint.base_url == other


@pytest.mark.parametrize(
    "outcome", [unreachable("connection_lost"), unreachable("503"), ModelNotFound(model="m", hint="")]
)
def test_a_host_that_says_something_stays(outcome: Exception) -> None:
    found = upstream("a", "b")
    slot = found.acquire("m")
    assert slot is not None
    found.release(slot, "m", outcome)
    assert not slot.host.is_down


def test_an_answer_brings_a_host_back() -> None:
    found = upstream("a", "b")
    for host in found.pool.hosts:
        host.failed("gone")
    slot = found.acquire("m")  # while none answers, all are tried
    assert slot is not None
    found.release(slot, "m", None)
    assert [host.is_down for host in found.pool.hosts].count(True) == 1


def test_another_host_is_there_as_long_as_one_answers() -> None:
    found = upstream("a", "b")
    slot = found.acquire("m")
    assert slot is not None
    assert found.has_other_host(slot)
    for host in found.pool.hosts:
        host.failed("gone")
    assert not found.has_other_host(slot)
    alone = upstream("a")
    one = alone.acquire("m")
    assert one is not None
    assert not alone.has_other_host(one)


async def test_a_health_check_takes_a_host_out_and_brings_it_back() -> None:
    provider = Checked(Endpoint("x", "a"))
    pool = HostPool([Host(provider), Host(Checked(Endpoint("x", "b")))], 1.0)
    provider.outcome = unreachable()
    await pool.check()
    assert [host.is_down for host in pool.hosts] == [True, False]
    assert pool.live.url == "b"
    provider.outcome = None
    await pool.check()
    assert not pool.hosts[0].is_down


async def test_a_host_without_a_list_of_models_answers_all_the_same() -> None:
    provider = Checked(Endpoint("x", "a"))
    provider.outcome = ModelNotFound(model="", hint="404")
    pool = HostPool([Host(provider)], 1.0)
    pool.hosts[0].failed("gone")
    await pool.check()
    assert not pool.hosts[0].is_down


async def test_a_fault_of_ours_says_nothing_about_a_host() -> None:
    provider = Checked(Endpoint("x", "a"))
    provider.outcome = KeyError("ours")
    pool = HostPool([Host(provider)], 1.0)
    await pool.check()
    assert not pool.hosts[0].is_down


async def test_one_host_is_never_checked_and_several_until_the_end() -> None:
    alone, several = upstream("a"), upstream("a", "b")
    for found in (alone, several):
        found.pool.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    checks = [
        [getattr(slot.provider, "checks", None) for slot in found.key_slots] for found in (alone, several)
    ]
    assert checks == [[0], [1, 1]]
    await several.close()
    await alone.close()

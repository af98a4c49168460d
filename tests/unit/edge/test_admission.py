"""Admission: so many calls at once, a fair line between tenants, a bounded wait."""

import asyncio

import pytest

from genai_spine.edge.admission import AdmissionLimits, AdmissionQueue
from genai_spine.errors import ServerFull


def line(running: int | None = 1, waiting: int = 10, wait_s: float = 10.0) -> AdmissionQueue:
    return AdmissionQueue(AdmissionLimits(running, waiting, wait_s))


async def waiting(queue: AdmissionQueue, *tenants: str) -> list["asyncio.Task[None]"]:
    """Calls that stand in line, in this order."""
    tasks = []
    for tenant in tenants:
        tasks.append(asyncio.create_task(queue.enter(tenant)))
        await asyncio.sleep(0)
    return tasks


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_without_a_limit_nobody_waits():
    queue = line(None, waiting=0)
    for _ in range(1000):
        await queue.enter("a")
    assert (queue.running, queue.waiting) == (1000, 0)


async def test_the_next_call_runs_when_one_ends():
    queue = line(2)
    for _ in range(2):
        await queue.enter("a")
    first, second = await waiting(queue, "a", "a")
    assert (queue.running, queue.waiting) == (2, 2)
    queue.leave("a")
    await settled()
    assert (first.done(), second.done()) == (True, False)
    queue.leave("a")
    await second
    queue.leave("a")
    queue.leave("a")
    assert (queue.running, queue.waiting) == (0, 0)


async def test_one_call_of_a_tenant_is_next_behind_a_thousand_of_another():
    queue = line(4, waiting=2000)
    for _ in range(4):
        await queue.enter("busy")
    crowd = await waiting(queue, *["busy"] * 1000)
    [single] = await waiting(queue, "quiet")
    queue.leave("busy")
    await settled()
    assert single.done()
    assert not any(task.done() for task in crowd)
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert (queue.running, queue.waiting) == (4, 0)


async def test_tenants_that_wait_share_the_server_evenly():
    queue = line(6, waiting=100)
    for _ in range(6):
        await queue.enter("first")
    tasks = await waiting(queue, *["first"] * 20, *["second"] * 20, *["third"] * 20)
    for _ in range(6):
        queue.leave("first")
    await settled()
    ran = [sum(task.done() for task in tasks[at : at + 20]) for at in (0, 20, 40)]
    assert ran == [2, 2, 2]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_full_line_refuses_at_once_and_says_when_to_come_again():
    queue = line(1, waiting=1)
    await queue.enter("a")
    [first] = await waiting(queue, "a")
    with pytest.raises(ServerFull) as refused:
        await queue.enter("a")
    assert refused.value.retry_after_s == 1.0
    assert refused.value.metadata["refused"] == "full"  # Envoy may ask another server
    assert "1 calls are running, and 1 wait" in str(refused.value)
    queue.leave("a")
    await first


async def test_in_a_full_line_the_tenant_with_the_most_calls_makes_room():
    queue = line(1, waiting=3)
    await queue.enter("busy")
    crowd = await waiting(queue, "busy", "busy", "busy")
    [single] = await waiting(queue, "quiet")
    await settled()
    assert [task.done() for task in crowd] == [False, False, True]  # who came last
    with pytest.raises(ServerFull):
        await crowd[2]
    [other] = await waiting(queue, "third")
    assert queue.waiting == 3
    with pytest.raises(ServerFull):  # now nobody has more than the newcomer would have
        await queue.enter("quiet")
    for task in (crowd[0], single, other):
        task.cancel()
    await asyncio.gather(crowd[0], crowd[1], single, other, return_exceptions=True)


async def test_the_wait_is_bounded_and_leaves_nothing_behind():
    queue = line(1, wait_s=0.01)
    await queue.enter("a")
    with pytest.raises(ServerFull) as refused:
        await queue.enter("a")
    assert "refused" not in refused.value.metadata  # it has waited, and is not sent to another server to wait
    assert (queue.running, queue.waiting) == (1, 0)


async def test_who_goes_away_in_its_turn_gives_it_to_the_next():
    queue = line(1)
    await queue.enter("a")
    first, second = await waiting(queue, "a", "a")
    queue.leave("a")  # it is the first one's turn
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await second
    assert (queue.running, queue.waiting) == (1, 0)
    queue.leave("a")
    assert queue.running == 0


async def test_a_raised_limit_lets_more_in():
    queue = line(1)
    await queue.enter("a")
    queue.limits = AdmissionLimits(2, 10, 10.0)
    await queue.enter("a")
    assert queue.running == 2

"""The watchdog: what counts as hung, and how long it waits between restarts."""

import asyncio
import contextlib
from collections.abc import Mapping
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from genai_spine.supervisor import watchdog
from genai_spine.supervisor.health_check import Health
from genai_spine.supervisor.watchdog import (
    MAX_BACKOFF_S,
    MIN_FAILED_CHECKS,
    Backoff,
    StartFailed,
    Watch,
    Watchdog,
)

TIMEOUT_S, CLOSED_S = 0.06, 0.2
S, A, C = Health.SILENT, Health.ANSWERS, Health.CLOSED


class ScriptedChild:
    """Answers its health checks by a script, then always; exits when it is told to, or aborted."""

    kind, labels = "server", dict[str, object]()

    def __init__(self, *script: Health | Exception, starts: tuple[bool, ...] = ()) -> None:
        self.script = list(script)
        self.starts = list(starts)
        self.aborts = self.restarts = 0
        self.exits: asyncio.Queue[int] = asyncio.Queue()
        self.steady, self.restarted = asyncio.Event(), asyncio.Event()

    async def restart(self) -> None:
        self.restarts += 1
        if self.starts and not self.starts.pop(0):
            raise StartFailed("no")
        self.restarted.set()

    async def wait(self) -> int:
        return await self.exits.get()

    async def check(self, limit_s: float) -> Health:
        if not self.script:
            self.steady.set()
            return A
        seen = self.script.pop(0)
        if isinstance(seen, Exception):
            raise seen
        return seen

    async def abort(self) -> None:
        self.aborts += 1
        self.exits.put_nowait(-6)


async def kept(child: ScriptedChild, until: asyncio.Event) -> list[Mapping[str, object]]:
    """What is logged until then."""
    with capture_logs() as logs:
        keeping = asyncio.ensure_future(Watchdog(child, TIMEOUT_S, CLOSED_S).keep())
        async with asyncio.timeout(10):
            await until.wait()
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
    return logs


@pytest.mark.parametrize(
    "script",
    [
        [S] * (MIN_FAILED_CHECKS - 1) + [A],
        ([S] * (MIN_FAILED_CHECKS - 1) + [A]) * 3,
        [C] * MIN_FAILED_CHECKS * 2 + [A],
        [RuntimeError("a fault of ours")] * MIN_FAILED_CHECKS * 2,
    ],
    ids=["busy", "busy again and again", "draining", "not asked"],
)
async def test_process_that_answers_in_time_or_drains_is_left_alone(script: list[Health]) -> None:
    child = ScriptedChild(*script)
    await kept(child, child.steady)
    assert (child.aborts, child.restarts) == (0, 0)


@pytest.mark.parametrize(
    ("script", "seen"),
    [([S] * MIN_FAILED_CHECKS, "silent"), ([C] * 40, "closed")],
    ids=["silent", "closed for longer than a drain takes"],
)
async def test_process_that_answers_no_check_is_aborted_and_restarted(
    script: list[Health], seen: str
) -> None:
    child = ScriptedChild(*script)
    logs = await kept(child, child.restarted)
    assert (child.aborts, child.restarts) == (1, 1)
    hung, died, _ = logs
    assert (hung["event"], hung["seen"]) == ("server_hung", seen)
    assert (died["event"], died["status"]) == ("server_died", -6)


async def test_machine_that_slept_has_missed_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour in which nothing of this process ran passes during one check."""
    child = ScriptedChild(A, S, A)
    asked, now = child.check, asyncio.get_running_loop().time
    slept_s = 0.0

    async def check(limit_s: float) -> Health:
        nonlocal slept_s
        seen = await asked(limit_s)
        slept_s += 3600.0 if seen is S else 0.0
        return seen

    monkeypatch.setattr(child, "check", check)
    monkeypatch.setattr(watchdog, "monotonic", lambda: now() + slept_s)
    await kept(child, child.steady)
    assert slept_s
    assert child.aborts == 0


async def test_restart_that_fails_is_tried_again_for_ever_after_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "MIN_BACKOFF_S", 0.001)
    monkeypatch.setattr(watchdog, "MAX_BACKOFF_S", 0.004)
    child = ScriptedChild(starts=(False,) * 20 + (True,))
    child.exits.put_nowait(1)
    logs = await kept(child, child.restarted)
    assert child.restarts == 21
    assert [entry["event"] for entry in logs] == ["server_died"] + ["server_not_restarted"] * 20 + [
        "server_restarted"
    ]


def test_backoff_is_none_at_first_then_doubles_up_to_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "uniform", lambda least, most: most)
    backoff = Backoff()
    pauses_s = [backoff.next_s() for _ in range(2000)]
    assert pauses_s[:5] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert pauses_s[-1] == MAX_BACKOFF_S
    assert all(one <= other for one, other in pairwise(pauses_s))


def test_servers_that_die_together_do_not_come_back_together() -> None:
    backoffs = [Backoff(deaths=3) for _ in range(20)]
    assert len({backoff.next_s() for backoff in backoffs}) > 1


async def test_process_that_ran_for_long_starts_with_a_clean_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "STEADY_S", 0.0)
    child = ScriptedChild()
    for _ in range(5):
        child.exits.put_nowait(1)
    done = asyncio.Event()
    monkeypatch.setattr(child, "restart", restarts := Restarts(5, done))
    logs = await kept(child, done)
    assert restarts.left == 0
    assert {entry.get("restart_in_s", 0.0) for entry in logs} == {0.0}


async def test_children_come_and_go_under_one_watch() -> None:
    watch = Watch(TIMEOUT_S, CLOSED_S)
    stays, goes = ScriptedChild(), ScriptedChild()
    keeping = asyncio.create_task(watch.keep())
    for child in (stays, goes):
        watch.add(child)
        await child.steady.wait()
    await watch.remove(goes)
    for child in (stays, goes):
        child.exits.put_nowait(1)
    await stays.restarted.wait()
    assert (stays.restarts, goes.restarts) == (1, 0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    stays.exits.put_nowait(1)
    await asyncio.sleep(TIMEOUT_S)
    assert stays.restarts == 1


async def test_fault_of_a_watchdog_ends_the_watch() -> None:
    watch, child = Watch(TIMEOUT_S, CLOSED_S), ScriptedChild()
    child.wait = None  # type: ignore[assignment, method-assign]  # a fault of ours
    watch.add(child)
    with pytest.raises(TypeError):
        await watch.keep()


class Restarts:
    """So many restarts, then done is set."""

    def __init__(self, left: int, done: asyncio.Event) -> None:
        self.left, self.done = left, done

    async def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()

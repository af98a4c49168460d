"""Scheduler: submits the runs of due times, each once, however many processes look.

The row of a due time, the schedule's next one and the run are written in one transaction: whoever dies before
its end has done nothing, and somebody else does it.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from genai_spine.call import Call, Principal
from genai_spine.errors import ServiceUnavailable, SpineError
from genai_spine.runs.library import RunLibrary
from genai_spine.schedules import daily_costs, due_times, submissions
from genai_spine.schedules.makers import MakerEnded, Makers
from genai_spine.store.runs.news import SCHEDULES, Change, RunNews, changing
from genai_spine.store.runs.runs import Submitter
from genai_spine.store.schedules.schedules import ScheduleRows, StoredSchedule
from genai_spine.v1.run_pb2 import Run

LOOK_S = 5.0  # most between two looks, where a schedule that another process makes is told
UNTOLD_S = 1.0  # where it is not
SOON_S = 0.01  # least
DEFAULT_GRACE_S = 60

log = structlog.get_logger()

Made = tuple[Run, Submitter]  # not written yet


@dataclass(slots=True)
class Scheduler:
    """Scheduler of one process; start() and stop()."""

    rows: ScheduleRows
    runs: RunLibrary
    makers: Makers
    _loop: asyncio.Task[None] | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Makes the schedule that ships, and begins to look."""
        await daily_costs.install(self.rows)
        self._loop = asyncio.create_task(self._look_for_ever())

    async def stop(self) -> None:
        """Ends; a due time that is being submitted is submitted by somebody else."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def look(self) -> float:
        """Submits what is due; seconds until the next look."""
        found = await self.rows.look()
        for stored in found.due:
            try:
                await self._make(stored, found.now)
            except ServiceUnavailable:
                raise
            except Exception:  # of one schedule; the others go on, and it is tried again
                log.exception("schedule_not_made", schedule_id=stored.id, due=str(stored.next_at))
        if found.next_at is None:
            return self._longest_s
        wait_s = (found.next_at - found.now).total_seconds()
        if found.due and wait_s <= 0:
            return SOON_S  # its next due time
        return min(self._longest_s, max(SOON_S, wait_s))

    @property
    def _longest_s(self) -> float:
        return LOOK_S if RunNews.of(self.runs.database).is_listening else UNTOLD_S

    async def _look_for_ever(self) -> None:
        with RunNews.of(self.runs.database).subscribed(SCHEDULES) as told:
            while True:
                wait_s = UNTOLD_S
                try:
                    wait_s = await self.look()
                except Exception as error:  # the database is away
                    log.warning("schedules_not_read", cause=str(error)[:300])
                try:
                    async with asyncio.timeout(wait_s):
                        await told.wait()
                except TimeoutError:
                    continue
                told.clear()

    async def _make(self, stored: StoredSchedule, now: datetime) -> None:
        """Does what a due time asks for, unless somebody else does."""
        schedule, due = stored.schedule, stored.next_at
        assert due is not None
        grace_s = (
            schedule.misfire_grace_seconds if schedule.HasField("misfire_grace_seconds") else DEFAULT_GRACE_S
        )
        earliest = now - timedelta(seconds=grace_s)
        if due < earliest:
            await self._write(stored, due_times.after(schedule, due, earliest), "missed")
            return
        following = due_times.after(schedule, due, due)
        try:
            principal = await self.makers.principal(stored)
            made = await self._prepared(stored, due, principal)
        except MakerEnded as ended:
            if await self.rows.pause(stored, str(ended)):
                log.warning("schedule_paused", schedule_id=stored.id, name=schedule.name, reason=str(ended))
            return
        except SpineError as error:
            if isinstance(error, ServiceUnavailable):
                raise
            log.warning(
                "schedule_refused", schedule_id=stored.id, due=due.isoformat(), cause=str(error)[:300]
            )
            await self._write(stored, following, "refused")
            return
        async with changing(self.runs.database) as change:
            if await self.rows.claim(change, stored, following):
                await self._submit(change, stored, made)

    async def _prepared(self, stored: StoredSchedule, due: datetime, principal: Principal) -> Made:
        """Run of a due time. Errors: those of RunSubmissions.prepared()."""
        request = submissions.of_due_time(stored.schedule, due)
        run, submitter = await self.runs.submissions.prepared(request, Call(principal=principal))
        run.schedule_id = stored.id
        return run, submitter

    async def _submit(self, change: Change, stored: StoredSchedule, made: Made) -> None:
        """Writes the run of a due time that this process has claimed, and what became of it."""
        most = stored.schedule.max_instances or 1
        if await self.rows.open_runs(change, stored.id) >= most:
            await self.rows.add_tick(change, stored, "skipped")
            return
        try:
            run_id = await self.runs.submissions.submit_in(change, *made)
        except SpineError as error:  # its idempotency key stands for other work
            if isinstance(error, ServiceUnavailable):
                raise
            log.warning("schedule_refused", schedule_id=stored.id, cause=str(error)[:300])
            await self.rows.add_tick(change, stored, "refused")
            return
        await self.rows.add_tick(change, stored, "submitted", run_id)

    async def _write(self, stored: StoredSchedule, following: datetime | None, outcome: str) -> None:
        """Writes a due time for which no run is made."""
        async with changing(self.runs.database) as change:
            if await self.rows.claim(change, stored, following):
                await self.rows.add_tick(change, stored, outcome)

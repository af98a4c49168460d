"""A process that does nothing but look for due times: `python -m tests.contract.scheduling URL`."""

import asyncio
import sys

from genai_spine.runs.library import RunLibrary
from genai_spine.schedules.makers import Makers
from genai_spine.schedules.scheduler import Scheduler
from genai_spine.store.access.keys import KeyRows
from genai_spine.store.access.tenants import ProjectRows, TenantRows
from genai_spine.store.database import Database
from genai_spine.store.runs.runs import RunRows
from genai_spine.store.runs.transitions import Transitions
from genai_spine.store.schedules.schedules import ScheduleRows
from genai_spine.store.usage.run_spending import RunSpending


def scheduler_of(database: Database) -> Scheduler:
    """Scheduler over a database."""
    runs = RunLibrary(
        database, RunRows(database), Transitions(database), RunSpending(database), lambda _: "cpu"
    )
    makers = Makers(KeyRows(database), TenantRows(database), ProjectRows(database))
    return Scheduler(ScheduleRows(database), runs, makers)


async def look_for_ever(url: str) -> None:
    await scheduler_of(Database(url)).start()
    print("looking", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(look_for_ever(sys.argv[1]))

"""A process that does nothing but look for due times: `python -m tests.contract.scheduling URL`."""

import asyncio
import sys
from typing import Any

from genai_spine.pipelines.library import PipelineLibrary
from genai_spine.runs.library import RunLibrary
from genai_spine.runs.pools import Pools
from genai_spine.runs.results import Results
from genai_spine.runs.submissions import RunSubmissions
from genai_spine.schedules.makers import Makers
from genai_spine.schedules.scheduler import Scheduler
from genai_spine.store.access.keys import KeyRows
from genai_spine.store.access.tenants import ProjectRows, TenantRows
from genai_spine.store.database import Database
from genai_spine.store.pipelines.pipelines import PipelineRows
from genai_spine.store.runs.dead_letters import DeadLetterRows
from genai_spine.store.runs.items import ItemRows
from genai_spine.store.runs.news import Change
from genai_spine.store.runs.runs import RunRows, Submitter
from genai_spine.store.runs.transitions import Transitions
from genai_spine.store.runs.workers import WorkerRows
from genai_spine.store.schedules.schedules import ScheduleRows
from genai_spine.store.usage.run_spending import RunSpending
from genai_spine.v1.run_pb2 import Run


class Unlimited:
    """Admission where there is no budget."""

    async def admit(self, run: Run, submitter: Submitter) -> None:
        """Lets every run in."""

    async def release(self, change: Change, run: Run) -> None:
        """Nothing is reserved."""


def scheduler_of(database: Database) -> Scheduler:
    """Scheduler over a database."""
    admission: Any = Unlimited()
    lanes, pipelines = Pools(WorkerRows(database), lambda: False), PipelineLibrary(PipelineRows(database))
    submissions = RunSubmissions(database, RunRows(database), admission, lanes, pipelines)
    runs = RunLibrary(
        database=database,
        rows=RunRows(database),
        transitions=Transitions(database),
        spending=RunSpending(database),
        letters=DeadLetterRows(database),
        submissions=submissions,
        lanes=lanes,
        results=Results(ItemRows(database), lambda message: None),
    )
    makers = Makers(KeyRows(database), TenantRows(database), ProjectRows(database))
    return Scheduler(ScheduleRows(database), runs, makers)


async def look_for_ever(url: str) -> None:
    await scheduler_of(Database(url)).start()
    print("looking", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(look_for_ever(sys.argv[1]))

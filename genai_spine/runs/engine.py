"""Engine: DBOS, which holds each attempt of a run as a workflow that outlives its process.

The only module that knows it. A workflow's id is `<run_id>.<attempt>`, its input the same, and its body is
RunExecutor.execute(). DBOS says who executes an attempt: a process that comes back late cannot write its end,
and of two that would recover it one does. It is started with the first run of a process, in a thread, because
it costs half a second; its tables are made by `migrate`.

Two functions of its system database are not part of its public interface: the conditional return of a
workflow to a queue, and the claim from it. tests/contract/test_engine.py fails when a version changes them.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from genai_spine.store.runs.transitions import Owner

APPLICATION = "genai-spine"
VERSION = "1"  # of the workflow: constant, so that runs of an older process are taken over by a newer one
MAX_RECOVERIES = 3  # takeovers of an attempt; past that it has failed
MAX_THREADS = 16
RECOVERY_QUEUE = "recovery"

Execute = Callable[[Owner], Awaitable[None]]


class _Process:
    """What the process has once: the workflow is registered with DBOS for good, and runs in one engine."""

    workflow: Any = None
    engine: "Engine | None" = None


class JsonSerializer:
    """Inputs and outputs as JSON: whoever can write the database gets no code executed."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)

    def name(self) -> str:
        return "genai_spine_json"


class Engine:
    """Attempts of runs as workflows of one process. One process has one at a time."""

    def __init__(self, url: str, execute: Execute) -> None:
        """url: of its tables, as Database.engine_url says."""
        self._url = url
        self._execute = execute
        self._executor_id = ""
        self._dbos: Any = None
        self._starting = asyncio.Lock()
        self._ended: dict[str, asyncio.Future[None]] = {}  # by workflow id: done with the work
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, owner: Owner) -> None:
        """Makes an attempt of a run as a workflow, and returns with its end."""
        await self._started(owner.executor_id)
        from dbos import SetWorkflowID

        ended = self._expected(owner)
        with SetWorkflowID(workflow_id(owner)):
            handle = await self._dbos.start_workflow_async(_Process.workflow, owner.run_id, owner.attempt)
        await handle.get_result()
        if not ended.done():  # the engine had it as ended, and our row did not
            await self._execute(owner)

    async def recover(self, owner: Owner) -> None:
        """Goes on with an attempt of a process that is gone, and that owner has taken over, to its end."""
        await self._started(owner.executor_id)
        ended = self._expected(owner)
        if await asyncio.to_thread(self._recover, owner):
            await ended
        else:  # its process ended before the engine knew it
            await self.run(owner)

    async def stop(self) -> None:
        """Ends the engine; workflows that have not ended are taken over by other processes."""
        async with self._starting:
            dbos, self._dbos = self._dbos, None
            if dbos is not None:
                await asyncio.to_thread(dbos.destroy)
                _Process.engine = None

    async def _started(self, executor_id: str) -> None:
        """Starts the engine under a process's id; under another one anew."""
        if self._dbos is not None and self._executor_id == executor_id:
            return
        async with self._starting:
            if self._dbos is not None and self._executor_id == executor_id:
                return
            if self._dbos is not None:
                await asyncio.to_thread(self._dbos.destroy)
            self._loop = asyncio.get_running_loop()
            self._dbos = await asyncio.to_thread(self._launch, executor_id)
            self._executor_id = executor_id

    def _launch(self, executor_id: str) -> Any:
        from dbos import DBOS

        if _Process.engine not in (None, self):
            raise RuntimeError("the process has an engine already")
        _Process.engine = self
        DBOS(config=_config(self._url, executor_id))
        if _Process.workflow is None:
            _Process.workflow = DBOS.workflow(name="run", max_recovery_attempts=MAX_RECOVERIES)(_body)
        DBOS.listen_queues([])
        DBOS.launch()
        return DBOS

    async def execute(self, run_id: str, attempt: int) -> None:
        """Work of a workflow, from whatever loop: it is done on that of the server."""
        work: Any = self._work(Owner(run_id, attempt, self._executor_id))
        if asyncio.get_running_loop() is self._loop:
            await work
            return
        assert self._loop is not None
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _work(self, owner: Owner) -> None:
        try:
            await self._execute(owner)
        finally:
            ended = self._ended.pop(workflow_id(owner), None)
            if ended is not None and not ended.done():
                ended.set_result(None)

    def _expected(self, owner: Owner) -> "asyncio.Future[None]":
        """Future that the end of the work resolves."""
        ended = self._ended[workflow_id(owner)] = asyncio.get_running_loop().create_future()
        return ended

    def _recover(self, owner: Owner) -> bool:
        from dbos import _core, _dbos, _queue

        dbos: Any = _dbos._get_dbos_instance()
        database, id = dbos._sys_db, workflow_id(owner)
        status = database.get_workflow_status(id)
        if status is None or status["status"] not in ("PENDING", "ENQUEUED"):
            return False
        name = f"{RECOVERY_QUEUE}.{owner.run_id}"
        if status["status"] == "PENDING":  # of the process that had it, or of one that took it over in vain
            database.reenqueue_for_recovery(id, [status["executor_id"]], name)
        queue = _queue.Queue(name, token=_queue._INTERNAL_QUEUE_CONSTRUCTION)
        owner_xid = str(uuid4())
        claimed, _ = database.start_queued_workflows(
            queue, owner.executor_id, VERSION, None, owner_xid=owner_xid
        )
        for found in database.get_workflow_statuses(claimed):
            _core.execute_dequeued_workflow(dbos, found, owner_xid)
        return bool(claimed)


async def _body(run_id: str, attempt: int) -> str:
    """Body of the workflow."""
    assert _Process.engine is not None
    await _Process.engine.execute(run_id, attempt)
    return ""


def workflow_id(owner: Owner) -> str:
    """Id of an attempt in the engine."""
    return f"{owner.run_id}.{owner.attempt}"


def _config(url: str, executor_id: str) -> Any:
    return {
        "name": APPLICATION,
        "system_database_url": url,
        "executor_id": executor_id,
        "application_version": VERSION,
        "serializer": JsonSerializer(),
        "run_migrations": False,
        "use_listen_notify": False,
        "max_executor_threads": MAX_THREADS,
        "sys_db_pool_size": 4,
        "log_level": "ERROR",
        "notification_listener_polling_interval_sec": 60.0,
    }

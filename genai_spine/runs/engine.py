"""Engine: DBOS, which holds each attempt of a run as a workflow that outlives its process.

The only module that knows it. A workflow's id is `<run_id>.<attempt>`, its input the same, and its body is
RunExecutor.execute(). Who makes a run, its row says; the engine is asked to start its workflow or to go on
with it, whatever state a death left it in, and of two processes that ask only one gets it. Where it knows no
more than that the workflow has ended, and the row says that it has not, the attempt is made without it. It is
started with the first run of a process, in a thread, because it costs half a second; its tables are made by
`migrate`.

Not part of its public interface are two functions of its system database (the conditional return of a
workflow to a queue and the claim from it), the fields of its pool of threads and of its pollers, and the
serializer that is switched off. tests/contract/test_engine.py fails when a version changes them.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from genai_spine.store.runs import engine_tables
from genai_spine.store.runs.events import Owner

APPLICATION = "genai-spine"
VERSION = "1"  # of the workflow: constant, so that runs of an older process are taken over by a newer one
MAX_THREADS = 16
LISTEN_S = 0.25  # between two looks at nothing, which its end waits for
ENDED_S = 3600.0  # after its end a workflow is deleted: its run's row says all that is asked for later
MAX_DELETED = 500  # workflows at once
ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
RECOVERY_QUEUE = "recovery"

OPEN = ["PENDING", "ENQUEUED"]

Execute = Callable[[Owner], Awaitable[None]]
Running = Callable[[Collection[str]], Awaitable[set[str]]]


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
        self._threads: ThreadPoolExecutor | None = None
        self._starting = asyncio.Lock()
        self._ended: dict[str, asyncio.Future[None]] = {}  # by workflow id: done with the work
        self._loop: asyncio.AbstractEventLoop | None = None

    async def make(self, owner: Owner, *, is_orphan: bool = False) -> None:
        """Makes an attempt of a run as a workflow, and returns with the end of the work.

        is_orphan: another process has begun it, or may have.
        """
        await self._started(owner.executor_id)
        if (ended := self._ended.get(workflow_id(owner))) is not None:  # it is being made
            await asyncio.shield(ended)
            return
        ended = asyncio.get_running_loop().create_future()
        self._ended[workflow_id(owner)] = ended
        try:
            has_begun = await self._begin(owner, is_orphan=is_orphan)
            if not has_begun:  # the engine has it as ended, and our row has not
                await self._execute(owner)
                return
            await ended
        finally:
            self._resolve(owner)

    async def stop(self) -> None:
        """Ends the engine; workflows that have not ended are taken over by other processes."""
        async with self._starting:
            dbos, self._dbos = self._dbos, None
            if dbos is not None:
                await self._write_ends()
                await asyncio.to_thread(dbos.destroy)
                _Process.engine = None

    async def delete_ended(self, running: Running, older_s: float = ENDED_S) -> int:
        """Deletes workflows that are not needed any more, in one batch; returns how many.

        running: of some run ids, those that run. A workflow whose process died between the end of its run and
        its own looks open for ever.
        """
        if self._dbos is None:
            return 0
        until = (datetime.now(UTC) - timedelta(seconds=older_s)).isoformat()
        ids = await asyncio.to_thread(self._listed, {"status": ENDED, "completed_before": until})
        open_ids = await asyncio.to_thread(self._listed, {"status": OPEN, "end_time": until})
        if open_ids:
            live = await running({_run_id(id) for id in open_ids})
            ids += [id for id in open_ids if _run_id(id) not in live]
        if ids:
            await asyncio.to_thread(self._system().delete_workflows, ids)
        return len(ids)

    async def _begin(self, owner: Owner, *, is_orphan: bool) -> bool:
        """Whether the engine executes the attempt now; otherwise it has no more to do with it."""
        if is_orphan and await asyncio.to_thread(self._recover, owner):
            return True
        return await self._start(owner) or await asyncio.to_thread(self._recover, owner)

    async def _start(self, owner: Owner) -> bool:
        """Starts the workflow of an attempt; False: the engine has one already."""
        from dbos import SetWorkflowID, WorkflowHandleAsync

        with SetWorkflowID(workflow_id(owner)):
            handle: WorkflowHandleAsync[str] = await self._dbos.start_workflow_async(
                _Process.workflow, owner.run_id, owner.attempt
            )
        if not hasattr(handle, "task"):  # it polls for the end of one that others have started
            return False
        handle.task.add_done_callback(lambda _: self._resolve(owner))
        return True

    async def _started(self, executor_id: str) -> None:
        """Starts the engine under a process's id; under another one anew.

        Its thread cannot be cancelled: a start whose caller is goes on, and stop() waits for it.
        """
        if self._dbos is None or self._executor_id != executor_id:
            await asyncio.shield(asyncio.create_task(self._start_once(executor_id)))

    async def _start_once(self, executor_id: str) -> None:
        async with self._starting:
            if self._dbos is not None and self._executor_id == executor_id:
                return
            if self._dbos is not None:
                dbos, self._dbos = self._dbos, None
                await asyncio.to_thread(dbos.destroy)
            self._loop = asyncio.get_running_loop()
            self._dbos = await asyncio.to_thread(self._launch, executor_id)
            self._executor_id = executor_id

    def _launch(self, executor_id: str) -> Any:
        from dbos import DBOS

        if _Process.engine not in (None, self):
            raise RuntimeError("the process has an engine already")
        _Process.engine = self
        _refuse_pickles()
        DBOS(config=_config(self._url, executor_id))
        if _Process.workflow is None:  # who may recover it how often, our row says
            _Process.workflow = DBOS.workflow(name="run", max_recovery_attempts=None)(_body)
        DBOS.listen_queues([])
        try:
            DBOS.launch()
        except BaseException:  # the database is away
            DBOS.destroy()
            raise
        engine_tables.tune(self._system().engine)
        self._keep_threads()
        self._end_polling()
        return DBOS

    def _end_polling(self) -> None:
        """Ends the threads that look for due timers, schedules and queues each second: there are none."""
        from dbos import _dbos

        instance: Any = _dbos._get_dbos_instance()
        for event in (*instance.background_thread_stop_events, instance._background_jobs_stop_event):
            event.set()

    def _keep_threads(self) -> None:
        """Has the loop keep threads that outlive the engine.

        DBOS makes its own pool that of the loop, with each workflow. Its end, at a new launch, would cancel
        whatever else the process does in threads, and refuse it from then on.
        """
        from dbos import _dbos

        instance: Any = _dbos._get_dbos_instance()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="engine-")
        self._threads.executor = instance._executor  # type: ignore[attr-defined]  # which it looks for
        instance._shared_executor_field = self._threads

    def _system(self) -> Any:
        """System database of the engine."""
        from dbos import _dbos

        instance: Any = _dbos._get_dbos_instance()
        return instance._sys_db

    async def _write_ends(self) -> None:
        """Lets workflows write that they ended, whose work is done already."""
        from dbos import _dbos

        instance: Any = _dbos._get_dbos_instance()
        if tasks := list(instance._workflow_tasks):
            await asyncio.wait(tasks, timeout=1.0)

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
            self._resolve(owner)

    def _resolve(self, owner: Owner) -> None:
        """The work of an attempt is done, or the engine has given up on it."""
        ended = self._ended.pop(workflow_id(owner), None)
        if ended is not None and not ended.done():
            ended.set_result(None)

    def _recover(self, owner: Owner) -> bool:
        """Goes on with the workflow of an attempt; False: there is none, or it is not ours."""
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
        found = [one for one in database.get_workflow_statuses(claimed) if one["workflow_uuid"] == id]
        for one in found:
            _core.execute_dequeued_workflow(dbos, one, owner_xid)
        return bool(found)

    def _listed(self, filters: dict[str, Any]) -> list[str]:
        found = self._system().list_workflows(
            **filters, limit=MAX_DELETED, load_input=False, load_output=False
        )
        return [workflow.workflow_id for workflow in found]


async def _body(run_id: str, attempt: int) -> str:
    """Body of the workflow."""
    assert _Process.engine is not None
    await _Process.engine.execute(run_id, attempt)
    return ""


def workflow_id(owner: Owner) -> str:
    """Id of an attempt in the engine."""
    return f"{owner.run_id}.{owner.attempt}"


def _refuse_pickles() -> None:
    """Has DBOS read no pickle: a row names its own serializer, whatever the configuration says."""
    from dbos import _serialization

    def refuse(text: str) -> Any:
        raise ValueError("a pickle in the tables of the engine is not read")

    setattr(_serialization.DefaultSerializer, "deserialize", staticmethod(refuse))  # noqa: B010


def _run_id(workflow: str) -> str:
    return workflow.rpartition(".")[0]


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
        "notification_listener_polling_interval_sec": LISTEN_S,
    }

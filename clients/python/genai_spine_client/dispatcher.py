"""Dispatcher of durable runs: what `spine.runs` and its double in memory have in common."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from genai_spine_client.errors import RunFailed
from genai_spine_client.gen.genai_spine.v1 import (
    CreateRunRequest,
    Run,
    RunEvent,
    RunOptions,
    RunWebhook,
    Work,
)
from genai_spine_client.gen.google.protobuf import Struct


class Dispatcher(ABC):
    """Submits work by its name or as it is, and looks after it.

    Every call raises SpineError. `options` are fields of RunOptions: priority, lane, idempotency_key,
    correlation_id, metadata, not_before, deadline, max_retries, ...; `webhook` may be an address, `timeout` a
    number of seconds.
    """

    async def submit(self, work: Work, **options: Any) -> Run:
        """Submits work as it is: the request of another method."""
        return await self._create(CreateRunRequest(work=work, options=_options(options)))

    async def submit_task(self, name: str, params: Mapping[str, Any] | None = None, **options: Any) -> Run:
        """Submits a task by its name, such as summarize or genai.summarize."""
        return await self._named("task", name, params, options)

    async def submit_workflow(
        self, name: str, params: Mapping[str, Any] | None = None, **options: Any
    ) -> Run:
        """Submits a workflow by its name, such as batch_summarize."""
        return await self._named("workflow", name, params, options)

    async def submit_pipeline(
        self, name: str, params: Mapping[str, Any] | None = None, **options: Any
    ) -> Run:
        """Submits a pipeline by its name."""
        return await self._named("pipeline", name, params, options)

    async def submit_operation(
        self, name: str, params: Mapping[str, Any] | None = None, **options: Any
    ) -> Run:
        """The same as submit_pipeline."""
        return await self.submit_pipeline(name, params, **options)

    async def submit_step(
        self, name: str, params: Mapping[str, Any] | None, parent_run_id: str, **options: Any
    ) -> Run:
        """Submits a part of another run, whose id its correlation id is."""
        return await self._named("step", name, params, options | {"parent_run_id": parent_run_id})

    @abstractmethod
    async def get(self, run_id: str) -> Run | None:
        """The run, or None where there is none of that id."""

    async def get_run(self, run_id: str) -> Run | None:
        """The same as get."""
        return await self.get(run_id)

    @abstractmethod
    def list(self, *, limit: int | None = None, **filters: Any) -> AsyncIterator[Run]:
        """Runs, the newest first. filters: kind, status, name, parent_run_id, lane, ..."""

    async def list_runs(self, *, limit: int = 50, **filters: Any) -> Sequence[Run]:
        """The newest runs, at most so many. filters: as of list."""
        return [run async for run in self.list(limit=limit, **filters)]

    @abstractmethod
    async def get_events(self, run_id: str) -> Sequence[RunEvent]:
        """All events of a run until now, in their order."""

    @abstractmethod
    async def get_children(self, run_id: str) -> Sequence[Run]:
        """Runs that have this one as their parent, the oldest first."""

    @abstractmethod
    async def wait(self, run_id: str, timeout_s: float | None = None) -> Run:
        """The run once it has ended and no retry follows. TimedOut: the time is up, and the run goes on."""

    async def result(self, run_id: str, timeout_s: float | None = None) -> Any:
        """The answer of a run, of the type that the work's method answers with; waits for it.

        RunFailed: it failed or was cancelled. TimedOut: the time is up.
        """
        run = await self.wait(run_id, timeout_s)
        if run.status != "completed":
            raise RunFailed(run)
        response = run.response
        if response is None:
            return None
        for name in response.__dataclass_fields__:
            if (answer := getattr(response, name)) is not None:
                return answer
        return None

    @abstractmethod
    async def cancel(self, run_id: str, reason: str | None = None, mode: str | None = None) -> bool:
        """Stops a run and its children; False: there is none of that id, or it has ended."""

    @abstractmethod
    async def retry(self, run_id: str) -> Run:
        """A new run with the work of one that failed."""

    @abstractmethod
    def events(self, run_id: str, after: int = 0, *, include_output: bool = True) -> AsyncGenerator[RunEvent]:
        """Events of a run after a sequence number until its end, first those that are there."""

    @abstractmethod
    async def _create(self, request: CreateRunRequest) -> Run:
        """Submits a request."""

    async def _named(
        self, kind: str, name: str, params: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> Run:
        request = CreateRunRequest(
            kind=kind, name=name, params=Struct.from_dict(dict(params or {})), options=_options(options)
        )
        return await self._create(request)


def _options(given: Mapping[str, Any]) -> RunOptions:
    fields = dict(given)
    if isinstance(fields.get("webhook"), str):
        fields["webhook"] = RunWebhook(url=fields["webhook"])
    if isinstance(fields.get("timeout"), int | float):
        fields["timeout"] = timedelta(seconds=fields["timeout"])
    return RunOptions(**fields)

"""Execution of a pipeline: its steps in their order, from its begin or from where it was left.

Between two steps it looks whether it is cancelled, late, or past a budget. What has ended stands in the
journal and is not made again, whoever goes on with it.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format

from genai_spine.costs import ticks_of, usd_of
from genai_spine.pipelines import graph
from genai_spine.pipelines.definition import DEFAULT_TIMEOUT_S, compensates, fails_fast
from genai_spine.pipelines.estimate import Estimate, estimated
from genai_spine.pipelines.execution import budget_stop, compensation, endings
from genai_spine.pipelines.execution.attempts import BUDGET, TIMEOUT, Attempted, StepError
from genai_spine.pipelines.execution.journal import (
    Event,
    Journal,
    PipelineFailed,
    PipelineLeft,
    PipelineStopped,
    State,
    Tools,
)
from genai_spine.pipelines.execution.progress import Progress
from genai_spine.pipelines.execution.step import COMPLETED, FAILED, StepRun, goes_on, result_of, skipped
from genai_spine.pipelines.step_requests import plain
from genai_spine.v1 import pipeline_pb2 as pb

TICK_S = 0.5  # between two looks at the progress within steps
STARTED, CANCELLED = "workflow.started", "workflow.cancelled"


class Execution:
    """One execution of a pipeline."""

    def __init__(self, tools: Tools, journal: Journal) -> None:
        work = journal.run.work.pipeline
        self._tools, self._journal = tools, journal
        self._definition = work.definition
        self._needs = graph.needs(work.definition)
        self._input = plain(json_format.MessageToDict(work.input_data))
        self._state = State(dict(self._input))
        self._tasks: dict[str, asyncio.Task[pb.PipelineStepResult]] = {}
        self._writing = asyncio.Lock()  # ends, so that progress never falls
        self._problem: tuple[str, str, str] | None = None  # step, error and code that fail it
        self._logged: set[str] = set()
        self._unsaid: list[Event] = []  # events that go with the next write
        self._estimate = Estimate({}, None, 0.0)
        self._progress: Progress

    async def run(self) -> pb.PipelineResult:
        """Result of a pipeline that ended well. Raises PipelineFailed, PipelineLeft, PipelineStopped."""
        await self._resume()
        ticker = asyncio.create_task(self._tick())
        try:
            await self._make_all()
            if self._problem is not None:
                raise await self._failure()
        except asyncio.CancelledError:
            if self._journal.is_stopping:  # by somebody; otherwise another process goes on
                await self._cancel_running()
                self._say_cancelled(self._result())
            raise
        finally:
            ticker.cancel()
            await self._cancel_running()
        result = self._result()
        for event in self._taken():
            self._journal.event(event)
        if "workflow.completed" not in self._logged:
            self._journal.event(endings.completed(result))
        return result

    async def _resume(self) -> None:
        """Takes over what the journal has, and tells that it has started where nobody did."""
        state = self._state
        found = await self._journal.results()
        self._logged = await self._journal.logged()
        for id, result in sorted(found.items(), key=lambda one: one[1].end_time.ToDatetime(UTC)):
            if id.startswith(compensation.PREFIX):
                state.undone[id.removeprefix(compensation.PREFIX)] = result
            else:
                self._keep(result)
        self._estimate = estimated(self._definition, self._input, self._tools.order, self._journal.caller)
        durations = {name: one.seconds for name, one in self._estimate.steps.items()}
        self._progress = Progress(self._definition, 100.0 * self._journal.run.progress, durations)
        for name in state.results:
            self._progress.end(name)
        if STARTED not in self._logged:
            self._unsaid.append(self._started())

    def _started(self) -> Event:
        ticks = self._estimate.ticks
        data = {
            "pipeline_name": self._definition.name,
            "pipeline_version": self._definition.version,
            "input_data_keys": sorted(self._input),
            "estimated_duration_seconds": self._estimate.seconds,
            "estimated_cost_usd": None if ticks is None else usd_of(ticks),
        }
        return Event(STARTED, data)

    def _keep(self, result: pb.PipelineStepResult) -> None:
        """Takes a result into what is known."""
        state = self._state
        state.results[result.step_name] = result
        if result.status == COMPLETED:
            state.order.append(result.step_name)
            state.context[result.output_key] = plain(json_format.MessageToDict(result.output))
        step = self._step(result.step_name)
        is_budget = result.error_code == BUDGET
        if result.status == FAILED and self._problem is None and (is_budget or not goes_on(step)):
            self._problem = (result.step_name, result.error, result.error_code)

    async def _make_all(self) -> None:
        at_once = self._definition.max_concurrent or 1
        while True:
            while len(self._tasks) < at_once and (step := self._next()) is not None:
                if not await self._may_go_on():
                    break
                self._tasks[step.name] = asyncio.create_task(self._make(step))
            if not self._tasks:
                break
            done, _ = await asyncio.wait(
                self._tasks.values(), timeout=self._left_s(), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                self._take(task)
            if not done:
                await self._time_out()
        is_left = self._problem is None and len(self._state.results) < len(self._needs)
        if self._journal.is_stopping and is_left:
            result = self._result()
            self._say_cancelled(result)
            raise PipelineStopped(result)
        if self._journal.is_leaving and is_left:
            raise PipelineLeft

    def _take(self, task: "asyncio.Task[pb.PipelineStepResult]") -> None:
        name = next(name for name, one in self._tasks.items() if one is task)
        del self._tasks[name]
        self._keep(task.result())

    def _next(self) -> pb.PipelineStep | None:
        """Step that may begin; None: there is none, or no further one is to begin."""
        if self._problem is not None and (fails_fast(self._definition) or self._problem[2] == BUDGET):
            return None
        for step in self._definition.steps:
            known = step.name in self._state.results or step.name in self._tasks
            if not known and self._needs[step.name] <= self._state.results.keys():
                return step
        return None

    async def _may_go_on(self) -> bool:
        """Looks at the boundary before a step."""
        if self._journal.is_stopping or self._journal.is_leaving:
            return False
        if self._left_s() <= 0:
            self._fail("", *self._late())
            return False
        levels = await self._tools.levels(self._journal.caller)
        cost = sum(one.cost.cost_ticks for one in self._state.results.values())
        problem, events = budget_stop.stop(levels, cost, self._admitted_ticks)
        for event in events:
            key = f"{event.type}.{event.data.get('action_taken', '')}"
            if not {event.type, key} & self._logged:
                self._journal.event(event)
            self._logged.add(key)
        if problem:
            self._fail("", problem, BUDGET)
        return not problem

    async def _make(self, step: pb.PipelineStep) -> pb.PipelineStepResult:
        """Result of a step, which is written when this returns."""
        place = list(self._needs).index(step.name) + 1
        run = StepRun(self._tools, self._journal, step, place, len(self._needs))
        found = self._unmet(step) or run.skipped(self._state.context)
        if found is not None:
            await self._end(run, found, [])
            return found
        self._progress.begin(step.name)
        await run.begin(self._taken())
        result, costs = await run.make(self._state.context)
        await self._end(run, result, costs)
        return result

    def _taken(self) -> list[Event]:
        """Events that go with what is written now."""
        events, self._unsaid = self._unsaid, []
        return events

    def _unmet(self, step: pb.PipelineStep) -> pb.PipelineStepResult | None:
        """Result of a step that names one that failed, and so is not made."""
        results = self._state.results
        failed = [
            name for name in step.depends_on if results[name].status == FAILED and not self._goes_on(name)
        ]
        return skipped(step.name, f"step {failed[0]} failed") if failed else None

    async def _end(self, run: StepRun, result: pb.PipelineStepResult, costs: list[Event]) -> None:
        """Writes a result, with all that is to be told of it."""
        async with self._writing:
            self._progress.end(result.step_name)
            message = f"{result.step_name} {result.status}"
            progress = self._progress.event(message)
            events = [*self._taken(), *costs, run.event(result), progress]
            if result.status == COMPLETED and result.step_name in self._definition.checkpoints:
                data: dict[str, Any] = {"checkpoint_name": result.step_name, "step_name": result.step_name}
                keys = sorted({*self._state.context, result.output_key})
                data |= {"percent": progress.data["percent"], "data_snapshot_keys": keys}
                events.append(Event("checkpoint.reached", data))
            await self._journal.end(result.step_name, run.step.capability, result, events)

    async def _failure(self) -> PipelineFailed:
        """Undoes what is to be undone, and says how it ended."""
        assert self._problem is not None
        events = self._taken()
        names = compensation.pending(self._definition, self._state) if compensates(self._definition) else []
        took_ms = 0
        if names:
            if "compensation.started" not in self._logged:
                events.append(endings.undoing(self._problem[0], names, self._problem[1]))
            undo = compensation.Undoing(self._tools, self._journal, self._definition, self._state, events)
            took_ms = await undo.run(names)
            events = undo.unsaid
        result = self._result()
        if names:
            is_full = compensation.is_rolled_back(self._definition, self._state)
            events.append(endings.compensated(result, took_ms, is_full=is_full))
        events.append(endings.failed(result, is_retryable=result.error_code == TIMEOUT))
        return PipelineFailed(result, events)

    async def _time_out(self) -> None:
        """Ends the steps that run when the time of the whole is up."""
        error, code = self._late()
        names = list(self._tasks)
        await self._cancel_running()
        for name in names:
            if name in self._state.results:
                continue
            made = Attempted(error=StepError(code, error))
            result = result_of(name, made, datetime.now(UTC))
            place = list(self._needs).index(name) + 1
            await self._end(
                StepRun(self._tools, self._journal, self._step(name), place, len(names)), result, []
            )
            self._keep(result)
        self._fail(names[0], error, code)

    async def _cancel_running(self) -> None:
        """Ends steps that run; one whose end is being written has ended."""
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        self._tasks.clear()
        for task in tasks.values():
            if not task.cancelled() and task.exception() is None:
                self._keep(task.result())

    async def _tick(self) -> None:
        """Tells of progress within steps."""
        while True:
            await asyncio.sleep(TICK_S)
            async with self._writing:
                if self._progress.is_due and self._tasks:
                    self._journal.event(self._progress.event(f"{next(iter(self._tasks))} is running"))

    def _say_cancelled(self, result: pb.PipelineResult) -> None:
        for event in self._taken():
            self._journal.event(event)
        current = next(iter(self._tasks), None)
        if CANCELLED not in self._logged:
            self._journal.event(endings.cancelled(result, self._journal.stop_reason, current))

    def _result(self) -> pb.PipelineResult:
        result = endings.result_of(self._journal.run, self._state)
        if self._problem is not None:
            step, result.error, result.error_code = self._problem
            result.success = False
            if step:
                result.failed_step = step
        elif len(self._state.results) < len(self._needs):
            result.success = False
        return result

    def _fail(self, step: str, error: str, code: str) -> None:
        self._problem = self._problem or (step, error, code)

    def _late(self) -> tuple[str, str]:
        return f"it took longer than {self._timeout_s:g} s", TIMEOUT

    def _left_s(self) -> float:
        """Seconds until the time of the whole is up, also where another process began it."""
        run = self._journal.run
        started = run.start_time.ToDatetime(UTC) if run.HasField("start_time") else datetime.now(UTC)
        return max(0.0, self._timeout_s - (datetime.now(UTC) - started).total_seconds())

    @property
    def _timeout_s(self) -> float:
        given = self._definition.HasField("timeout_s")
        return self._definition.timeout_s if given else DEFAULT_TIMEOUT_S

    @property
    def _admitted_ticks(self) -> int | None:
        """What its run was admitted with, and its calls draw on; None: it has no estimate."""
        return ticks_of(self._journal.run.options.estimate_usd) or None

    def _goes_on(self, name: str) -> bool:
        return goes_on(self._step(name))

    def _step(self, name: str) -> pb.PipelineStep:
        return next(step for step in self._definition.steps if step.name == name)

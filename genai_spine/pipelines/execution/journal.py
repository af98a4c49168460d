"""Journal of a pipeline: what its execution is given by the run that it is.

What a step came to is written once, with the events that say so, in one transaction. An execution that is
taken over reads it, and begins where the journal ends.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.pipeline_pb2 import PipelineResult, PipelineStepResult
from genai_spine.v1.run_pb2 import Run


class Event(NamedTuple):
    """Event that is written with what it says."""

    type: str
    data: Mapping[str, Any]


class Journal(Protocol):
    """Run that an execution is."""

    @property
    def run(self) -> Run:
        """The run, as it was when it was begun."""
        ...

    @property
    def caller(self) -> Call:
        """Call on behalf of who submitted it."""
        ...

    @property
    def is_stopping(self) -> bool:
        """Whether somebody asked to cancel it."""
        ...

    @property
    def stop_reason(self) -> str:
        """Why, in the caller's words."""
        ...

    async def results(self) -> Mapping[str, PipelineStepResult]:
        """Results of steps that have ended, by their ids."""
        ...

    async def logged(self) -> set[str]:
        """Types of the events that stand in its log."""
        ...

    async def begin(self, step_id: str, kind: str, events: Sequence[Event]) -> None:
        """Begins a step."""
        ...

    async def end(self, step_id: str, kind: str, result: PipelineStepResult, events: Sequence[Event]) -> None:
        """Ends a step, also one that was not begun."""
        ...

    def event(self, event: Event) -> None:
        """Queues an event that belongs to nothing else; it is written soon."""
        ...

    def call(self, step_id: str, request: Message, timeout_s: float) -> Call:
        """Call of an attempt."""
        ...


class BudgetLevel(NamedTuple):
    """How a budget that counts the run stands."""

    policy: str  # warn, soft_block, hard_block or fallback
    used_ticks: int
    limit_ticks: int
    warn_percent: float


@dataclass(frozen=True, slots=True)
class Tools:
    """Means of an execution."""

    order: ProviderOrder
    do: Callable[[str, Message, Call], Awaitable[Message]]  # work of a member of Work
    watched: Callable[[], AbstractContextManager[Mapping[str, Execution]]]  # calls that are made inside
    levels: Callable[[Call], Awaitable[Sequence[BudgetLevel]]]  # of budgets that count a call
    post: Callable[
        [str, str, Mapping[str, Any], float], Awaitable[None]
    ]  # to a webhook: url, id, body, seconds


class PipelineFailed(Exception):
    """A pipeline that came to its end, and failed."""

    def __init__(self, result: PipelineResult, events: Sequence[Event]) -> None:
        """events: those of its end, which are written with it."""
        super().__init__(result.error)
        self.result, self.events = result, events


class PipelineStopped(Exception):
    """A pipeline that was cancelled at a boundary between two steps."""

    def __init__(self, result: PipelineResult) -> None:
        super().__init__("cancelled")
        self.result = result


@dataclass(slots=True)
class State:
    """State of an execution: the context, and the results of its steps."""

    context: dict[str, Any]
    results: dict[str, PipelineStepResult] = field(default_factory=dict)  # by the name of the step
    undone: dict[str, PipelineStepResult] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)  # names of steps that ended well

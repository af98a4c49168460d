"""Durable runs of a server: what does the work, who makes them, and their service."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from google.protobuf.message import Message

from genai_spine.billing.budgets import Budgets
from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder
from genai_spine.errors import PermissionDenied
from genai_spine.inference.batches.pooled_calls import PooledCalls
from genai_spine.inference.inference import Inference
from genai_spine.pipelines.library import PipelineLibrary
from genai_spine.routing.first_provider import first_provider
from genai_spine.runs import names
from genai_spine.runs.batches.batch import BatchWork
from genai_spine.runs.budgets import RunAdmission
from genai_spine.runs.dead_letters import DAY_S, DEFAULT_RESOLVED_DAYS, DeadLetterLibrary
from genai_spine.runs.engine import Engine
from genai_spine.runs.events import EventWriter
from genai_spine.runs.execution.callers import RunCallers
from genai_spine.runs.execution.context import Handler, Write
from genai_spine.runs.execution.executor import Combinator, RunExecutor
from genai_spine.runs.execution.ingestion import ingesting, querying
from genai_spine.runs.library import RunLibrary
from genai_spine.runs.parts import RunParts
from genai_spine.runs.pipeline import PipelineWork
from genai_spine.runs.pools import Pools
from genai_spine.runs.provider_batches.batches import ProviderBatches
from genai_spine.runs.provider_batches.sweep import ProviderBatchSweep
from genai_spine.runs.results import Results
from genai_spine.runs.submissions import RunSubmissions
from genai_spine.runs.watching import RunWatcher
from genai_spine.runs.webhooks import RunWebhooks
from genai_spine.runs.worker import RunWorker, WorkerRules
from genai_spine.server.access import Access
from genai_spine.server.pipelines import webhook_post
from genai_spine.server.rag import Retrieval
from genai_spine.server.schedules import FILES as SCHEDULE_FILES
from genai_spine.server.schedules import Schedules, webhooks_of
from genai_spine.services import rest_aliases
from genai_spine.services.dead_letter import DeadLetterService
from genai_spine.services.run import RunService
from genai_spine.services.symbol import SymbolService
from genai_spine.settings import Settings
from genai_spine.store.database import Database
from genai_spine.store.idempotency.paid_answers import RunAnswers
from genai_spine.store.pipelines.pipelines import PipelineRows
from genai_spine.store.provider_batches.batches import ProviderBatchRows
from genai_spine.store.rag.collections import CollectionRows
from genai_spine.store.runs.dead_letters import DeadLetterRows
from genai_spine.store.runs.events import EventRows
from genai_spine.store.runs.items import ItemRows
from genai_spine.store.runs.news import RunNews
from genai_spine.store.runs.plain.limits import run_limits
from genai_spine.store.runs.queue_stats import QueueCounts
from genai_spine.store.runs.retention import RunRetention
from genai_spine.store.runs.runs import RunRows
from genai_spine.store.runs.steps import StepRows
from genai_spine.store.runs.transitions import Transitions
from genai_spine.store.runs.workers import WorkerRows
from genai_spine.store.usage.rollups import Rollups
from genai_spine.store.usage.run_spending import RunSpending
from genai_spine.symbols.events import PROGRESS
from genai_spine.usage.daily_costs import DailyCosts
from genai_spine.v1 import dead_letter_service_pb2, run_service_pb2
from genai_spine.v1.completion_service_pb2 import Completion, CreateCompletionRequest
from genai_spine.v1.dead_letter_service_pb2_grpc import add_DeadLetterServiceServicer_to_server
from genai_spine.v1.media_service_pb2 import CreateSpeechRequest, SpeechChunk
from genai_spine.v1.run_pb2 import Run
from genai_spine.v1.run_service_pb2_grpc import add_RunServiceServicer_to_server
from genai_spine.v1.symbol_service_pb2 import DocumentSymbolsRequest, SymbolEvent
from genai_spine.v1.work_pb2 import AggregateCostsRequest

FILES = (run_service_pb2, dead_letter_service_pb2, *SCHEDULE_FILES)
WRITE = "runs:write"  # scope of who submits

log = structlog.get_logger()


@dataclass(slots=True)
class Runs:
    """Durable runs of one process: no reload replaces them, only what does their work."""

    worker: RunWorker
    library: RunLibrary
    watcher: RunWatcher
    parts: RunParts
    letters: DeadLetterLibrary
    database: Database
    schedules: Schedules
    webhooks: RunWebhooks
    provider_batches: ProviderBatches
    pipelines: PipelineWork
    pipeline_library: PipelineLibrary
    retrieval: Retrieval

    @classmethod
    def of(
        cls, settings: Settings, database: Database, ledger: Ledger, budgets: Budgets, access: Access
    ) -> "Runs":
        """Runs of a server, of which nothing is started yet."""
        rows, transitions, steps = RunRows(database), Transitions(database), StepRows(database)
        events, letters = EventRows(database), DeadLetterRows(database)
        pools = Pools(WorkerRows(database), lambda: settings.lane_fallback == "refuse")
        callers = RunCallers(rows, budgets, access.key_limits, settings.lane)
        executor = RunExecutor(rows, transitions, steps, RunAnswers(database), EventWriter(events), callers)
        worker = RunWorker(
            database,
            Engine(database.engine_url, executor.execute),
            executor,
            worker_rules(settings),
            ledger,
            pools,
        )
        ledger.renewed.append(worker.renewed)
        ledger.renewed.append(_expiry(transitions))
        ledger.makes_run = worker.makes
        webhooks, items = webhooks_of(settings, database), ItemRows(database)
        batches = _provider_batches(settings, database, worker)
        spending = RunSpending(database)
        work = BatchWork(items, lambda member: executor.handlers.get(member), batches, spending.fill)
        library_of_pipelines = PipelineLibrary(PipelineRows(database))
        pipelines = PipelineWork(events, budgets, webhook_post(webhooks))
        retrieval = Retrieval(settings, database)
        executor.combinators = {"batch": work.run, "pipeline": pipelines.run, **of_documents(retrieval)}
        submissions = RunSubmissions(database, rows, RunAdmission(rows, budgets), pools, library_of_pipelines)
        submissions.check_options = webhooks.check
        library = RunLibrary(
            database=database,
            rows=rows,
            transitions=transitions,
            spending=spending,
            letters=letters,
            submissions=submissions,
            lanes=pools,
            results=Results(items, rest_aliases.fill),
        )
        access.keys.cancel_runs = library.cancel_of_key
        return cls(
            worker=worker,
            library=library,
            watcher=RunWatcher(database),
            parts=RunParts(
                events, steps, items, rows, QueueCounts(database, worker.rules.limits), WorkerRows(database)
            ),
            letters=DeadLetterLibrary(letters, library),
            database=database,
            schedules=Schedules.of(database, library),
            webhooks=webhooks,
            provider_batches=batches,
            pipelines=pipelines,
            pipeline_library=library_of_pipelines,
            retrieval=retrieval,
        )

    async def start(self) -> None:
        """Begins to make runs, to submit those of schedules, and to tell webhooks."""
        await self.worker.start()
        await self.schedules.scheduler.start()
        self.webhooks.start()

    def attach(self, methods: Mapping[str, Any], inference: Inference) -> list[tuple[Any, Any]]:
        """Takes what does the work of one configuration; how gRPC adds each service, and the service.

        methods: services by the names of the contract's.
        """
        executor = self.worker.executor
        self.provider_batches.configured = PooledCalls(inference)
        self.library.submissions.provider_of = partial(first_provider, inference.planner)
        executor.handlers = {
            **handlers(methods, inference),
            "aggregate_costs": _aggregate_costs(DailyCosts(Rollups(self.database))),
            "document_symbols": _document_symbols(methods["SymbolService"], executor),
        }
        service = RunService(self.library, self.watcher, self.parts)
        return [
            (add_RunServiceServicer_to_server, service),
            (add_DeadLetterServiceServicer_to_server, DeadLetterService(self.letters)),
            self.schedules.service(),
        ]

    async def dispatch(self, request: run_service_pb2.CreateRunRequest, call: Call) -> Run:
        """Submits a call as a run in the place of its answer. Errors: PermissionDenied, those of create()."""
        granted = call.principal.scopes
        if granted is not None and WRITE not in granted:
            raise PermissionDenied(scope=WRITE)
        return await self.library.create(request, call)

    async def stop(self, timeout_s: float) -> None:
        """Lets runs end for so long; others take over those that do not."""
        await self.schedules.scheduler.stop()
        await self.worker.stop(timeout_s)
        await self.webhooks.stop()
        await RunNews.of(self.database).close()


def of_documents(retrieval: Retrieval) -> dict[str, Combinator]:
    """Work of runs with documents, by the members of Work."""
    return {"ingestion": ingesting(retrieval.ingestion), "document_query": querying(retrieval.queries)}


def _provider_batches(settings: Settings, database: Database, worker: RunWorker) -> ProviderBatches:
    """Batches at providers, which the worker sweeps."""
    rows = ProviderBatchRows(database)
    batches = ProviderBatches(rows, settings.provider_batch_poll_s, settings.provider_batch_grace_s)
    worker.sweeps.append(ProviderBatchSweep(batches).sweep)
    return batches


def retention_sweeps(settings: Settings, database: Database) -> dict[str, Callable[[], Awaitable[int]]]:
    """Sweeps of runs and dead letters, by table."""
    retention, letters = RunRetention(database), DeadLetterRows(database)
    kept_s = settings.run_retention_days * DAY_S
    return {
        "runs": lambda: retention.sweep(kept_s),
        "run_output": retention.sweep_output,
        "rag_collections": CollectionRows(database).sweep,
        "dead_letters": lambda: letters.purge(DEFAULT_RESOLVED_DAYS * DAY_S),
    }


def _expiry(transitions: Transitions) -> Callable[[], Awaitable[None]]:
    """End of runs whose deadline passes while they wait; every server does it, also one that makes none."""

    async def expire() -> None:
        if expired := await transitions.expire():
            log.info("runs_expired", count=expired)

    return expire


def worker_rules(settings: Settings) -> WorkerRules:
    """Rules of a worker by the settings: one of lane cpu takes all lanes that no other one names."""
    others = settings.run_other_lanes
    return WorkerRules(
        settings.run_lanes or (settings.lane,),
        settings.lane == "cpu" and not settings.run_lanes if others is None else others,
        settings.run_concurrency,
        run_limits(settings.run_lane_limits, settings.run_provider_limits),
    )


def handlers(methods: Mapping[str, Any], inference: Inference) -> dict[str, Handler]:
    """Handlers of the members of Work: the methods of the services that do it at once."""
    found: dict[str, Handler] = {}
    for member in names.MEMBERS:
        method = names.method_of(member)
        if method is not None and method.containing_service.name in methods:
            found[member] = _handler(getattr(methods[method.containing_service.name], method.name))
    found["completion"] = _completion(inference)
    found["speech"] = _speech(inference)
    return found


def _handler(method: Any) -> Handler:
    async def handle(request: Message, call: Call, write: Write) -> Message:
        response: Message = await method(request, call)
        return response

    return handle


def _completion(inference: Inference) -> Handler:
    async def handle(request: CreateCompletionRequest, call: Call, write: Write) -> Completion:
        """Streamed, so that watchers see the text as it comes."""
        whole = ChunkBuilder()
        async with aclosing(inference.stream(request, call, whole)) as chunks:
            async for chunk in chunks:
                for choice in chunk.choices[:]:
                    if choice.index == 0 and choice.content:
                        write(choice.content)
        return whole.completion()

    return handle


def _speech(inference: Inference) -> Handler:
    async def handle(request: CreateSpeechRequest, call: Call, write: Write) -> SpeechChunk:
        """All of the sound in one piece, with the units and cost of the last one."""
        sound, last = bytearray(), SpeechChunk()
        async for chunk in inference.create_speech(request, call):
            sound += chunk.data
            last.MergeFrom(chunk)
        last.data = bytes(sound)
        return last

    return handle


def _aggregate_costs(daily: DailyCosts) -> Handler:
    async def handle(request: AggregateCostsRequest, call: Call, write: Write) -> Message:
        return await daily.aggregate(request, call)

    return handle


def _document_symbols(symbols: SymbolService, executor: RunExecutor) -> Handler:
    async def handle(request: DocumentSymbolsRequest, call: Call, write: Write) -> Message:
        """Job whose events of progress are those of its run, whether the caller wants them or not."""
        reporting = DocumentSymbolsRequest()
        reporting.CopyFrom(request)
        reporting.report_progress = True

        def report(event: SymbolEvent) -> None:
            done, total = event.payload.done, event.payload.total
            running = executor.running.get(call.run_id or "")
            if running is not None and event.type == PROGRESS and total:
                executor.writer.progress(running.owner, done / total, f"{done} of {total} symbols")

        return await symbols.job(reporting, call, report)

    return handle

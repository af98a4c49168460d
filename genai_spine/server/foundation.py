"""Foundation of a server: what no reload replaces, and what is swept in it."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import grpc
import structlog

from genai_spine.access.provider_objects import ObjectOwners
from genai_spine.access.rate_limits import RateLimiter
from genai_spine.access.secrets import LEDGER, of_stored_answers
from genai_spine.billing.budgets import Budgets
from genai_spine.billing.ledger.journal import Journal
from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.billing.ledger.writer import LedgerTimeouts
from genai_spine.delivery.background_completions import BackgroundCompletions
from genai_spine.delivery.delivery import Delivery
from genai_spine.delivery.idempotency import Idempotency
from genai_spine.delivery.lost_streams import LostStreams
from genai_spine.delivery.message_seal import MessageSeal
from genai_spine.delivery.response_cache import ResponseCache
from genai_spine.delivery.shared_call import SharedCalls
from genai_spine.delivery.stored_completions import StoredCompletions
from genai_spine.edge.admission import AdmissionLimits
from genai_spine.edge.interceptor import ServiceInterceptor
from genai_spine.edge.keyed_calls import KeyedCalls
from genai_spine.edge.lifecycle import CallLifecycle
from genai_spine.edge.stream_text import stream_text
from genai_spine.prompts.library import PromptLibrary
from genai_spine.providers.base import Endpoint
from genai_spine.request_log.redaction import Redactor, is_secret
from genai_spine.request_log.request_log import LogRules, RequestLog
from genai_spine.request_log.switch import LogSwitch
from genai_spine.server.access import Access, root_secret
from genai_spine.server.runs import Runs, retention_sweeps
from genai_spine.server.spending import alerts_of, budget_rows
from genai_spine.settings import Settings
from genai_spine.store.access.rate_limits import RateRows
from genai_spine.store.booking.chain import Chain
from genai_spine.store.booking.lost_calls import LostCalls
from genai_spine.store.completions import Completions
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.files.files import FileRows
from genai_spine.store.idempotency.blocks import StreamBlocks
from genai_spine.store.idempotency.calls import IdempotentCalls
from genai_spine.store.idempotency.news import BlockNews
from genai_spine.store.leases import Leases
from genai_spine.store.prompts import PromptRows
from genai_spine.store.provider_objects import ProviderObjects
from genai_spine.store.request_log.rows import RequestLogRows
from genai_spine.store.responses import Responses
from genai_spine.store.stored_completions import StoredCompletionRows
from genai_spine.store.sweeper import Sweeper
from genai_spine.store.usage.rollups import Rollups
from genai_spine.telemetry.exposition import Exposition

log = structlog.get_logger()


@dataclass(slots=True)
class Foundation:
    """Parts of a server that no reload replaces: what it stores, counts, sweeps and listens with."""

    settings: Settings
    database: Database
    ledger: Ledger
    budgets: Budgets
    limits: RateLimiter
    delivery: Delivery
    background: BackgroundCompletions
    prompts: PromptLibrary
    owners: ObjectOwners
    idempotency: Idempotency
    lifecycle: CallLifecycle
    interceptor: ServiceInterceptor
    sweeper: Sweeper
    access: Access
    request_log: RequestLog
    runs: Runs
    files: FileRows
    metrics: Exposition

    @classmethod
    def lay(cls, settings: Settings, server: grpc.aio.Server) -> "Foundation":
        """Foundation of the settings, of which nothing is started yet. server: it listens with.

        Errors: those of Access.of().
        """
        database = Database(settings.database, settings.db_pool_min, settings.db_pool_max)
        calls = IdempotentCalls(
            database, ttl_s=settings.idempotency_ttl_s, resume_ttl_s=settings.resume_ttl_s
        )
        blocks = StreamBlocks(database)
        ledger = _ledger(settings, database, calls, blocks)
        responses, completions = Responses(database), Completions(database)
        background = BackgroundCompletions(
            completions, lambda: ledger.server_id, ttl_s=settings.stored_completion_ttl
        )
        rows = StoredCompletionRows(database)
        stored = StoredCompletions(rows, ttl_s=settings.stored_completions_days * 86400.0)
        idempotency = Idempotency(calls, blocks, BlockNews(database), ledger, grace_s=settings.keyed_grace_s)
        ledger.renewed.append(idempotency.keep_claims)
        access = Access.of(settings, database)
        entries, files = RequestLogRows(database), FileRows(database)
        budgets = Budgets(budget_rows(settings, database), ledger, alerts_of(settings, database))
        sweeps: dict[str, Callable[[], Awaitable[int]]] = {
            "idempotent_calls": calls.sweep,
            "response_cache": responses.sweep,
            "completions": completions.sweep,
            "stored_completions": rows.sweep,
            "audit_log": access.audit_rows.sweep,
            "usage_rollup": Rollups(database).roll,
            "request_logs": entries.sweep,
            **_budget_sweeps(budgets),
            **retention_sweeps(settings, database),
            "stored_files": files.sweep,
        }
        keyed = KeyedCalls(idempotency, _seal(settings))
        lifecycle = CallLifecycle(settings.lane, keyed, access.authenticator)
        ledger.renewed.append(_counting(Leases(database), lifecycle))
        return cls(
            settings=settings,
            database=database,
            ledger=ledger,
            budgets=budgets,
            limits=RateLimiter(RateRows(database)),
            delivery=Delivery(_cache(settings, responses), SharedCalls(), background, stored),
            background=background,
            prompts=PromptLibrary(PromptRows(database)),
            owners=ObjectOwners(ProviderObjects(database), settings.shared_objects),
            idempotency=idempotency,
            lifecycle=lifecycle,
            interceptor=ServiceInterceptor(server, lifecycle),
            sweeper=Sweeper(sweeps),
            access=access,
            request_log=RequestLog(entries, log_rules(settings)),
            runs=Runs.of(settings, database, ledger, budgets, access),
            files=files,
            metrics=Exposition(settings.metrics_folder),
        )


def _seal(settings: Settings) -> MessageSeal:
    """Seal of kept answers, where there is a root secret."""
    root = root_secret(settings)
    return MessageSeal(None if root is None else partial(of_stored_answers, root))


def _budget_sweeps(budgets: Budgets) -> dict[str, Callable[[], Awaitable[int]]]:
    """Sweeps of what budgets leave behind."""
    return {"budget_counters": budgets.rows.sweep, "budget_alerts": budgets.alerts.rows.sweep}


def _counting(leases: Leases, lifecycle: CallLifecycle) -> Callable[[], Awaitable[None]]:
    """Tells the lifecycle of calls how many servers live on its lane, each time that it is called."""

    async def count() -> None:
        lanes = list((await leases.live()).values())
        lifecycle.servers = lanes.count(lifecycle.lane)

    return count


def _ledger(settings: Settings, database: Database, calls: IdempotentCalls, blocks: StreamBlocks) -> Ledger:
    """Ledger of this process, with its chain where there is a root secret. calls, blocks: of lost streams."""
    root = root_secret(settings)
    executions = Executions(database, None if root is None else Chain(root.keys(LEDGER)[0]))
    ledger = Ledger(
        executions,
        Leases(database),
        lane=settings.lane,
        lease_ttl_s=settings.lease_ttl,
        timeouts=LedgerTimeouts(waits_for_flush=settings.ledger_ack == "flushed"),
    )
    ledger.journal = _journal(settings, database)
    streams = LostStreams(executions, LostCalls(database), calls, blocks, stream_text)
    ledger.lost.append(streams.count)
    return ledger


def _journal(settings: Settings, database: Database) -> Journal | None:
    """Journal of this process; None: callers wait for commits, because they shall or there is no folder."""
    if settings.ledger_ack != "journaled":
        return None
    try:
        return Journal(database.journals(settings.ledger_journal))
    except OSError as error:
        log.warning("no_ledger_journal", cause=str(error))
        return None


def _cache(settings: Settings, responses: Responses) -> ResponseCache | None:
    """Response cache of the settings; None: switched off."""
    if not settings.cache_enabled:
        return None
    shared = responses if settings.cache_backend == "database" else None
    return ResponseCache(shared, ttl_s=settings.cache_ttl, memory_bytes=settings.cache_memory_mb << 20)


def admission_limits(settings: Settings) -> AdmissionLimits:
    """Limits of the calls that run and wait in one process."""
    running = settings.max_concurrent_calls or None
    return AdmissionLimits(running, settings.max_waiting_calls, settings.max_call_wait)


def log_rules(settings: Settings) -> LogRules:
    """Rules of the request log; the settings' own secrets are redacted wherever they stand."""
    secrets = [key for endpoint in settings.endpoints.values() for key in _keys(endpoint)]
    return LogRules(
        LogSwitch(
            settings.request_log == "on",
            frozenset(settings.request_log_on),
            frozenset(settings.request_log_off),
            asks_keys=settings.auth == "on",
        ),
        settings.request_log_max_bytes,
        settings.request_log_days * 86400.0,
        Redactor(secrets, settings.request_log_patterns),
    )


def _keys(endpoint: Endpoint) -> Iterator[str]:
    """Secrets of a provider's settings."""
    yield from (key for key in (endpoint.api_key, *endpoint.more_keys) if key)
    for name, value in (*endpoint.further.items(), *endpoint.headers.items()):
        if is_secret(name, ()):
            yield value

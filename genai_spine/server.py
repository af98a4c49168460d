"""Composition root: store, inference and services wired into one grpc.aio server."""

import asyncio
import gc
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from genai_spine.behaviour.book import BehaviourBook
from genai_spine.billing.ledger import Ledger
from genai_spine.billing.price_book import PriceBook
from genai_spine.capabilities.context import CapabilityDependencies
from genai_spine.catalog.models import Catalog
from genai_spine.catalog.prices import PriceList
from genai_spine.catalog.providers import CapabilityRegistry, described
from genai_spine.configuration.loader import Configuration, reloaded
from genai_spine.delivery.background_completions import BackgroundCompletions
from genai_spine.delivery.delivery import Delivery
from genai_spine.delivery.response_cache import ResponseCache
from genai_spine.delivery.shared_call import SharedCalls
from genai_spine.delivery.stored_completions import StoredCompletions
from genai_spine.edge.channel_options import CHANNEL_OPTIONS
from genai_spine.edge.interceptor import ServiceInterceptor
from genai_spine.edge.reflection import reflect
from genai_spine.errors import SpineError
from genai_spine.inference.attempt import Accounting
from genai_spine.inference.batch_settlement import BatchSettlement
from genai_spine.inference.drift_check import DriftCheck
from genai_spine.inference.inference import Inference, RetryRules
from genai_spine.openai_api.facade import OpenAIFacade
from genai_spine.openai_api.files import FilesFacade
from genai_spine.openai_api.media import MediaFacade
from genai_spine.openai_api.service import OpenAIService
from genai_spine.openai_api.stored_chats import StoredChatFacade
from genai_spine.prompts import default_prompts
from genai_spine.prompts.library import PromptLibrary
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.providers.replay.recorder import recorded
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.routing.router import Router, Surroundings
from genai_spine.routing.upstream import Upstream
from genai_spine.services.capability import CapabilityService, CatalogModels
from genai_spine.services.completion import CompletionService
from genai_spine.services.document import DocumentService
from genai_spine.services.execution import ExecutionService
from genai_spine.services.health import HealthService
from genai_spine.services.media import MediaService
from genai_spine.services.model import ModelService
from genai_spine.services.pricing import PricingService
from genai_spine.services.prompt import PromptService
from genai_spine.services.provider import ProviderService
from genai_spine.services.provider_batch import ProviderBatchService
from genai_spine.services.provider_file import ProviderFileService
from genai_spine.services.session import SessionService
from genai_spine.services.stored_completion import StoredCompletionService
from genai_spine.services.symbol import SymbolService
from genai_spine.sessions.send import MessageSender
from genai_spine.sessions.sessions import SessionLibrary
from genai_spine.settings import Settings
from genai_spine.store import schema
from genai_spine.store.batch_labels import BatchLabels
from genai_spine.store.completions import Completions
from genai_spine.store.database import Database
from genai_spine.store.execution_history import ExecutionHistory
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.store.prompts import PromptRows
from genai_spine.store.responses import Responses
from genai_spine.store.session_messages import SessionMessages
from genai_spine.store.sessions import Sessions
from genai_spine.store.stored_completions import StoredCompletionRows
from genai_spine.store.sweeper import Sweeper
from genai_spine.v1 import (
    capability_service_pb2,
    completion_service_pb2,
    document_service_pb2,
    execution_service_pb2,
    health_service_pb2,
    media_service_pb2,
    model_service_pb2,
    openai_service_pb2,
    pricing_service_pb2,
    prompt_service_pb2,
    provider_batch_service_pb2,
    provider_file_service_pb2,
    provider_service_pb2,
    session_service_pb2,
    stored_completion_service_pb2,
    symbol_service_pb2,
)
from genai_spine.v1.capability_service_pb2_grpc import add_CapabilityServiceServicer_to_server
from genai_spine.v1.completion_service_pb2_grpc import add_CompletionServiceServicer_to_server
from genai_spine.v1.document_service_pb2_grpc import add_DocumentServiceServicer_to_server
from genai_spine.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from genai_spine.v1.health_service_pb2_grpc import add_HealthServiceServicer_to_server
from genai_spine.v1.media_service_pb2_grpc import add_MediaServiceServicer_to_server
from genai_spine.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from genai_spine.v1.openai_service_pb2_grpc import add_OpenAIServiceServicer_to_server
from genai_spine.v1.pricing_service_pb2_grpc import add_PricingServiceServicer_to_server
from genai_spine.v1.prompt_service_pb2_grpc import add_PromptServiceServicer_to_server
from genai_spine.v1.provider_batch_service_pb2_grpc import add_ProviderBatchServiceServicer_to_server
from genai_spine.v1.provider_file_service_pb2_grpc import add_ProviderFileServiceServicer_to_server
from genai_spine.v1.provider_service_pb2_grpc import add_ProviderServiceServicer_to_server
from genai_spine.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from genai_spine.v1.stored_completion_service_pb2_grpc import add_StoredCompletionServiceServicer_to_server
from genai_spine.v1.symbol_service_pb2_grpc import add_SymbolServiceServicer_to_server

# Of each the services are reflected and have a health of their own.
FILES = (
    completion_service_pb2,
    stored_completion_service_pb2,
    openai_service_pb2,
    media_service_pb2,
    prompt_service_pb2,
    provider_service_pb2,
    provider_file_service_pb2,
    provider_batch_service_pb2,
    model_service_pb2,
    pricing_service_pb2,
    health_service_pb2,
    document_service_pb2,
    session_service_pb2,
    execution_service_pb2,
    capability_service_pb2,
    symbol_service_pb2,
)

STREAM_END_S = 1.0  # for the streams that a stop cuts to end with the reason
log = structlog.get_logger()


@dataclass(slots=True)
class Foundation:
    """Parts of a server that no reload replaces: what it stores, counts and listens with."""

    settings: Settings
    database: Database
    ledger: Ledger
    delivery: Delivery
    background: BackgroundCompletions
    prompts: PromptLibrary
    interceptor: ServiceInterceptor


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Knowledge of models that a configuration brings: their prices, and what they accept."""

    prices: PriceBook
    behaviour: BehaviourBook


@dataclass(slots=True)
class Server:
    """Server process: started, reconfigured, drained and stopped in order."""

    grpc: grpc.aio.Server
    foundation: Foundation
    upstreams: dict[str, Upstream]
    symbols: SymbolService
    sweeper: Sweeper
    health: health.aio.HealthServicer
    names: list[str]
    port: int = 0
    replaced: set[asyncio.Task[None]] = field(default_factory=set)  # upstreams that end with their last calls

    @property
    def settings(self) -> Settings:
        """Settings in force."""
        return self.foundation.settings

    @property
    def interceptor(self) -> ServiceInterceptor:
        return self.foundation.interceptor

    @property
    def ledger(self) -> Ledger:
        return self.foundation.ledger

    @property
    def database(self) -> Database:
        return self.foundation.database

    @property
    def delivery(self) -> Delivery:
        return self.foundation.delivery

    async def start(self) -> None:
        """Start of ledger, sweeper and listener, once the tables are checked."""
        await self._check_tables()
        await default_prompts.seed(self.foundation.prompts)
        await self.ledger.start()
        self.sweeper.start()
        for upstream in self.upstreams.values():
            upstream.pool.start()
        await self.grpc.start()
        for name in ("", *self.names):
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def _check_tables(self) -> None:
        """Schema check.

        A scratch database is migrated here, any other one on purpose by `genai-spine migrate`.
        """
        if self.database.is_scratch:
            await schema.upgrade(self.database)
        else:
            await schema.check(self.database)

    async def reload(self, settings: Settings) -> None:
        """New configuration for calls that begin from now on; those that run keep theirs.

        settings: as `loader.reloaded` gives them. Errors: those of adapters and prices, which leave the old
        configuration in force.
        """
        facts = await asyncio.to_thread(_model_facts, settings)
        upstreams = _upstreams(settings, self.settings, self.upstreams)
        self.foundation.settings = settings
        _attach(self.foundation, facts, upstreams, self.symbols)
        older = self.interceptor.calls.next_generation()
        left = [one for one in self.upstreams.values() if one not in upstreams.values()]
        self.upstreams = upstreams
        for upstream in upstreams.values():
            upstream.pool.start()
        task = asyncio.create_task(_close_after(older, left))
        await asyncio.sleep(0)  # it has begun: cancelled now, it closes them all the same
        self.replaced.add(task)
        task.add_done_callback(self.replaced.discard)

    async def stop(self) -> None:
        """Graceful stop: no new calls, up to drain_s for running ones, then the ledger is flushed."""
        drain_s = self.settings.drain_timeout
        self.interceptor.draining = True
        await self.health.enter_graceful_shutdown()
        log.info("draining", running=self.interceptor.running, up_to_s=drain_s)
        await asyncio.sleep(self.settings.drain_delay)
        # A batch that would take longer answers with what it has, rather than be cut off.
        last_orders = asyncio.get_running_loop().call_later(drain_s / 2, self.symbols.stop)
        until = monotonic() + drain_s
        time_is_up = asyncio.get_running_loop().call_later(drain_s, self.interceptor.streams.cut)
        await self.grpc.stop(drain_s + STREAM_END_S)
        last_orders.cancel()
        time_is_up.cancel()
        await self.delivery.drain(max(0.0, until - monotonic()))
        await self.sweeper.stop()
        for task in self.replaced:
            task.cancel()  # which closes what it waits for
        await asyncio.gather(*self.replaced, return_exceptions=True)
        for upstream in self.upstreams.values():
            await upstream.close()
        await self.foundation.prompts.close()
        await self.ledger.stop()
        await self.database.close()


async def _close_after(older: "asyncio.Future[None]", upstreams: list[Upstream]) -> None:
    """Closes upstreams once no call can use them any more."""
    try:
        await older
        for upstream in upstreams:
            while upstream.running:  # for callers that went away
                await upstream.wait(None)
    finally:
        for upstream in upstreams:
            await upstream.close()


def build(settings: Settings) -> Server:
    """Server that listens and is not started yet. settings.grpc_port 0: any free port."""
    database = Database(settings.database, settings.db_pool_min, settings.db_pool_max)
    ledger = Ledger(
        Executions(database), Leases(database), lane=settings.lane, lease_ttl_s=settings.lease_ttl
    )
    responses, completions = Responses(database), Completions(database)
    background = BackgroundCompletions(
        completions, lambda: ledger.server_id, ttl_s=settings.stored_completion_ttl
    )
    rows = StoredCompletionRows(database)
    stored = StoredCompletions(rows, ttl_s=settings.stored_completions_days * 86400.0)
    delivery = Delivery(_cache(settings, responses), SharedCalls(), background, stored)
    sweeps = {
        "response_cache": responses.sweep,
        "completions": completions.sweep,
        "stored_completions": rows.sweep,
    }
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    foundation = Foundation(
        settings=settings,
        database=database,
        ledger=ledger,
        delivery=delivery,
        background=background,
        prompts=PromptLibrary(PromptRows(database)),
        interceptor=ServiceInterceptor(settings.lane, server),
    )
    upstreams = _upstreams(settings, settings, {})
    symbols = _attach(foundation, _model_facts(settings), upstreams)
    names = [service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflect([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")
    return Server(
        grpc=server,
        foundation=foundation,
        upstreams=upstreams,
        symbols=symbols,
        sweeper=Sweeper(sweeps),
        health=checks,
        names=names,
        port=port,
    )


def _model_facts(settings: Settings) -> ModelFacts:
    prices = PriceBook.load(settings.price_overrides, settings.own_price, settings.operator_models)
    return ModelFacts(prices, BehaviourBook.load(settings.behaviour))


def _upstreams(settings: Settings, old: Settings, running: Mapping[str, Upstream]) -> dict[str, Upstream]:
    """Upstreams of the settings; of those that run already, the same where nothing of them has changed."""
    found: dict[str, Upstream] = {}
    for name, endpoint in settings.endpoints.items():
        limits = replace(settings.limits, concurrency=endpoint.max_concurrency)
        known = running.get(name)
        if known is None or old.endpoints[name] != endpoint or known.limits != limits:
            known = Upstream(_instances(endpoint, settings.record), limits)
        found[name] = known
    return found


def _cache(settings: Settings, responses: Responses) -> ResponseCache | None:
    """Response cache of the settings; None: switched off."""
    if not settings.cache_enabled:
        return None
    shared = responses if settings.cache_backend == "database" else None
    return ResponseCache(shared, ttl_s=settings.cache_ttl, memory_bytes=settings.cache_memory_mb << 20)


def _instances(endpoint: Endpoint, record: Path | None) -> list[Provider]:
    """Adapters of a provider, one for each host and API key. record: folder for recorded exchanges."""
    make = PROVIDERS[endpoint.registry_name].make
    return [
        recorded(make(replace(endpoint, base_url=url, api_key=key)), record)
        for key in (endpoint.api_key, *endpoint.more_keys)
        for url in (endpoint.base_url, *endpoint.more_base_urls)
    ]


def _inferences(
    foundation: Foundation, facts: ModelFacts, upstreams: dict[str, Upstream]
) -> tuple[Inference, Inference]:
    """Inference as configured, and one without retries."""
    settings = foundation.settings
    router = Router(
        {name: upstream.provider for name, upstream in upstreams.items()},
        settings.default_provider,
        settings.default_model,
        settings.model_aliases,
        Surroundings(settings.other_lanes, facts.behaviour),
    )
    tiers = Tiers(settings.quality_tiers)
    rules = RetryRules(
        settings.provider_retries,
        settings.fallback_chain,
        settings.fallbacks,
        settings.strict_options,
        tiers,
    )
    accounting = Accounting(foundation.ledger, facts.prices)
    inference = Inference(router, upstreams, accounting, foundation.delivery, rules)
    # A job repeats its calls itself, so that nothing is repeated by two.
    once = Inference(router, upstreams, accounting, foundation.delivery, replace(rules, retries=0))
    return inference, once


def _attach(
    foundation: Foundation,
    facts: ModelFacts,
    upstreams: dict[str, Upstream],
    symbols: SymbolService | None = None,
) -> SymbolService:
    """Services of one configuration attached to the interceptor, in the place of those before.

    symbols: service of the configuration before, which knows its running jobs.
    """
    settings, database = foundation.settings, foundation.database
    providers = {name: upstream.provider for name, upstream in upstreams.items()}
    inference, once = _inferences(foundation, facts, upstreams)
    router, prices, tiers = inference.router, facts.prices, Tiers(settings.quality_tiers)
    if symbols is None:
        symbols = SymbolService(once, settings.symbols)
    symbols.reconfigure(once, settings.symbols)
    catalog = Catalog(router, prices, upstreams)
    registry = CapabilityRegistry(described(provider, prices, tiers) for provider in providers.values())
    completion = CompletionService(inference, catalog, foundation.background)
    files = ProviderFileService(router)
    settlement = BatchSettlement(foundation.ledger, prices, Executions(database), BatchLabels(database))
    batches = ProviderBatchService(router, settlement)
    stored = StoredCompletionService(StoredCompletionRows(database))
    facade = OpenAIService(
        OpenAIFacade(inference), StoredChatFacade(stored), MediaFacade(inference), FilesFacade(files, batches)
    )
    attached: list[tuple[Callable[..., None], Any]] = [
        (add_CompletionServiceServicer_to_server, completion),
        (add_StoredCompletionServiceServicer_to_server, stored),
        (add_OpenAIServiceServicer_to_server, facade),
        (add_PromptServiceServicer_to_server, PromptService(foundation.prompts, inference)),
        (add_MediaServiceServicer_to_server, MediaService(inference)),
        (add_ProviderServiceServicer_to_server, ProviderService(registry, upstreams, catalog)),
        (add_ProviderFileServiceServicer_to_server, files),
        (add_ProviderBatchServiceServicer_to_server, batches),
        (add_ModelServiceServicer_to_server, ModelService(catalog, DriftCheck(inference))),
        (add_PricingServiceServicer_to_server, PricingService(PriceList(catalog))),
        (
            add_ExecutionServiceServicer_to_server,
            ExecutionService(Executions(database), ExecutionHistory(database)),
        ),
        (add_HealthServiceServicer_to_server, HealthService(catalog, database)),
        (add_DocumentServiceServicer_to_server, DocumentService()),
        (
            add_CapabilityServiceServicer_to_server,
            CapabilityService(CapabilityDependencies(inference, foundation.prompts, CatalogModels(catalog))),
        ),
        (add_SymbolServiceServicer_to_server, symbols),
        (add_SessionServiceServicer_to_server, _sessions(database, inference, settings)),
    ]
    for add, service in attached:
        add(service, foundation.interceptor)
    return symbols


def _sessions(database: Database, inference: Inference, settings: Settings) -> SessionService:
    library = SessionLibrary(Sessions(database), SessionMessages(database))
    return SessionService(library, MessageSender(library, inference, settings.lease_ttl))


async def serve(configuration: Configuration, report: Callable[[dict[str, Any]], None]) -> None:
    """Serving until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    report gets {"port": ...} once calls are taken, and for each SIGHUP {"reloaded": ...} or {"refused": why}.
    """
    settings = configuration.settings
    server = build(settings)
    stopping, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    await server.start()
    # What was made until now stays for good: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    log.info("serving", port=server.port, lane=settings.lane, providers=sorted(server.upstreams))
    report({"port": server.port})
    reloading = asyncio.create_task(_reload_forever(server, configuration, reload, report))
    await stopping.wait()
    reloading.cancel()
    await asyncio.gather(reloading, return_exceptions=True)
    await server.stop()
    log.info("stopped")


async def _reload_forever(
    server: Server,
    configuration: Configuration,
    asked: asyncio.Event,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Reads the configuration again, each time that the event is set; one that is wrong changes nothing."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            latest = await asyncio.to_thread(configuration.reread)
            settings, fixed = reloaded(server.settings, latest.settings)
            await server.reload(settings)
        except (ValueError, OSError, SpineError) as error:
            log.error("configuration_refused", cause=str(error))
            report({"refused": str(error)})
            continue
        if fixed:
            log.warning("configuration_needs_restart", settings=fixed)
        log.info("configuration_reloaded", providers=sorted(server.upstreams))
        report({"reloaded": sorted(server.upstreams), "needs_restart": fixed})

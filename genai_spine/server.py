"""Composition root: store, inference and services wired into one grpc.aio server."""

import asyncio
import gc
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from genai_spine.billing.ledger import Ledger
from genai_spine.billing.price_book import PriceBook
from genai_spine.capabilities.context import CapabilityDependencies
from genai_spine.catalog.models import Catalog
from genai_spine.catalog.prices import PriceList
from genai_spine.catalog.providers import CapabilityRegistry, described
from genai_spine.delivery.background_completions import BackgroundCompletions
from genai_spine.delivery.delivery import Delivery
from genai_spine.delivery.response_cache import ResponseCache
from genai_spine.delivery.shared_call import SharedCalls
from genai_spine.delivery.stored_completions import StoredCompletions
from genai_spine.edge.interceptor import ServiceInterceptor
from genai_spine.inference.attempt import Accounting
from genai_spine.inference.batch_settlement import BatchSettlement
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
from genai_spine.routing.router import Router
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

MAX_MESSAGE_BYTES = 40 << 20  # bytes; above Envoy's limit of 32 MiB, so that Envoy's clear 413 comes first
MAX_ANSWER_BYTES = 128 << 20  # bytes; ten images in base64; Envoy's max_response_body_size is the same
STREAM_END_S = 1.0  # for the streams that a stop cuts to end with the reason
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
    ("grpc.so_reuseport", 0),  # two servers on one port would each get some of the connections
    # A stream may be silent for minutes while a model thinks: pings keep it alive, and clients may ping.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    # Above Envoy's 32 KiB of headers, to which it adds some: what it lets in is not refused here.
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.absolute_max_metadata_size", 128 << 10),
]

log = structlog.get_logger()


@dataclass(slots=True)
class Server:
    """Server process: started, drained and stopped in order."""

    grpc: grpc.aio.Server
    interceptor: ServiceInterceptor
    ledger: Ledger
    database: Database
    upstreams: dict[str, Upstream]
    delivery: Delivery
    sweeper: Sweeper
    prompts: PromptLibrary
    symbols: SymbolService
    health: health.aio.HealthServicer
    names: list[str]
    drain_delay_s: float
    drain_s: float
    port: int = 0

    async def start(self) -> None:
        """Start of ledger, sweeper and listener, once the tables are checked."""
        await self._check_tables()
        await default_prompts.seed(self.prompts)
        await self.ledger.start()
        self.sweeper.start()
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

    async def stop(self) -> None:
        """Graceful stop: no new calls, up to drain_s for running ones, then the ledger is flushed."""
        self.interceptor.draining = True
        await self.health.enter_graceful_shutdown()
        log.info("draining", running=self.interceptor.running, up_to_s=self.drain_s)
        await asyncio.sleep(self.drain_delay_s)
        # A batch that would take longer answers with what it has, rather than be cut off.
        last_orders = asyncio.get_running_loop().call_later(self.drain_s / 2, self.symbols.stop)
        until = monotonic() + self.drain_s
        time_is_up = asyncio.get_running_loop().call_later(self.drain_s, self.interceptor.streams.cut)
        await self.grpc.stop(self.drain_s + STREAM_END_S)
        last_orders.cancel()
        time_is_up.cancel()
        await self.delivery.drain(max(0.0, until - monotonic()))
        await self.sweeper.stop()
        for upstream in self.upstreams.values():
            for key_slot in upstream.key_slots:
                await key_slot.provider.close()
        await self.prompts.close()
        await self.ledger.stop()
        await self.database.close()


def build(settings: Settings) -> Server:
    """Server that listens and is not started yet. settings.grpc_port 0: any free port."""
    database = Database(settings.database, settings.db_pool_min, settings.db_pool_max)
    ledger = Ledger(
        Executions(database), Leases(database), lane=settings.lane, lease_ttl_s=settings.lease_ttl
    )
    prices = PriceBook.load(settings.price_overrides, settings.own_price)
    upstreams = {
        name: Upstream(
            _keyed(endpoint, settings.record), replace(settings.limits, concurrency=endpoint.max_concurrency)
        )
        for name, endpoint in settings.endpoints.items()
    }
    providers = {name: upstream.provider for name, upstream in upstreams.items()}
    router = Router(providers, settings.default_provider, settings.default_model, settings.model_aliases)
    tiers = Tiers(settings.quality_tiers)
    rules = RetryRules(settings.provider_retries, settings.fallback_chain, tiers)
    background = BackgroundCompletions(
        Completions(database), lambda: ledger.server_id, ttl_s=settings.stored_completion_ttl
    )
    ttl_s = settings.stored_completions_days * 86400.0
    stored = StoredCompletions(StoredCompletionRows(database), ttl_s=ttl_s)
    delivery = Delivery(_cache(settings, Responses(database)), SharedCalls(), background, stored)
    books = Accounting(ledger, prices)
    inference = Inference(router, upstreams, books, delivery, rules)
    # A job repeats its calls itself, so that nothing is repeated by two.
    once = Inference(router, upstreams, books, delivery, replace(rules, retries=0))
    symbols = SymbolService(once, settings.symbols)
    catalog = Catalog(router, prices)
    server = grpc.aio.server(options=OPTIONS)
    interceptor = ServiceInterceptor(settings.lane, server)
    checks = health.aio.HealthServicer()
    registry = CapabilityRegistry(described(provider, prices, tiers) for provider in providers.values())
    prompts = PromptLibrary(PromptRows(database))
    names = _attach(
        interceptor, CompletionService(inference, catalog, background), registry, prompts, database, symbols
    )
    _attach_sessions(interceptor, inference, database, settings.lease_ttl)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    _reflect([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")
    return Server(
        grpc=server,
        interceptor=interceptor,
        ledger=ledger,
        database=database,
        upstreams=upstreams,
        delivery=delivery,
        sweeper=_sweeper(database),
        prompts=prompts,
        symbols=symbols,
        health=checks,
        names=names,
        drain_delay_s=settings.drain_delay,
        drain_s=settings.drain_timeout,
        port=port,
    )


def _reflect(names: list[str], server: grpc.aio.Server) -> None:
    """Reflection by both names of the service: v1 differs from v1alpha in nothing but the package.

    grpcio-reflection 1.85 has v1alpha alone
    (https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto, 2026-11-29).
    """
    reflection.enable_server_reflection(names, server)
    method = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(
        "grpc.reflection.v1.ServerReflection", {"ServerReflectionInfo": method}
    )
    server.add_generic_rpc_handlers((handlers,))


def _cache(settings: Settings, responses: Responses) -> ResponseCache | None:
    """Response cache of the settings; None: switched off."""
    if not settings.cache_enabled:
        return None
    shared = responses if settings.cache_backend == "database" else None
    return ResponseCache(shared, ttl_s=settings.cache_ttl, memory_bytes=settings.cache_memory_mb << 20)


def _sweeper(database: Database) -> Sweeper:
    """Sweeper of the tables whose rows expire."""
    return Sweeper(
        {
            "response_cache": Responses(database).sweep,
            "completions": Completions(database).sweep,
            "stored_completions": StoredCompletionRows(database).sweep,
        }
    )


def _keyed(endpoint: Endpoint, record: Path | None) -> list[Provider]:
    """Adapters of a provider, one for each API key. record: folder for recorded exchanges."""
    make = PROVIDERS[endpoint.name].make
    keys = (endpoint.api_key, *endpoint.more_keys)
    return [recorded(make(replace(endpoint, api_key=key)), record) for key in keys]


def _attach(
    interceptor: ServiceInterceptor,
    completion: CompletionService,
    registry: CapabilityRegistry,
    prompts: PromptLibrary,
    database: Database,
    symbols: SymbolService,
) -> list[str]:
    """Services attached to the interceptor; returns their full names."""
    inference, catalog = completion.inference, completion.catalog
    providers = ProviderService(registry, inference.upstreams, catalog)
    books = BatchSettlement(inference.ledger, inference.prices, Executions(database), BatchLabels(database))
    files = ProviderFileService(inference.router)
    batches = ProviderBatchService(inference.router, books)
    stored = StoredCompletionService(StoredCompletionRows(database))
    facade = OpenAIService(
        OpenAIFacade(inference),
        StoredChatFacade(stored),
        MediaFacade(inference),
        FilesFacade(files, batches),
    )
    capabilities = CapabilityService(CapabilityDependencies(inference, prompts, CatalogModels(catalog)))
    attached: list[tuple[Callable[..., None], Any]] = [
        (add_CompletionServiceServicer_to_server, completion),
        (add_StoredCompletionServiceServicer_to_server, stored),
        (add_OpenAIServiceServicer_to_server, facade),
        (add_PromptServiceServicer_to_server, PromptService(prompts, inference)),
        (add_MediaServiceServicer_to_server, MediaService(inference)),
        (add_ProviderServiceServicer_to_server, providers),
        (add_ProviderFileServiceServicer_to_server, files),
        (add_ProviderBatchServiceServicer_to_server, batches),
        (add_ModelServiceServicer_to_server, ModelService(catalog)),
        (add_PricingServiceServicer_to_server, PricingService(PriceList(catalog))),
        (
            add_ExecutionServiceServicer_to_server,
            ExecutionService(Executions(database), ExecutionHistory(database)),
        ),
        (add_HealthServiceServicer_to_server, HealthService(catalog, database)),
        (add_DocumentServiceServicer_to_server, DocumentService()),
        (add_CapabilityServiceServicer_to_server, capabilities),
        (add_SymbolServiceServicer_to_server, symbols),
    ]
    for add, service in attached:
        add(service, interceptor)
    return [service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]


def _attach_sessions(
    interceptor: ServiceInterceptor, inference: Inference, database: Database, lease_ttl_s: float
) -> None:
    """Session service, with its library and sender."""
    library = SessionLibrary(Sessions(database), SessionMessages(database))
    sender = MessageSender(library, inference, lease_ttl_s)
    add_SessionServiceServicer_to_server(SessionService(library, sender), interceptor)  # type: ignore[arg-type]


async def serve(settings: Settings, ready: Callable[[int], None]) -> None:
    """Serving until SIGTERM or SIGINT; ready gets the port once calls are taken."""
    server = build(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await server.start()
    # What was made until now stays for good: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    log.info("serving", port=server.port, lane=settings.lane, providers=sorted(server.upstreams))
    ready(server.port)
    await stopping.wait()
    await server.stop()
    log.info("stopped")

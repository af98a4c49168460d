"""Services of one configuration, attached to the interceptor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from genai_spine.behaviour.book import BehaviourBook
from genai_spine.billing.price_book import PriceBook
from genai_spine.budgets.library import BudgetLibrary
from genai_spine.budgets.status import BudgetStatus, Thresholds
from genai_spine.capabilities.context import CapabilityDependencies
from genai_spine.catalog.models import Catalog
from genai_spine.catalog.prices import PriceList
from genai_spine.catalog.providers import CapabilityRegistry, described
from genai_spine.inference.attempt import Accounting
from genai_spine.inference.batches.settlement import BatchSettlement
from genai_spine.inference.drift_check import DriftCheck
from genai_spine.inference.estimate import ReserveRules
from genai_spine.inference.guarded import GuardedInference
from genai_spine.inference.inference import Inference, RetryRules
from genai_spine.media.audio_url import AudioUrls
from genai_spine.media.audio_url import limits as audio_limits
from genai_spine.openai_api.batches.own import OwnProvider, OwnRuns
from genai_spine.openai_api.chats.stored_chats import StoredChatFacade
from genai_spine.openai_api.facade import OpenAIFacade
from genai_spine.openai_api.files import FilesFacade
from genai_spine.openai_api.media import MediaFacade
from genai_spine.openai_api.service import OpenAIService
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.routing.router import Router, Surroundings
from genai_spine.routing.upstream import Upstream
from genai_spine.runs.execution.context import Handler
from genai_spine.runs.pipeline_views import PipelineViews
from genai_spine.security.fetch import Fetcher
from genai_spine.server import access, outbound, pipelines, rag, runs
from genai_spine.server.foundation import Foundation, admission_limits, log_rules
from genai_spine.server.schedules import guard_webhook
from genai_spine.services.budget import BudgetService
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
from genai_spine.services.request_log import RequestLogService
from genai_spine.services.session import SessionService
from genai_spine.services.stored_completion import StoredCompletionService
from genai_spine.services.symbol import SymbolService
from genai_spine.services.usage import UsageService
from genai_spine.sessions.send import MessageSender
from genai_spine.sessions.sessions import SessionLibrary
from genai_spine.settings import Settings
from genai_spine.store.database import Database
from genai_spine.store.execution_history import ExecutionHistory
from genai_spine.store.executions import Executions
from genai_spine.store.runs.items import ItemRows
from genai_spine.store.session_messages import SessionMessages
from genai_spine.store.sessions import Sessions
from genai_spine.store.stored_completions import StoredCompletionRows
from genai_spine.store.usage.sums import UsageSums
from genai_spine.usage.reports import UsageReports
from genai_spine.v1 import (
    budget_service_pb2,
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
    request_log_service_pb2,
    session_service_pb2,
    stored_completion_service_pb2,
    symbol_service_pb2,
    usage_service_pb2,
)
from genai_spine.v1.budget_service_pb2_grpc import add_BudgetServiceServicer_to_server
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
from genai_spine.v1.request_log_service_pb2_grpc import add_RequestLogServiceServicer_to_server
from genai_spine.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from genai_spine.v1.stored_completion_service_pb2_grpc import add_StoredCompletionServiceServicer_to_server
from genai_spine.v1.symbol_service_pb2_grpc import add_SymbolServiceServicer_to_server
from genai_spine.v1.usage_service_pb2_grpc import add_UsageServiceServicer_to_server

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
    request_log_service_pb2,
    capability_service_pb2,
    symbol_service_pb2,
    *access.FILES,
    *runs.FILES,
    *pipelines.FILES,
    *rag.FILES,
    usage_service_pb2,
    budget_service_pb2,
)

Registration = tuple[Callable[..., None], Any]  # how gRPC adds a service, and the service


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Knowledge of models that a configuration brings: their prices, and what they accept."""

    prices: PriceBook
    behaviour: BehaviourBook

    @classmethod
    def load(cls, settings: Settings) -> "ModelFacts":
        """Facts of the settings' files. Errors: those of the files."""
        prices = PriceBook.load(settings.price_overrides, settings.own_price, settings.operator_models)
        return cls(prices, BehaviourBook.load(settings.behaviour))


def _inferences(
    foundation: Foundation, facts: ModelFacts, upstreams: dict[str, Upstream], tiers: Tiers
) -> tuple[Inference, Inference, Inference]:
    """Inference as configured, one without retries, and one without fallbacks either."""
    settings = foundation.settings
    router = Router(
        {name: upstream.provider for name, upstream in upstreams.items()},
        settings.default_provider,
        settings.default_model,
        settings.model_aliases,
        Surroundings(settings.other_lanes, facts.behaviour, settings.access_groups),
    )
    rules = RetryRules(
        settings.provider_retries,
        settings.fallback_chain,
        settings.fallbacks,
        settings.strict_options,
        tiers,
        AudioUrls(Fetcher(audio_limits(is_private=settings.audio_url_private), outbound.trust(settings))),
    )
    reserve = ReserveRules(settings.reserve_max_tokens, settings.budget_unknown_price == "allow")
    accounting = Accounting(
        ledger=foundation.ledger,
        prices=facts.prices,
        owners=foundation.owners,
        budgets=foundation.budgets,
        reserve=reserve,
        limits=foundation.limits,
    )
    inference = GuardedInference(router, upstreams, accounting, foundation.delivery, rules)
    # A job repeats its calls itself, so that nothing is repeated by two.
    once = GuardedInference(router, upstreams, accounting, foundation.delivery, replace(rules, retries=0))
    # A step of a pipeline also has fallbacks of its own.
    bare = replace(rules, retries=0, fallback_chain=(), fallbacks={})
    plain = GuardedInference(router, upstreams, accounting, foundation.delivery, bare)
    inference.webhook = once.webhook = plain.webhook = guard_webhook(settings)
    return inference, once, plain


def attach(
    foundation: Foundation,
    facts: ModelFacts,
    upstreams: dict[str, Upstream],
    symbols: SymbolService | None = None,
) -> SymbolService:
    """Services of one configuration attached to the interceptor, in the place of those before.

    symbols: service of the configuration before, which knows its running jobs.
    """
    settings = foundation.settings
    tiers = Tiers(settings.quality_tiers)
    inference, once, bare = _inferences(foundation, facts, upstreams, tiers)
    if symbols is None:
        symbols = SymbolService(once, settings.symbols)
    symbols.reconfigure(once, settings.symbols)
    registry = CapabilityRegistry(
        described(upstream.provider, facts.prices, tiers) for upstream in upstreams.values()
    )
    catalog = Catalog(inference.router, facts.prices, upstreams)
    order = pipelines.order_of(registry, inference.router, upstreams)
    attached: list[Registration] = [
        *_services(foundation, inference, catalog),
        *_openai_services(foundation, inference),
        (add_BudgetServiceServicer_to_server, _budgets(foundation)),
        *foundation.access.services(),
        *_runs(foundation, inference, catalog, symbols),
        _rag(foundation, inference, catalog),
        (add_ProviderServiceServicer_to_server, ProviderService(registry, upstreams, catalog)),
        (add_SymbolServiceServicer_to_server, symbols),
        _pipelines(foundation, order, runs.handlers(_work_of(foundation, bare, catalog, symbols), bare)),
    ]
    for add, service in attached:
        add(service, foundation.interceptor)
    foundation.lifecycle.queue.limits = admission_limits(settings)
    foundation.access.limit(settings.default_limits)
    log = foundation.request_log
    log.rules = log_rules(settings)
    foundation.lifecycle.request_log = log if log.rules.switch.can_be_on else None
    return symbols


def _services(foundation: Foundation, inference: Inference, catalog: Catalog) -> list[Registration]:
    """Services that answer from inference, the catalog and the database."""
    database, prompts = foundation.database, foundation.prompts
    dependencies = CapabilityDependencies(inference, prompts, CatalogModels(catalog))
    executions = ExecutionService(Executions(database), ExecutionHistory(database))
    completion = CompletionService(inference, catalog, foundation.background)
    sessions = _sessions(database, inference, foundation.settings)
    return [
        (add_CompletionServiceServicer_to_server, completion),
        (add_PromptServiceServicer_to_server, PromptService(prompts, inference)),
        (add_MediaServiceServicer_to_server, MediaService(inference)),
        (add_ModelServiceServicer_to_server, ModelService(catalog, DriftCheck(inference))),
        (add_PricingServiceServicer_to_server, PricingService(PriceList(catalog))),
        (add_ExecutionServiceServicer_to_server, executions),
        (add_RequestLogServiceServicer_to_server, RequestLogService(foundation.request_log)),
        (add_HealthServiceServicer_to_server, HealthService(catalog, database)),
        (add_DocumentServiceServicer_to_server, DocumentService()),
        (add_CapabilityServiceServicer_to_server, CapabilityService(dependencies)),
        (add_SessionServiceServicer_to_server, sessions),
        (add_UsageServiceServicer_to_server, UsageService(UsageSums(database), catalog.prices)),
    ]


def _runs(
    foundation: Foundation, inference: Inference, catalog: Catalog, symbols: SymbolService
) -> list[Registration]:
    """Services of durable runs, whose work the other services do."""
    methods = _work_of(foundation, inference, catalog, symbols)
    foundation.lifecycle.dispatch.submit = foundation.runs.dispatch
    return foundation.runs.attach(methods, inference)


def _pipelines(foundation: Foundation, order: ProviderOrder, handlers: Mapping[str, Handler]) -> Registration:
    """Service of pipelines, and what does their steps from now on."""
    made, library = foundation.runs.pipelines, foundation.runs.pipeline_library
    made.handlers, made.order, library.order = handlers, order, order
    views = PipelineViews(foundation.runs.library, made.events)
    return pipelines.service_of(library, views, order, foundation.budgets)


def _work_of(
    foundation: Foundation, inference: Inference, catalog: Catalog, symbols: SymbolService
) -> dict[str, Any]:
    """Services that do the work of runs, by the names of the contract's."""
    dependencies = CapabilityDependencies(inference, foundation.prompts, CatalogModels(catalog))
    return {
        "CompletionService": CompletionService(inference, catalog, foundation.background),
        "CapabilityService": CapabilityService(dependencies),
        "MediaService": MediaService(inference),
        "PromptService": PromptService(foundation.prompts, inference),
        "SessionService": _sessions(foundation.database, inference, foundation.settings),
        "SymbolService": symbols,
        "RagService": _rag(foundation, inference, catalog)[1],
    }


def _rag(foundation: Foundation, inference: Inference, catalog: Catalog) -> Registration:
    """Service of retrieval."""
    dependencies = CapabilityDependencies(inference, foundation.prompts, CatalogModels(catalog))
    made, library = foundation.runs.retrieval, foundation.runs.library
    return made.service(inference, catalog, CapabilityService(dependencies), library)


def _openai_services(foundation: Foundation, inference: Inference) -> list[Registration]:
    """Services of files, batches and stored completions, and OpenAI's API, which has paths for them."""
    database, router, owners = foundation.database, inference.router, foundation.owners
    settlement = BatchSettlement(inference.accounting, Executions(database), owners.objects)
    own = OwnProvider(foundation.files, OwnRuns(foundation.runs.library, ItemRows(database)))
    files = ProviderFileService(router, owners, own)
    is_of_run = foundation.runs.provider_batches.rows.is_of_run
    batches = ProviderBatchService(router, settlement, owners, own, is_of_run)
    stored = StoredCompletionService(StoredCompletionRows(database))
    facade = OpenAIService(
        OpenAIFacade(inference), StoredChatFacade(stored), MediaFacade(inference), FilesFacade(files, batches)
    )
    return [
        (add_ProviderFileServiceServicer_to_server, files),
        (add_ProviderBatchServiceServicer_to_server, batches),
        (add_StoredCompletionServiceServicer_to_server, stored),
        (add_OpenAIServiceServicer_to_server, facade),
    ]


def _sessions(database: Database, inference: Inference, settings: Settings) -> SessionService:
    library = SessionLibrary(Sessions(database), SessionMessages(database))
    return SessionService(library, MessageSender(library, inference, settings.lease_ttl))


def _budgets(foundation: Foundation) -> BudgetService:
    settings, database = foundation.settings, foundation.database
    library = BudgetLibrary(foundation.budgets.rows, foundation.budgets, foundation.access.audit)
    reports = UsageReports(UsageSums(database))
    thresholds = Thresholds(settings.budget_warn_daily, settings.budget_warn_monthly)
    return BudgetService(library, BudgetStatus(foundation.budgets, reports, thresholds))

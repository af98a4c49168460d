"""What one tenant has stored, and for each RPC how another one tries to reach it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from genai_spine.server import services
from genai_spine.v1 import budget_pb2
from genai_spine.v1 import budget_service_pb2 as budgets
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import dead_letter_service_pb2 as letters
from genai_spine.v1 import execution_service_pb2 as executions
from genai_spine.v1 import openai_service_pb2 as openai
from genai_spine.v1 import pipeline_service_pb2 as pipelines
from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files
from genai_spine.v1 import rag_service_pb2 as rag
from genai_spine.v1 import request_log_service_pb2 as logs
from genai_spine.v1 import session_service_pb2 as sessions
from genai_spine.v1 import stored_completion_service_pb2 as stored
from genai_spine.v1 import usage_service_pb2 as usage
from genai_spine.v1.execution_pb2 import Execution
from tests.service import pipeline_tenancy, rag_tenancy, run_tenancy
from tests.service.running import Running, asked
from tests.upstreams.openai_errors import rate_limited
from tests.upstreams.reply import Reply

MARK = "zebra"  # in all that the owner stores, and in nothing else
SLUG = f"{MARK}-prompt"
LINE = b'{"custom_id":"1","body":{"model":"gpt-4o","messages":[{"role":"user","content":"zebra"}]}}'
METHODS = {
    f"{service.name}/{method.name}": method
    for file in services.FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


async def ask(service: Running, name: str, request: Message, tenant: str, **headers: str) -> list[Any]:
    """Messages that a tenant is answered with; those of OpenAI's paths as the edge asks for them."""
    method = METHODS[name]
    answer = GetMessageClass(method.output_type)
    make = service.channel.unary_stream if method.server_streaming else service.channel.unary_unary
    call: Any = make(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=answer.FromString,
    )
    path = []
    if name.startswith("OpenAIService/"):  # what is stored is the provider's: our own is in tests/acceptance
        path = [("x-envoy-original-path", "/v1/x"), ("x-genai-provider", "openai")]
    metadata = [("x-tenant-id", tenant), *path, *((key.replace("_", "-"), v) for key, v in headers.items())]
    running = call(request, metadata=metadata)
    return [message async for message in running] if method.server_streaming else [await running]


@dataclass
class Stored:
    """All that one tenant has, by the kind of its ids."""

    tenant: str
    ids: dict[str, str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)


async def store(service: Running, tenant: str) -> Stored:
    """Two of each kind of thing, so that lists have pages."""
    found = Stored(tenant)
    ids = found.ids
    for number in range(2):
        prompt = prompts.Prompt(
            name=MARK, slug=f"{SLUG}{number or ''}", user_prompt_template=f"Say {MARK}.", tags=[MARK]
        )
        (made,) = await ask(
            service, "PromptService/CreatePrompt", prompts.CreatePromptRequest(prompt=prompt), tenant
        )
        patch = prompts.Prompt(user_prompt_template=f"Say {MARK} again.")
        await ask(
            service,
            "PromptService/UpdatePrompt",
            prompts.UpdatePromptRequest(prompt_id=made.id, prompt=patch),
            tenant,
        )
        label = prompts.SetPromptLabelRequest(prompt_id=made.id, label=MARK, version=1)
        (made,) = await ask(service, "PromptService/SetPromptLabel", label, tenant)
        ids["prompt"], found.etags["prompt"], ids["slug"] = made.id, made.etag, made.slug
        await _store_answers(service, found)
        await _store_session(service, found)
        await _store_objects(service, found, f"{tenant}-{number}")
        (made,) = await ask(service, "BudgetService/SetBudget", budget(f"{MARK}{number}"), tenant)
        ids["budget"] = str(made.id)
        labels = {
            "correlation_id": MARK,
            "metadata": {MARK: MARK},
            "idempotency_key": [MARK, "other"][number],
        }
        (made,) = await ask(service, "RunService/CreateRun", run_tenancy.work(MARK, **labels), tenant)
        ids["run"] = made.run_id
        ids["letter"] = await _store_dead_letter(service, tenant)
        (made,) = await ask(
            service, "ScheduleService/CreateSchedule", run_tenancy.schedule(f"{MARK}{number}"), tenant
        )
        ids["schedule"] = made.schedule_id
        asked = pipeline_tenancy.pipeline(f"{MARK}{number}".lower())
        (made,) = await ask(service, "PipelineService/CreatePipeline", asked, tenant)
        ids["pipeline"] = made.id
        asked = rag_tenancy.collection(f"{MARK}{number}".lower())
        (made,) = await ask(service, "RagService/CreateCollection", asked, tenant)
        ids["collection"] = made.id
    resolved = letters.ResolveDeadLetterRequest(dead_letter_id=await _store_dead_letter(service, tenant))
    await ask(service, "DeadLetterService/ResolveDeadLetter", resolved, tenant)
    execute = prompts.ExecutePromptRequest(prompt_id=ids["prompt"], model="gpt-4o")
    await ask(service, "PromptService/ExecutePrompt", execute, tenant)
    (listed,) = await ask(
        service, "ExecutionService/ListExecutions", executions.ListExecutionsRequest(), tenant
    )
    ids["execution"] = listed.executions[0].id
    await service.idle()
    await service.server.foundation.request_log.flush()
    (logged,) = await ask(service, "RequestLogService/ListRequestLogs", logs.ListRequestLogsRequest(), tenant)
    ids["log"] = logged.request_logs[0].id
    return found


async def _store_dead_letter(service: Running, tenant: str) -> str:
    service.openai.script(rate_limited())
    (run,) = await ask(service, "RunService/CreateRun", run_tenancy.doomed(), tenant)
    assert run.status == "dead_lettered"
    return str(run.dead_letter_id)


async def _store_answers(service: Running, found: Stored) -> None:
    service.openai.script(Reply(text=MARK))
    request = asked(MARK, store=True, metadata={MARK: MARK})
    (answer,) = await ask(service, "CompletionService/CreateCompletion", request, found.tenant)
    found.ids["stored"] = answer.id
    service.openai.script(Reply(text=MARK))
    request = asked(f"{MARK} once", disconnect_policy=completions.DISCONNECT_POLICY_CONTINUE)
    (answer,) = await ask(service, "CompletionService/CreateCompletion", request, found.tenant)
    found.ids["background"], found.ids["background request"] = answer.id, answer.request_id


async def _store_session(service: Running, found: Stored) -> None:
    create = sessions.CreateSessionRequest(model="gpt-4o", title=MARK)
    (session,) = await ask(service, "SessionService/CreateSession", create, found.tenant)
    service.openai.script(Reply(text=MARK))
    file = sessions.Attachment(filename=MARK, media_type="text/plain", data=MARK.encode())
    send = sessions.SendMessageRequest(session_id=session.id, content=MARK, attachments=[file])
    await ask(service, "SessionService/SendMessage", send, found.tenant)
    (session,) = await ask(
        service, "SessionService/GetSession", sessions.GetSessionRequest(session_id=session.id), found.tenant
    )
    found.ids["session"], found.etags["session"] = session.id, session.etag


async def _store_objects(service: Running, found: Stored, prefix: str) -> None:
    service.openai.cabinet.prefix = prefix  # simulated ids begin anew
    upload = files.UploadFileRequest(provider="openai", filename=MARK, data=LINE, purpose="batch")
    (file,) = await ask(service, "ProviderFileService/UploadFile", upload, found.tenant)
    begin = batches.CreateBatchRequest(
        provider="openai", input_file_id=file.id, endpoint="/v1/chat/completions", metadata={MARK: MARK}
    )
    (batch,) = await ask(service, "ProviderBatchService/CreateBatch", begin, found.tenant)
    found.ids["file"], found.ids["batch"] = file.id, batch.id


def budget(node_key: str) -> Message:
    """A budget that nobody meets."""
    given = budget_pb2.Budget(
        node=budget_pb2.BUDGET_NODE_PROJECT,
        node_key=node_key,
        period=budget_pb2.BUDGET_PERIOD_DAILY,
        limit_usd=1,
    )
    return budgets.SetBudgetRequest(budget=given)


def body(**fields: Any) -> HttpBody:
    return HttpBody(data=json.dumps(fields).encode(), content_type="application/json")


@dataclass(frozen=True)
class Reach:
    """Way to one thing by its id. kind: of Stored.ids."""

    kind: str
    request: Callable[[str], Message]


OPENAI = {"provider": "openai"}
CHAT = "/v1/chat/completions"
NO_METADATA = body(metadata={})
# RPCs that take the id of something stored: who does not have it is told what is told of an id of nobody.
BY_ID: dict[str, list[Reach]] = {
    "CompletionService/GetCompletion": [
        Reach("background", lambda id: completions.GetCompletionRequest(id=id)),
        Reach("background request", lambda id: completions.GetCompletionRequest(id=id)),
    ],
    "StoredCompletionService/GetStoredCompletion": [
        Reach("stored", lambda id: stored.GetStoredCompletionRequest(id=id))
    ],
    "StoredCompletionService/ListStoredMessages": [
        Reach("stored", lambda id: stored.ListStoredMessagesRequest(id=id))
    ],
    "StoredCompletionService/UpdateStoredCompletion": [
        Reach("stored", lambda id: stored.UpdateStoredCompletionRequest(id=id, metadata={"a": "b"}))
    ],
    "StoredCompletionService/DeleteStoredCompletion": [
        Reach("stored", lambda id: stored.DeleteStoredCompletionRequest(id=id))
    ],
    "OpenAIService/GetChatCompletion": [
        Reach("stored", lambda id: openai.GetChatCompletionRequest(completion_id=id))
    ],
    "OpenAIService/ListChatMessages": [
        Reach("stored", lambda id: openai.ListChatMessagesRequest(completion_id=id))
    ],
    "OpenAIService/UpdateChatCompletion": [
        Reach("stored", lambda id: openai.UpdateChatCompletionRequest(completion_id=id, body=NO_METADATA))
    ],
    "OpenAIService/DeleteChatCompletion": [
        Reach("stored", lambda id: openai.GetChatCompletionRequest(completion_id=id))
    ],
    "PromptService/GetPrompt": [
        Reach("prompt", lambda id: prompts.GetPromptRequest(prompt_id=id, include_versions=True)),
        Reach("slug", lambda id: prompts.GetPromptRequest(slug=id)),
    ],
    "PromptService/UpdatePrompt": [
        Reach(kind, lambda id: prompts.UpdatePromptRequest(prompt_id=id, prompt=prompts.Prompt(name="x")))
        for kind in ("prompt", "slug")
    ],
    "PromptService/DeletePrompt": [
        Reach("prompt", lambda id: prompts.DeletePromptRequest(prompt_id=id)),
        Reach("prompt", lambda id: prompts.DeletePromptRequest(prompt_id=id, hard=True)),
        Reach("slug", lambda id: prompts.DeletePromptRequest(prompt_id=id, etag="1")),
    ],
    "PromptService/ListPromptVersions": [
        Reach("prompt", lambda id: prompts.ListPromptVersionsRequest(prompt_id=id))
    ],
    "PromptService/ListPromptVersionsArray": [
        Reach("prompt", lambda id: prompts.ListPromptVersionsArrayRequest(prompt_id=id))
    ],
    "PromptService/GetPromptVersion": [
        Reach("prompt", lambda id: prompts.GetPromptVersionRequest(prompt_id=id, version="1")),
        Reach("slug", lambda id: prompts.GetPromptVersionRequest(prompt_id=id, version=MARK)),
    ],
    "PromptService/RollbackPrompt": [
        Reach("prompt", lambda id: prompts.RollbackPromptRequest(prompt_id=id, version=1))
    ],
    "PromptService/DiffPromptVersions": [
        Reach("prompt", lambda id: prompts.DiffPromptVersionsRequest(prompt_id=id))
    ],
    "PromptService/SetPromptLabel": [
        Reach("prompt", lambda id: prompts.SetPromptLabelRequest(prompt_id=id, label="a", version=1))
    ],
    "PromptService/DeletePromptLabel": [
        Reach("prompt", lambda id: prompts.DeletePromptLabelRequest(prompt_id=id, label=MARK))
    ],
    "PromptService/RenderPrompt": [
        Reach(kind, lambda id: prompts.RenderPromptRequest(prompt_id=id)) for kind in ("prompt", "slug")
    ],
    "PromptService/ExecutePrompt": [
        Reach("prompt", lambda id: prompts.ExecutePromptRequest(prompt_id=id)),
        Reach("slug", lambda id: prompts.ExecutePromptRequest(prompt_slug=id)),
    ],
    "PromptService/StreamPrompt": [
        Reach("slug", lambda id: prompts.ExecutePromptRequest(prompt_slug=id, version="1"))
    ],
    "ProviderFileService/GetFile": [
        Reach("file", lambda id: files.GetFileRequest(provider="openai", file_id=id))
    ],
    "ProviderFileService/DeleteFile": [
        Reach("file", lambda id: files.DeleteFileRequest(provider="openai", file_id=id))
    ],
    "ProviderFileService/DownloadFile": [
        Reach("file", lambda id: files.DownloadFileRequest(provider="openai", file_id=id))
    ],
    "ProviderBatchService/CreateBatch": [
        Reach(
            "file", lambda id: batches.CreateBatchRequest(provider="openai", input_file_id=id, endpoint=CHAT)
        )
    ],
    "ProviderBatchService/GetBatch": [
        Reach("batch", lambda id: batches.GetBatchRequest(provider="openai", batch_id=id))
    ],
    "ProviderBatchService/CancelBatch": [
        Reach("batch", lambda id: batches.CancelBatchRequest(provider="openai", batch_id=id))
    ],
    "OpenAIService/GetFileObject": [Reach("file", lambda id: openai.GetFileObjectRequest(file_id=id))],
    "OpenAIService/DeleteFileObject": [Reach("file", lambda id: openai.GetFileObjectRequest(file_id=id))],
    "OpenAIService/GetFileContent": [Reach("file", lambda id: openai.GetFileObjectRequest(file_id=id))],
    "OpenAIService/CreateBatchObject": [
        Reach("file", lambda id: body(input_file_id=id, endpoint=CHAT, completion_window="24h"))
    ],
    "OpenAIService/GetBatchObject": [Reach("batch", lambda id: openai.GetBatchObjectRequest(batch_id=id))],
    "OpenAIService/CancelBatchObject": [Reach("batch", lambda id: openai.GetBatchObjectRequest(batch_id=id))],
    "SessionService/GetSession": [Reach("session", lambda id: sessions.GetSessionRequest(session_id=id))],
    "SessionService/UpdateSession": [
        Reach(
            "session",
            lambda id: sessions.UpdateSessionRequest(session_id=id, session=sessions.Session(title="x")),
        ),
        Reach(
            "session",
            lambda id: sessions.UpdateSessionRequest(
                session_id=id, session=sessions.Session(title="x", etag="99")
            ),
        ),
    ],
    "SessionService/DeleteSession": [
        Reach("session", lambda id: sessions.DeleteSessionRequest(session_id=id)),
        Reach("session", lambda id: sessions.DeleteSessionRequest(session_id=id, etag="99")),
    ],
    "SessionService/SendMessage": [
        Reach("session", lambda id: sessions.SendMessageRequest(session_id=id, content="x"))
    ],
    "SessionService/StreamMessage": [
        Reach("session", lambda id: sessions.SendMessageRequest(session_id=id, content="x"))
    ],
    "SessionService/ListMessages": [Reach("session", lambda id: sessions.ListMessagesRequest(session_id=id))],
    "SessionService/RegenerateMessage": [
        Reach("session", lambda id: sessions.RegenerateMessageRequest(session_id=id))
    ],
    "SessionService/BranchSession": [
        Reach("session", lambda id: sessions.BranchSessionRequest(session_id=id))
    ],
    "SessionService/ExportSession": [
        Reach("session", lambda id: sessions.ExportSessionRequest(session_id=id))
    ],
    "RequestLogService/GetRequestLog": [
        Reach("log", lambda id: logs.GetRequestLogRequest(request_log_id=id))
    ],
    "RequestLogService/DeleteRequestLogs": [
        Reach("log", lambda id: logs.DeleteRequestLogsRequest(request_log_id=id))
    ],
    "BudgetService/GetBudget": [Reach("budget", lambda id: budgets.GetBudgetRequest(budget_id=int(id)))],
    "BudgetService/ListBudgetCounters": [
        Reach("budget", lambda id: budgets.ListBudgetCountersRequest(budget_id=int(id)))
    ],
    "BudgetService/DeleteBudget": [
        Reach("budget", lambda id: budgets.DeleteBudgetRequest(budget_id=int(id))),
        Reach("budget", lambda id: budgets.DeleteBudgetRequest(budget_id=int(id), etag="1")),
    ],
    "ExecutionService/GetExecution": [
        Reach("execution", lambda id: executions.GetExecutionRequest(execution_id=id))
    ],
    **{name: [Reach(*reach) for reach in reaches] for name, reaches in run_tenancy.BY_ID.items()},
    **{name: [Reach(*reach) for reach in reaches] for name, reaches in pipeline_tenancy.BY_ID.items()},
    **{name: [Reach(*reach) for reach in reaches] for name, reaches in rag_tenancy.BY_ID.items()},
}
# RPCs that list or search what is stored: others see what a tenant without anything sees.
LISTS: dict[str, list[Callable[[Stored], Message]]] = {
    "StoredCompletionService/ListStoredCompletions": [
        lambda a: stored.ListStoredCompletionsRequest(page_size=1),
        lambda a: stored.ListStoredCompletionsRequest(metadata_json=json.dumps({MARK: MARK})),
        lambda a: stored.ListStoredCompletionsRequest(model="gpt-4o", newest_first=True),
    ],
    "OpenAIService/ListChatCompletions": [
        lambda a: openai.ListChatCompletionsRequest(limit=1),
        lambda a: openai.ListChatCompletionsRequest(model="gpt-4o"),
    ],
    "PromptService/ListPrompts": [
        lambda a: prompts.ListPromptsRequest(is_system=False, page_size=1, include_inactive=True),
        lambda a: prompts.ListPromptsRequest(search=MARK),
        lambda a: prompts.ListPromptsRequest(tags=[MARK]),
        lambda a: prompts.ListPromptsRequest(category="custom"),
    ],
    "PromptService/ExportPrompts": [lambda a: prompts.ExportPromptsRequest()],
    "ProviderFileService/ListFiles": [
        lambda a: files.ListFilesRequest(**OPENAI, page_size=1),
        lambda a: files.ListFilesRequest(**OPENAI, purpose="batch", oldest_first=True),
    ],
    "OpenAIService/ListFileObjects": [lambda a: openai.ListFileObjectsRequest(limit=1)],
    "ProviderBatchService/ListBatches": [lambda a: batches.ListBatchesRequest(**OPENAI, page_size=1)],
    "OpenAIService/ListBatchObjects": [lambda a: openai.ListBatchObjectsRequest(limit=1)],
    "SessionService/ListSessions": [
        lambda a: sessions.ListSessionsRequest(page_size=1),
        lambda a: sessions.ListSessionsRequest(search=MARK),
        lambda a: sessions.ListSessionsRequest(model="gpt-4o"),
    ],
    "RequestLogService/ListRequestLogs": [
        lambda a: logs.ListRequestLogsRequest(page_size=1),
        lambda a: logs.ListRequestLogsRequest(request_id=a.ids["background request"]),
        lambda a: logs.ListRequestLogsRequest(model="gpt-4o"),
    ],
    "ExecutionService/ListExecutions": [
        lambda a: executions.ListExecutionsRequest(page_size=1),
        lambda a: executions.ListExecutionsRequest(session_id=a.ids["session"]),
        lambda a: executions.ListExecutionsRequest(request_id=a.ids["background request"]),
        lambda a: executions.ListExecutionsRequest(model="gpt-4o", provider="openai"),
        lambda a: executions.ListExecutionsRequest(prompt_id=a.ids["prompt"]),
        lambda a: executions.ListExecutionsRequest(states=["EXECUTION_STATE_SUCCEEDED"]),
    ],
    "UsageService/GetUsage": [
        lambda a: usage.GetUsageRequest(group_by="session"),
        lambda a: usage.GetUsageRequest(session_id=a.ids["session"]),
        lambda a: usage.GetUsageRequest(prompt_id=a.ids["prompt"]),
    ],
    "BudgetService/ListBudgets": [
        lambda a: budgets.ListBudgetsRequest(page_size=1),
        lambda a: budgets.ListBudgetsRequest(node_key=f"{MARK}1"),
    ],
    "BudgetService/GetBudgetStatus": [lambda a: budgets.GetBudgetStatusRequest()],
    "UsageService/GetCosts": [lambda a: usage.GetCostsRequest()],
    "UsageService/GetSpendSummary": [lambda a: usage.GetSpendSummaryRequest()],
    "UsageService/ExportUsage": [
        lambda a: usage.ExportUsageRequest(),
        lambda a: usage.ExportUsageRequest(format="USAGE_EXPORT_FORMAT_FOCUS"),
    ],
    **run_tenancy.lists(MARK),
    "PipelineService/ListPipelines": [lambda a: pipelines.ListPipelinesRequest(page_size=1)],
    "RagService/ListCollections": [lambda a: rag.ListCollectionsRequest(page_size=1)],
}
# RPCs that make something: two tenants may give it the same name, and neither meets the other.
MAKES: dict[str, Callable[[], Message]] = {
    "PromptService/CreatePrompt": lambda: prompts.CreatePromptRequest(
        prompt=prompts.Prompt(name="x", slug=SLUG, user_prompt_template="x")
    ),
    "BudgetService/SetBudget": lambda: budget(f"{MARK}0"),
    "ScheduleService/CreateSchedule": lambda: run_tenancy.schedule(f"{MARK}0"),
    "PipelineService/CreatePipeline": lambda: pipeline_tenancy.pipeline(f"{MARK}0".lower()),
    "RagService/CreateCollection": lambda: rag_tenancy.collection(f"{MARK}0".lower()),
    "RunService/CreateRun": lambda: run_tenancy.work("x", idempotency_key=MARK),
    "PromptService/ImportPrompts": lambda: prompts.ImportPromptsRequest(
        yaml=f"- name: x\n  slug: {SLUG}\n  user_prompt_template: other\n"
    ),
    "SessionService/CreateSession": lambda: sessions.CreateSessionRequest(model="gpt-4o"),
    "SessionService/ImportSession": lambda: sessions.ImportSessionRequest(
        session_json='{"version": 1, "session": {"model": "gpt-4o"}}'
    ),
    "ProviderFileService/UploadFile": lambda: files.UploadFileRequest(
        provider="openai", filename="x", data=LINE, purpose="batch"
    ),
}
# RPCs of keys, tenants and projects, which test_keys.py asks with keys of two tenants.
OF_ACCESS = {
    f"{service}/{method}"
    for service, methods in {
        "KeyService": ("CreateKey", "ListKeys", "GetKey", "UpdateKey", "RotateKey", "RevokeKey"),
        "TenantService": ("CreateTenant", "ListTenants", "GetTenant", "UpdateTenant"),
        "AuditService": ("ListAuditEntries", "ExportAuditEntries"),
    }.items()
    for method in methods
} | {f"TenantService/{deed}" for deed in ("CreateProject", "ListProjects", "GetProject", "UpdateProject")}
# RPCs that store nothing of a caller, and read nothing that a caller stored.
NOTHING_STORED = {
    "CompletionService/CountTokens": "no row is booked for it",
    "CapabilityService/ListCapabilities": "the service's own",
    "DocumentService/GetDocs": "the service's own",
    "DocumentService/GetOpenApi": "the service's own",
    "HealthService/GetHealth": "the service's own",
    "MetricsService/GetMetrics": "the service's own",
    "HealthService/GetReadiness": "the service's own",
    "ModelService/DetectDrift": "the operator's providers",
    "ModelService/ExplainModel": "the service's own",
    "ModelService/GetModel": "the operator's providers",
    "ModelService/ListBehaviour": "the service's own",
    "ModelService/ListModels": "the operator's providers",
    "PricingService/EstimateCost": "the operator's prices",
    "PricingService/GetPrice": "the operator's prices",
    "PricingService/ListPrices": "the operator's prices",
    "PricingService/ListPricesArray": "the operator's prices",
    "ProviderService/ListProviders": "the operator's providers",
    "PipelineService/ListPipelineCapabilities": "the operator's providers",
    "PipelineService/ValidatePipeline": "nothing is stored",
    "RunService/ListWorkers": "the operator's processes",
    "ProviderService/PullModel": "the operator's providers",
    "SymbolService/EstimateDocumentSymbols": "no provider is called",
    "SymbolService/GetSymbolHealth": "the service's own",
}


async def executions_of(service: Running, request_id: str, tenant: str) -> list[Execution]:
    """Rows of a request that a tenant is shown."""
    request = executions.ListExecutionsRequest(request_id=request_id)
    (listed,) = await ask(service, "ExecutionService/ListExecutions", request, tenant)
    return list(listed.executions)


async def outcome(service: Running, name: str, request: Message, tenant: str, **headers: str) -> str:
    """Everything that a caller can tell of a failure: its code and its text; of an answer, the answer."""
    try:
        return repr(
            [answer.SerializeToString() for answer in await ask(service, name, request, tenant, **headers)]
        )
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"

"""Asynchronous dispatch: a run in the place of an answer, where the caller asks for that.

A caller over REST does so with the header `Prefer: respond-async` (RFC 7240), on every path whose work a run
can do; a caller of ExecutePrompt with its field wait. The method itself is not called: a worker does it.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.errors import revived
from genai_spine.method_options import is_paid
from genai_spine.openai_api import work_of_body
from genai_spine.v1.prompt_service_pb2 import ExecutePromptRequest, ExecutePromptResponse
from genai_spine.v1.run_pb2 import Run
from genai_spine.v1.run_service_pb2 import CreateRunRequest
from genai_spine.v1.session_service_pb2 import SendMessageRequest, SendMessageResponse
from genai_spine.v1.work_pb2 import Work

RESPOND_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)
MAX_WAIT_S = 30  # that a method with wait: true takes at most
_FIELDS: Any = Work.DESCRIPTOR.oneofs[0].fields
MEMBERS = {field.message_type.full_name: field.name for field in _FIELDS}  # of Work, by the type of a request
WAITING = (ExecutePromptRequest, SendMessageRequest)  # requests with a field wait
WAITED = (ExecutePromptResponse, SendMessageResponse)  # answers that can name a run in their place
FAILED = ("failed", "dead_lettered")
REASONS = {"budget": "BUDGET_EXCEEDED", "timeout": "DEADLINE_EXCEEDED"}  # of errors that only runs have
NOT_OF_WORK = ("idempotency_key", "resume_after", "wait")  # of a request: they are about the call

Submit = Callable[[CreateRunRequest, Call], Awaitable[Run]]
Unary = Callable[[Any, Call], Awaitable[Message]]
Streaming = Callable[[Any, Call], AsyncGenerator[Message]]


class AsyncDispatch:
    """Wrapper of the methods that cost money and whose work a run can do."""

    def __init__(self) -> None:
        self.submit: Submit | None = None  # None: this server makes no runs, so nothing is dispatched

    def unary(self, contract: MethodDescriptor | None, behaviour: Unary) -> Unary:
        """The method, or a run where the caller asks for one."""
        if contract is None or not _is_dispatched(contract):
            return behaviour

        async def answer(request: Any, call: Call) -> Message:
            if self.submit is None or not _asks(request, call):
                return await behaviour(request, call)
            run = await self.submit(_submission(contract, request, call), call)
            return _answer(contract, run, call, is_waited=_waits(request, call))

        return answer

    def streaming(self, contract: MethodDescriptor | None, behaviour: Streaming) -> Streaming:
        """The same for a method that streams."""
        if contract is None or not _is_dispatched(contract):
            return behaviour

        def answer(request: Any, call: Call) -> AsyncGenerator[Message]:
            if self.submit is None or not _prefers(call):
                return behaviour(request, call)
            return self._one(self.submit, contract, request, call)

        return answer

    async def _one(
        self, submit: Submit, contract: MethodDescriptor, request: Any, call: Call
    ) -> AsyncGenerator[Message]:
        run = await submit(_submission(contract, request, call), call)
        yield _answer(contract, run, call, is_waited=False)


def _is_dispatched(contract: MethodDescriptor) -> bool:
    """Whether a run can do the work of a method."""
    if not is_paid(contract):
        return False
    kind: Any = contract.input_type
    nested = kind.oneofs_by_name.get("request")
    kinds = [field.message_type for field in nested.fields] if nested else [kind]
    is_work = all(one is not None and one.full_name in MEMBERS for one in kinds)
    return is_work or contract.name in work_of_body.READERS


def _prefers(call: Call) -> bool:
    return bool(call.path) and RESPOND_ASYNC.search(call.prefer) is not None


def _asks(request: Any, call: Call) -> bool:
    return _prefers(call) or (isinstance(request, WAITING) and request.HasField("wait"))


def _waits(request: Any, call: Call) -> bool:
    """Whether the caller waits for the run; one that asks with the header does not."""
    return isinstance(request, WAITING) and request.wait and not _prefers(call)


def _submission(contract: MethodDescriptor, request: Any, call: Call) -> CreateRunRequest:
    """Submission of a request's work. Errors: those of the body's reader."""
    submission = CreateRunRequest()
    submission.work.CopyFrom(_work(contract, request, call))
    work: Any = getattr(submission.work, submission.work.WhichOneof("request") or "")
    options, names = submission.options, work.DESCRIPTOR.fields_by_name
    if work.HasField("idempotency_key"):
        options.idempotency_key = work.idempotency_key
    if isinstance(request, HttpBody) and (key := work_of_body.key_of(request)) is not None:
        options.idempotency_key = key
    if "user" in names and work.HasField("user"):
        options.user = work.user
    options.cost_labels.update(work.cost_labels)
    if _waits(work, call):
        submission.wait.seconds = MAX_WAIT_S
    for name in NOT_OF_WORK:
        if name in names:
            work.ClearField(name)
    return submission


def _work(contract: MethodDescriptor, request: Any, call: Call) -> Work:
    if isinstance(request, HttpBody):
        return work_of_body.READERS[contract.name](request, call)
    if (nested := contract.input_type.oneofs_by_name.get("request")) is not None:
        request = getattr(request, request.WhichOneof(nested.name))
    work = Work()
    getattr(work, MEMBERS[request.DESCRIPTOR.full_name]).CopyFrom(request)
    return work


def _answer(contract: MethodDescriptor, run: Run, call: Call, *, is_waited: bool) -> Message:
    """Answer of the method where that was waited for and is there, otherwise the id of the run.

    A run that nobody waited for may have ended all the same, being quick or an earlier one with the same key.

    Errors: those of a run that was waited for.
    """
    kind: Any = GetMessageClass(contract.output_type)
    if is_waited:
        if run.status in FAILED:
            reason = REASONS.get(run.error.type, run.error.type)
            raise revived(reason, run.error.message, dict(run.error.metadata))
        if run.status == "completed":
            made: Message = getattr(run.response, run.response.WhichOneof("response") or "")
            return made
    body = msgspec.json.encode({"run_id": run.run_id, "status": run.status})
    call.headers["location"] = f"/v1/runs/{run.run_id}"
    if _prefers(call):
        call.headers["preference-applied"] = "respond-async"
    http_answer.answered(call, 202)
    response: Message = kind()
    if isinstance(response, HttpBody):
        response.content_type, response.data = "application/json", body
    elif call.path:
        http_answer.replaced(call, body)
    if isinstance(response, WAITED):
        response.run_id, response.status = run.run_id, run.status
    return response

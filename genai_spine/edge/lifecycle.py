"""Lifecycle of a call, the same for every transport: how it comes in, what it must pass, how it ends.

A transport makes a Call of what it got with enter(), has it admitted with admit(), calls the behaviour of its
method, and ends it with log_soon(), or with known() and log() where an error ended it. Every call that was
entered is logged once, which also counts it out.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

import structlog
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from genai_spine import validation
from genai_spine.access import scopes
from genai_spine.access.authentication import Authenticator
from genai_spine.call import ANONYMOUS, STRANGER, Call, Principal, RateAdmission, uuid7
from genai_spine.edge import call_headers, preconditions
from genai_spine.edge.admission import AdmissionLimits, AdmissionQueue
from genai_spine.edge.async_dispatch import AsyncDispatch
from genai_spine.edge.keyed_calls import KeyedCalls, described
from genai_spine.edge.running_calls import RunningCalls, RunningStreams
from genai_spine.errors import (
    InternalError,
    InvalidRequest,
    PermissionDenied,
    ServerFull,
    ServiceUnavailable,
    SpineError,
)
from genai_spine.guardrails.rules import hides_pii, tightened
from genai_spine.method_options import is_paid
from genai_spine.request_log.request_log import RequestLog
from genai_spine.services import rest_aliases
from genai_spine.telemetry import calls

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# They make nothing, and begin again anywhere behind the number of their last message.
WATCHES = frozenset(f"/genai_spine.v1.RunService/{name}" for name in ("WatchRun", "ReadRunEvents"))

BUDGET_EXCEEDED = "BUDGET_EXCEEDED"  # reason of a refusal

log = structlog.get_logger()
Metadata = Sequence[tuple[str, str | bytes]]


class UndecodableMessage(str):
    """Stand-in for a request that is no message of its type: the reason."""


class CallLifecycle:
    """Lifecycle of the calls of one server, and the behaviours of its methods."""

    def __init__(self, lane: str, keyed: KeyedCalls, authenticator: Authenticator | None = None) -> None:
        """Lifecycle of one server. lane: the lane that calls are booked on.

        authenticator: None: nobody is asked for a key, and one that is sent is not looked at.
        """
        self.lane = lane
        self.authenticator = authenticator
        self.draining = False  # set when the server stops: what runs may finish, nothing new starts
        self.calls = RunningCalls()
        self.queue = AdmissionQueue(AdmissionLimits())  # of calls that cost money
        self.servers = 1  # that live on this lane, this one included
        self.streams = RunningStreams()
        self.watches = RunningStreams()  # streams that others can go on with, from where they are
        self.dispatch = AsyncDispatch()
        self.request_log: RequestLog | None = None  # None: off
        self.behaviours: dict[str, Any] = {}  # by full method; what is attached again takes its place
        self._keyed = keyed
        self._paid: set[str] = set()  # full methods whose calls may be logged
        self._scopes: dict[str, str] = {}  # that a full method asks for

    @property
    def running(self) -> int:
        """Number of running calls."""
        return self.calls.count

    @property
    def paid(self) -> int:
        """Number of running calls that cost money, those that wait in line included."""
        return self.queue.running + self.queue.waiting

    def streams_of(self, method: str) -> RunningStreams:
        """Where streams of a full method are counted, and cut."""
        return self.watches if method in WATCHES else self.streams

    def cut_streams(self) -> None:
        """Cuts all streams that run, watches too."""
        self.streams.cut()
        self.watches.cut()

    def attach(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Handlers of a service by method, as generated code has them.

        Of a service that is attached a second time new calls go to the new one.
        """
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            contract = described(method)
            self.behaviours[method] = (
                self.dispatch.streaming(contract, self._keyed.streaming(method, handler.unary_stream))
                if handler.response_streaming
                else self.dispatch.unary(contract, self._keyed.unary(method, handler.unary_unary))
            )
        for contract in descriptor_pool.Default().FindServiceByName(service).methods:
            self._scopes[f"/{service}/{contract.name}"] = scopes.scope_of(contract)
            if is_paid(contract):
                self._paid.add(f"/{service}/{contract.name}")

    def enter(
        self, method: str, metadata: Metadata, remaining_s: float | None, path: str | None = None
    ) -> Call:
        """Call that has come in: request id, deadline, headers that matter.

        metadata: headers, with names in lower case. remaining_s: until the caller's deadline; None: it has
        none. path: of an HTTP request; None: Envoy says it in a header, where there is one.
        """
        given: dict[str, Any] = dict(metadata)  # texts: bytes are only what ends with -bin
        request_id = given.get("x-request-id")
        if request_id is None or not REQUEST_ID.fullmatch(request_id):
            request_id = uuid7()
        call = Call(
            request_id=request_id,
            method=method,
            path=path or given.get("x-envoy-original-path"),
            user_agent=given.get("user-agent", "")[:256],
            lane=self.lane,
            generation=self.calls.begin(),
            accept=given.get("accept", ""),
            prefer=given.get("prefer", ""),
            deadline=None if remaining_s is None else monotonic() + remaining_s,
        )
        if not call_headers.NAMES.isdisjoint(given):  # most calls have none of them
            call_headers.read_into(call, given, metadata)
        return call

    async def admit(self, request: "Message | UndecodableMessage", call: Call, metadata: Metadata) -> None:
        """Admission: not while draining, only with a key that may, and only with valid fields; of what costs
        money only so many calls at once.

        Errors: ServiceUnavailable, those of _principal(), InvalidRequest, InvalidFields, ServerFull.
        """
        if self.draining:
            raise ServiceUnavailable(cause="it is stopping", refused="draining")
        if self.authenticator is not None:
            call.principal = await self._principal(self.authenticator, call.method, metadata)
        elif call.tenant_header is not None:  # nobody is asked for a key
            call.principal = call_headers.chosen(call.tenant_header)
        if call.pii is not None:
            call.principal = tightened(call.principal, call.pii)
        if self.request_log is not None and call.method in self._paid and not hides_pii(call.principal):
            call.recording = self.request_log.recording(request, call)
        if isinstance(request, UndecodableMessage):
            raise InvalidRequest(field="body", problem=str(request))
        if call.path:
            validation.check(request)
            rest_aliases.read(request)  # after the check, whose problems name the fields that were sent
            if call.if_match is not None:
                preconditions.read(request, call.if_match)
        else:
            validation.check_without_aliases(request)
        if labels := getattr(request, "cost_labels", None):
            call.cost_labels = dict(labels)
        if call.method in self._paid:
            if call.principal.is_limited:
                call.rate_admission = RateAdmission()
            await self._wait_for_turn(call, metadata)
            call.is_in_queue = True

    async def _wait_for_turn(self, call: Call, metadata: Metadata) -> None:
        """Returns when a call that costs money may run.

        Errors: ServerFull; it lets Envoy ask another server as long as there is one that it has not asked.
        """
        try:
            await self.queue.enter(call.principal.tenant_id)
        except ServerFull as error:
            if call_headers.attempt(metadata) >= self.servers:
                error.metadata.pop("refused", None)
            raise

    async def _principal(self, authenticator: Authenticator, method: str, metadata: Metadata) -> Principal:
        """Principal of a call, which has the scope that its method asks for.

        Errors: those of Authenticator.principal(), PermissionDenied. Of a method that needs no key: none.
        """
        scope = self._scopes[method]
        try:
            principal = await authenticator.principal(dict(metadata))
        except SpineError:
            if scope == scopes.PUBLIC:
                return STRANGER
            raise
        if scope not in (scopes.PUBLIC, scopes.AUTHENTICATED) and scope not in (principal.scopes or ()):
            raise PermissionDenied(scope=scope)
        return principal

    def known(self, call: Call, error: BaseException) -> SpineError:
        """Error as a caller may see it; anything but a SpineError is logged with its traceback."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.log(call, "CANCELLED")
            raise error
        if isinstance(error, SpineError) and not isinstance(error, InternalError):
            return error
        cause = error.__cause__ or error if isinstance(error, InternalError) else error
        log.error("internal_error", request_id=call.request_id, method=call.method, exc_info=cause)
        return error if isinstance(error, InternalError) else InternalError()

    def log_soon(self, call: Call, **more: object) -> None:
        """Log line after the answer has gone out: the caller does not wait for it."""
        if call.failure is not None:  # of a stream that has said so itself
            more["error_in_stream"] = _logged(call.failure)
        asyncio.get_running_loop().call_soon(partial(self.log, call, "OK", **more))

    def log_cut(self, call: Call, sent: int, error: SpineError) -> None:
        """Log line of a stream that an error ended after so many messages."""
        self.log(call, "OK", messages=sent, reason=error.reason_name, error_in_stream=error.logged)

    def log(self, call: Call, code: str, **more: Any) -> None:
        self.calls.end(call.generation)
        if call.is_in_queue:
            self.queue.leave(call.principal.tenant_id)
        if call.recording is not None:
            call.recording.end(code, more.get("reason"), more.get("error") or more.get("error_in_stream"))
        if more.get("reason") == BUDGET_EXCEEDED:
            calls.refused_by_budget(call.principal.tenant_id)
        line: dict[str, Any] = {"method": call.method}
        if call.path:
            line["path"] = call.path.partition("?")[0]  # a query may hold what is searched for
        line["code"], line["latency_ms"] = code, call.latency_ms
        line["request_id"], line["caller"] = call.replay_id or call.request_id, call.user_agent
        if call.replay_id:
            line["replay_of"] = call.request_id
        if call.principal is not ANONYMOUS:
            line["principal"] = call.principal.name
        log.info("call", **line, **more)


def _logged(failure: Exception) -> str:
    return failure.logged if isinstance(failure, SpineError) else type(failure).__name__

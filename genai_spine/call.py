"""Call of a request: who calls, by when, and under which id, without anything of gRPC.

A service gets a Call in place of a grpc context, so no service sees a grpc type.
Cancellation is asyncio's: when the caller goes away, the task that serves the call is cancelled.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import getrandbits
from time import monotonic, time_ns
from typing import NamedTuple, Protocol

from google.protobuf.message import Message

from genai_spine.v1.budget_pb2 import Budget
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.key_service_pb2 import KeyPermissions
from genai_spine.v1.rate_limits_pb2 import RateLimits

VERSION_7 = 0x7000_8000 << 48  # version and variant of a UUID (RFC 9562, 5.7)
VERSION_7_RANDOM = (1 << 80) - 1 - (0xF000_C000 << 48)  # bits beside them and the time


def uuid7() -> str:
    """UUID of version 7, as text: milliseconds first, so that an index of them grows at its end.

    Not for secrets: it comes from a fast generator, without a system call.
    """
    text = f"{time_ns() // 1_000_000 << 80 | getrandbits(80) & VERSION_7_RANDOM | VERSION_7:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


DEFAULT_TENANT = "default-tenant"  # whose everything is where nobody is asked for a key
TENANT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")  # as Tenant.id in the contract


@dataclass(frozen=True, slots=True)
class Principal:
    """Authenticated caller of a request: whose objects it sees, who pays, and what it may do."""

    name: str = "anonymous"  # key:<id of the key>, service:<name>, jwt:<issuer's subject> or anonymous
    tenant_id: str = DEFAULT_TENANT
    project_id: str | None = None
    key_id: str | None = None  # of an API key; None: it came without one
    scopes: frozenset[str] | None = None  # None: every scope, because authentication is off
    permissions: KeyPermissions | None = None  # models, providers and lanes of its key; None: all
    deduplicate_retries: bool = False  # its SDK's own retries join the call that they repeat
    key_limits: RateLimits | None = None  # of its key, or of a JWT's subject, by itself; None: none
    tenant_limits: RateLimits | None = None  # of the tenant with all its keys
    is_logged: bool | None = None  # in the request log, by the option of its key; None: not said

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit to the rate of its calls."""
        return self.key_limits is not None or self.tenant_limits is not None

    @property
    def limits_tokens(self) -> bool:
        """Whether one of its limits is about tokens."""
        both = (self.key_limits, self.tenant_limits)
        return any(limits is not None and limits.HasField("tokens_per_minute") for limits in both)


ANONYMOUS = Principal()
STRANGER = Principal(scopes=frozenset())  # without a key, where authentication is on


@dataclass(frozen=True, slots=True)
class ResumeHeaders:
    """Headers about a repeat of a call with an idempotency key, as they came."""

    resume_after: str | None = None  # x-genai-resume-after: number of the message that was received last
    last_event_id: str | None = None  # the same, as browsers say it
    on_lost: str | None = None  # x-genai-on-lost: whether a call that was lost is made again


@dataclass(slots=True)
class RateAdmission:
    """Whether the rate limits have let a request in. Its first call may be refused; those that follow are
    counted only, so that what was begun is not left half paid.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_granted: bool = False


@dataclass(frozen=True, slots=True)
class RunNodes:
    """Run that a call is made in, as budgets see it."""

    root_run_id: str
    budgets: Sequence[Budget] = ()  # of the run and of all above it, which count the call
    has_reservation: bool = False  # it holds what it is expected to cost, and its calls draw on that


class PaidAnswer(NamedTuple):
    """Answer of a call of a run, as it is written with the settlement of that."""

    run_id: str
    attempt: int  # of the run
    executor_id: str  # process that makes it
    step_id: str
    request_hash: bytes
    body: bytes  # message of the answer


class PaidAnswers(Protocol):
    """Answers of the calls of a run, each of which is paid once, whoever makes the run."""

    def find(self, call: "Call", request: Message) -> bytes | None:
        """Answer of an equal request that is paid already, once for each; None: the call is to be made."""

    def written(self, call: "Call", request: Message, answer: Message) -> PaidAnswer | None:
        """Answer as the ledger takes it; None: it is too large to be kept."""


class Recording(Protocol):
    """Record of a call for the request log."""

    def add(self, message: Message) -> None:
        """Takes a message of the answer."""

    def end(self, code: str, reason: str | None, error: str | None) -> None:
        """End of the call, with the name of its gRPC code, and its error's reason and words."""


@dataclass(slots=True)
class PassThrough:
    """Bytes of a request and of its answer that caller and upstream have in one form, beside the messages.

    They hold for the very messages that they stand beside: who changes a request, or answers it by other
    means, has another message. So they are taken only where nothing was changed on the way.
    """

    request: Message  # made of the caller's bytes
    content: bytes  # of those: JSON of what it asks about
    is_base64: bool = False  # wanted of vectors
    # Made of an upstream's bytes without their content, and that in JSON; one for each attempt that had some.
    answers: list[tuple[Message, bytes]] = field(default_factory=list)

    # Copies of the request that ask about the same: with a bound, for one attempt each.
    copies: list[Message] = field(default_factory=list)

    def content_for(self, request: Message) -> bytes | None:
        """The caller's own bytes for a request; None: they do not stand for it."""
        is_same = request is self.request or any(request is copy for copy in self.copies)
        return self.content if is_same else None

    def note_copy(self, request: Message, copy: Message) -> None:
        """Takes a copy of a request that differs in its options only."""
        if self.content_for(request) is not None:
            self.copies.append(copy)

    def content_of(self, answer: Message) -> bytes | None:
        """The upstream's own bytes of an answer; None: it has its content itself."""
        return next((content for made, content in self.answers if made is answer), None)


@dataclass(slots=True)
class Call:
    """Context of one request: identity, deadline, attribution, and the headers of its answer.

    A request that makes several provider calls passes copies on (`dataclasses.replace`), which share
    `headers` and the counter of attempts. Times are seconds on `time.monotonic()`.
    """

    request_id: str = field(default_factory=uuid7)
    method: str = ""  # full gRPC method, "/genai_spine.v1.CompletionService/CreateCompletion"
    path: str | None = None  # path of the REST request; None for a gRPC client
    user_agent: str = ""  # what the client says it is: its user agent
    principal: Principal = ANONYMOUS
    lane: str = "cpu"
    generation: int = 0  # number of the configuration that it began with
    tenant_header: str | None = None  # x-tenant-id as it came; the principal says whose the call is
    correlation_id: str | None = None  # the x-correlation-id header: ties calls together in the ledger
    idempotency_key: str | None = None
    provider: str = ""  # of the header x-genai-provider, for bodies that have no place for it
    cache_control: str | None = None  # the X-Cache-Control header
    if_match: str | None = None  # the If-Match header
    accept: str = ""  # media types that the caller takes, of methods that answer in several
    prefer: str = ""  # the Prefer header
    resume: ResumeHeaders | None = None  # None: it has no such header
    replay_id: str | None = None  # its own id, where request_id is that of the call that answers it
    first_sequence: int = 0  # number of the first message that it is sent
    cost_labels: Mapping[str, str] = field(default_factory=dict)  # of the request; every row has them
    # traceparent and tracestate of the caller, which its providers get too (W3C Trace Context).
    trace_headers: tuple[tuple[str, str], ...] = ()
    # Seconds that its SDK waits for the next bytes: a whole answer that comes later is read by nobody.
    read_timeout_s: float | None = None
    # Seconds that what a stream brings may wait for more, once it has begun: less work where nobody sees it
    # sooner. 0: nothing waits.
    merge_s: float = 0.0
    client_retries: int | None = None  # how often its SDK has sent this request before; None: it does not say
    deadline: float | None = None  # on time.monotonic(); None: no deadline
    started: float = field(default_factory=monotonic)
    # On whose behalf providers are called: capability, prompt_id, prompt_version, variables_hash,
    # session_id, metadata_json, as every row of this call has them. None: a direct call. Set it on
    # dataclasses.replace(call, attribution=...) where one request makes calls for several purposes.
    attribution: Execution | None = None
    run_id: str | None = None  # of the run that the call is part of
    step_id: str | None = None  # of that run
    run_nodes: RunNodes | None = None  # that run, as budgets see it
    paid_answers: PaidAnswers | None = None  # of that run; None: no process takes the call over
    end_user: str | None = None  # who asked, where the request does not say so
    # Numbers of the provider calls that this request makes, from 1; a replaced call goes on counting.
    attempts: Iterator[int] = field(default_factory=partial(count, 1), compare=False)
    # Ids of the provider calls that were billed, or may have been: after one, a repeat of the request is not
    # free, so no status invites it. A replaced call goes on adding to it.
    billed: set[str] = field(default_factory=set, compare=False)
    rate_admission: RateAdmission | None = None  # shared by replaced calls; None: its rate is not limited
    is_in_queue: bool = False  # it counts as running for the admission of others
    # Headers for a REST client. Of an answer that is bytes they ride with the first ones (edge.carrying).
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = ""  # of an answer that is bytes; known with its first byte
    pii: str | None = None  # the x-genai-pii header: what becomes of personal data in it
    is_log_declined: bool = False  # the caller wants no entry in the request log
    recording: Recording | None = None  # None: the request log has no entry of it
    pass_through: PassThrough | None = None  # None: nothing may be passed on as it came
    # What ended a stream after its first byte, when the status could no longer say it; for the log.
    failure: Exception | None = None

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the caller's deadline, at least 0; None when there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - monotonic())

    def charge(self, execution: Execution) -> None:
        """Writes into a row of the ledger who pays for it, and what ties it to others."""
        principal = self.principal
        execution.tenant_id = principal.tenant_id
        if principal.name != ANONYMOUS.name:
            execution.principal = principal.name
        if principal.project_id is not None:
            execution.project_id = principal.project_id
        if principal.key_id is not None:
            execution.api_key_id = principal.key_id
        if self.correlation_id is not None:
            execution.correlation_id = self.correlation_id
        if self.run_id is not None:
            execution.run_id = self.run_id
        if self.step_id is not None:
            execution.step_id = self.step_id
        if self.end_user is not None and not execution.HasField("end_user"):
            execution.end_user = self.end_user

    @property
    def latency_ms(self) -> int:
        """Milliseconds since the request arrived."""
        return int((monotonic() - self.started) * 1000)

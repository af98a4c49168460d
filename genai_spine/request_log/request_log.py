"""Request log of a server: calls are recorded beside their way, and written in batches behind it.

Nothing here holds up a call or fails one. An ended call waits in a bounded queue; what finds no place is
dropped and counted. Messages become JSON in a thread, and a batch is one transaction, so a killed process
leaves an entry whole or not at all.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.errors import ServiceUnavailable
from genai_spine.request_log import trees
from genai_spine.request_log.answers import Answer
from genai_spine.request_log.content import Content
from genai_spine.request_log.redaction import Redactor
from genai_spine.request_log.switch import LogSwitch
from genai_spine.store.request_log.rows import RequestLogRows
from genai_spine.v1.request_log_service_pb2 import RequestLog as Entry

MAX_WAITING = 2_000  # ended calls that wait to be written
MAX_WAITING_BYTES = 64 << 20  # bytes of their messages
BATCH_SIZE = 50  # entries of a transaction
LINGER_S = 0.1  # from an ended call to its being written, so that others come along
RETRIES_S = (0.2, 1.0, 5.0)  # seconds between attempts while the database does not work
FLUSH_S = 5.0  # seconds that a stop or a deletion waits for what is not written yet
MAX_NAME = 256  # characters of a name that a caller made up
MAX_ERROR = 500  # characters

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LogRules:
    """Rules of what is kept of a call, for whom, and for how long."""

    switch: LogSwitch
    max_bytes: int  # of a request's and of an answer's JSON
    ttl_s: float
    redactor: Redactor


@dataclass(slots=True)
class Recording:
    """One call while it runs: what was asked, and what has gone out so far."""

    log: "RequestLog"
    request: Message | str
    call: Call
    rules: LogRules
    answer: Answer = field(default_factory=Answer)
    arrived: datetime = field(default_factory=lambda: datetime.now(UTC))
    latency_ms: int = 0
    code: str = ""
    reason: str | None = None
    error: str | None = None
    size_bytes: int = 0

    def add(self, message: Message) -> None:
        """Takes a message of the answer."""
        self.answer.add(message)

    def end(self, code: str, reason: str | None, error: str | None) -> None:
        """End of the call: it is written soon, or dropped."""
        self.code, self.reason, self.error = code, reason, error
        self.latency_ms = self.call.latency_ms
        self.log.put(self)


class RequestLog:
    """Queue and writer of recordings."""

    def __init__(self, rows: RequestLogRows, rules: LogRules) -> None:
        self.rows = rows
        self.rules = rules  # for calls that begin from now on
        self.dropped = 0  # entries in all
        self._reported = 0  # of those
        self._waiting: deque[Recording] = deque()
        self._waiting_bytes = 0
        self._came = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._task: asyncio.Task[None] | None = None

    def recording(self, request: Message | str, call: Call) -> Recording | None:
        """Recording of a call that begins; None: it is not logged. request: a text where it is unreadable."""
        if call.is_log_declined or not self.rules.switch.is_logged(call.principal):
            return None
        return Recording(self, request, call, self.rules)

    def put(self, recording: Recording) -> None:
        """Takes an ended call, unless too much waits already."""
        request = recording.request
        recording.size_bytes = _size(request) + recording.answer.size_bytes
        is_full = len(self._waiting) >= MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES
        if self._task is None or is_full:
            self.dropped += 1
            return
        self._waiting.append(recording)
        self._waiting_bytes += recording.size_bytes
        self._is_idle.clear()
        self._came.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Returns when everything that ended until now is written or dropped, at the latest after FLUSH_S."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._is_idle.wait()

    async def stop(self) -> None:
        """End of the writer; what it could not write in FLUSH_S is dropped."""
        if self._task is None:
            return
        await self.flush()
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._report()

    async def _write(self) -> None:
        while True:
            await self._came.wait()
            await asyncio.sleep(LINGER_S)
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH_SIZE, len(self._waiting)))]
                await self._save(batch)
                self._waiting_bytes -= sum(one.size_bytes for one in batch)
            self._came.clear()
            self._is_idle.set()
            self._report()

    async def _save(self, batch: Sequence[Recording]) -> None:
        entries = await asyncio.to_thread(_entries, batch)
        self.dropped += len(batch) - len(entries)
        for pause_s in (*RETRIES_S, None):
            try:
                await self.rows.add(entries)
                return
            except ServiceUnavailable:
                if pause_s is None:
                    self.dropped += len(entries)
                    return
                await asyncio.sleep(pause_s)
            except Exception as error:
                self.dropped += len(entries)
                log.error("request_log_refused", entries=len(entries), cause=type(error).__name__)
                return

    def _report(self) -> None:
        if self.dropped > self._reported:
            log.warning("request_log_dropped", entries=self.dropped - self._reported, in_all=self.dropped)
            self._reported = self.dropped


def _entries(batch: Sequence[Recording]) -> list[tuple[str, Entry]]:
    """Entries with their tenants; in a thread. One that cannot be made is left out."""
    found = []
    for recording in batch:
        try:
            found.append((recording.call.principal.tenant_id, entry_of(recording)))
        except Exception as error:
            log.error("request_log_unreadable", method=recording.call.method, cause=type(error).__name__)
    return found


def _size(request: Message | str) -> int:
    """Bytes of a request as it came: of a body, or of the message."""
    if isinstance(request, HttpBody):
        return len(request.data)
    return len(request) if isinstance(request, str) else request.ByteSize()


def entry_of(recording: Recording) -> Entry:
    """Entry of an ended call, redacted and cut."""
    call, rules, request = recording.call, recording.rules, recording.request
    content = Content(rules.redactor, rules.max_bytes)
    tree = {"unreadable": request} if isinstance(request, str) else trees.of_message(request)
    entry = Entry(
        id=str(uuid4()),
        request_id=call.request_id,
        method=call.method,
        latency_ms=recording.latency_ms,
        code=recording.code,
        error_reason=recording.reason,
        principal=call.principal.name,
        project_id=call.principal.project_id,
        api_key_id=call.principal.key_id,
        correlation_id=call.correlation_id and content.text(call.correlation_id, MAX_NAME),
        path=call.path and content.text(call.path.partition("?")[0], MAX_NAME),
        error=recording.error and content.text(recording.error, MAX_ERROR),
        caller=content.text(call.user_agent, MAX_NAME),
        request_bytes=recording.size_bytes - recording.answer.size_bytes,
        answer_bytes=recording.answer.size_bytes,
    )
    if isinstance(tree, dict):
        if isinstance(model := tree.get("model"), str) and model:
            entry.model = content.text(model, MAX_NAME)
        if isinstance(user := tree.get("user"), str) and user:
            entry.end_user = plain_name(user)
    entry.create_time.FromDatetime(recording.arrived)
    entry.expire_time.FromDatetime(recording.arrived + timedelta(seconds=rules.ttl_s))
    entry.request_json, entry.request_cut = content.json(tree)
    answer = recording.answer.tree()
    if answer is not None:
        entry.answer_json, entry.answer_cut = content.json(answer)
        entry.answer_cut |= recording.answer.is_cut
    return entry


def plain_name(user: str) -> str:
    """Name of a user as entries have it, which is not redacted: by it they are deleted."""
    return user[:MAX_NAME].encode("utf-8", "replace").decode().replace("\0", "\ufffd")

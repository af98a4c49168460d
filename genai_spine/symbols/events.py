"""Event envelopes of a job. A payload's type, status and fields are a contract with callers."""

import re
from hashlib import sha256
from uuid import uuid4

from genai_spine.call import Call
from genai_spine.v1 import symbol_service_pb2 as pb

VERSION = "1.0"
SOURCE = "genai_spine.symbols"
STARTED = "generation.started.v1"
DOCUMENTED = "generation.symbol_documented.v1"
COMPLETED = "generation.completed.v1"
PROGRESS = "generation.progress.v1"
SUCCESS, FAILED = "success", "failed"
JOB_ID = re.compile(r"job_[a-zA-Z0-9]+")


def normalised(job_id: str) -> str:
    """Job id as job_ and letters and digits; a checksum stands for characters that were dropped."""
    if JOB_ID.fullmatch(job_id):
        return job_id
    digits_and_letters = re.sub(r"[^a-zA-Z0-9]", "", job_id.removeprefix("job_"))
    if digits_and_letters == job_id:
        return f"job_{digits_and_letters}"
    return f"job_{digits_and_letters}{sha256(job_id.encode()).hexdigest()[:12]}"


class Envelopes:
    """Factory of a job's events: sequence numbers, parent ids and shared fields."""

    def __init__(self, request: pb.DocumentSymbolsRequest, call: Call, producer_version: str) -> None:
        self._job_id = normalised(request.job_id)
        self._request = request
        self._next = 0
        self._parent = request.parent_event_id or None
        self._meta = pb.SymbolEventMeta(
            producer_version=producer_version,
            trace_id=call.request_id,
            idempotency_key=call.idempotency_key,
            tags=request.tags,
        )

    def event(self, type: str, payload: pb.SymbolEventPayload, status: str | None = None) -> pb.SymbolEvent:
        """Event with the next sequence number. status: of the last event only."""
        event = pb.SymbolEvent(
            envelope_version=VERSION,
            job_id=self._job_id,
            event_id=f"evt_{uuid4().hex}",
            parent_event_id=self._parent,
            source=SOURCE,
            type=type,
            status=status,
            sequence=self._next,
            payload=payload,
            meta=self._meta,
        )
        event.timestamp.GetCurrentTime()
        if self._request.HasField("event_context"):
            event.context.CopyFrom(self._request.event_context)
        if not self._next:
            self._parent = event.event_id
        self._next += 1
        return event

"""Call headers: what a caller's headers say beyond the request, read where they are what they should be.

A header that is malformed counts as not sent: SDKs and proxies write them, not the caller. That of the
tenant, which the caller writes, is refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from genai_spine.call import ANONYMOUS, TENANT_ID, Call, Principal, ResumeHeaders
from genai_spine.errors import InvalidRequest
from genai_spine.guardrails.rules import HEADER as PII

MAX_READ_TIMEOUT_S = 3600.0
# Of OpenAI's and Anthropic's SDKs, in seconds: how long they wait for the next bytes of an answer.
READ_TIMEOUTS = ("x-stainless-timeout", "x-stainless-read-timeout")
TENANT = "x-tenant-id"
REQUEST_LOG = "x-genai-request-log"  # off: no entry of this call, whatever the settings say
CORRELATION_ID = re.compile(r"[!-~]{1,128}")
RETRY_COUNT = "x-stainless-retry-count"  # of the same SDKs: retries before this one
# https://www.w3.org/TR/trace-context/#header-name, 2026-11-29. Later versions may add fields after these.
TRACEPARENT = re.compile(
    r"(?:00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"|(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{1,200})?)"
)
TRACESTATE_MEMBER = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
MAX_TRACESTATE_MEMBERS = 32
ATTEMPT = "x-envoy-attempt-count"  # of Envoy, from 1
RESUME_AFTER, LAST_EVENT_ID = "x-genai-resume-after", "last-event-id"
EVENT_IDS, ON_LOST = "x-genai-event-ids", "x-genai-on-lost"
RESUMING = frozenset((RESUME_AFTER, LAST_EVENT_ID, EVENT_IDS, ON_LOST))
IDEMPOTENCY_KEY, IF_MATCH = "idempotency-key", "if-match"
CORRELATION, TRACE = "x-correlation-id", "traceparent"
PROVIDER, CACHE_CONTROL = "x-genai-provider", "x-cache-control"
# All that read_into() looks for.
NAMES = RESUMING.union(
    (TENANT, CORRELATION, IDEMPOTENCY_KEY, PROVIDER, CACHE_CONTROL, TRACE, *READ_TIMEOUTS),
    (RETRY_COUNT, IF_MATCH, REQUEST_LOG, PII),
)


def read_into(call: Call, given: Mapping[str, Any], metadata: Sequence[tuple[str, str | bytes]]) -> None:
    """Enters what the headers say into a call that has just come in. given: metadata, by name."""
    call.tenant_header = given.get(TENANT)
    call.correlation_id = correlation_id(given)
    call.idempotency_key = given.get(IDEMPOTENCY_KEY)
    call.provider = given.get(PROVIDER, "")[:64]
    call.cache_control = given.get(CACHE_CONTROL)
    if TRACE in given:
        call.trace_headers = trace(metadata)
    call.read_timeout_s = read_timeout_s(given)
    call.client_retries = client_retries(given)
    call.if_match = given.get(IF_MATCH)
    call.resume = None if RESUMING.isdisjoint(given) else resume(given)
    call.pii = given.get(PII)
    call.is_log_declined = given.get(REQUEST_LOG) == "off"


def trace(metadata: Sequence[tuple[str, str | bytes]]) -> tuple[tuple[str, str], ...]:
    """Headers of the caller's trace, to be sent on; none where it says none, or says it wrongly."""
    parents = [str(value) for name, value in metadata if name == TRACE]
    if len(parents) != 1 or not TRACEPARENT.fullmatch(parents[0]):
        return ()
    state = ",".join(str(value) for name, value in metadata if name == "tracestate")
    members = [member for part in state.split(",") if (member := part.strip(" \t"))]
    if not members or len(members) > MAX_TRACESTATE_MEMBERS:
        return ((TRACE, parents[0]),)
    if not all(map(TRACESTATE_MEMBER.fullmatch, members)):
        return ((TRACE, parents[0]),)
    return ((TRACE, parents[0]), ("tracestate", ",".join(members)))


def read_timeout_s(given: Mapping[str, str | bytes]) -> float | None:
    """Seconds that the caller's SDK waits for bytes, at most MAX_READ_TIMEOUT_S; None: it does not say."""
    found = [seconds for name in READ_TIMEOUTS if (seconds := _seconds(str(given.get(name, "")))) is not None]
    return min(*found, MAX_READ_TIMEOUT_S) if found else None


def attempt(metadata: Sequence[tuple[str, str | bytes]]) -> int:
    """Attempt of Envoy that a call is, from 1: how many servers it has asked. 1: without Envoy."""
    count = str(dict(metadata).get(ATTEMPT, ""))
    return int(count) if count.isdecimal() and len(count) < 4 else 1


def chosen(tenant: str) -> Principal:
    """Principal of a caller who is not asked for a key, in the tenant of its choice.

    Errors: InvalidRequest.
    """
    if not TENANT_ID.fullmatch(tenant):
        raise InvalidRequest(field=TENANT, problem="must be 1 to 63 of a-z, 0-9 and -, and not begin with -")
    return replace(ANONYMOUS, tenant_id=tenant)


def correlation_id(given: Mapping[str, str | bytes]) -> str | None:
    """Correlation id that ties the call to others; None: the caller does not say."""
    text = given.get(CORRELATION)
    return str(text) if text is not None and CORRELATION_ID.fullmatch(str(text)) else None


def client_retries(given: Mapping[str, str | bytes]) -> int | None:
    """How often the caller's SDK has sent the request before; None: it does not say."""
    count = str(given.get(RETRY_COUNT, ""))
    return int(count) if re.fullmatch(r"\d{1,9}", count, re.ASCII) else None


def resume(given: Mapping[str, str | bytes]) -> ResumeHeaders:
    """Headers about a repeat, which are read where the call has a key."""
    return ResumeHeaders(_of(given, RESUME_AFTER), _of(given, LAST_EVENT_ID), _of(given, ON_LOST))


def _of(given: Mapping[str, str | bytes], name: str) -> str | None:
    return str(given[name]) if name in given else None


def _seconds(text: str) -> float | None:
    """Decimal number of seconds above 0."""
    if not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text, re.ASCII):
        return None
    seconds = float(text)
    return seconds or None

"""Puts an answer on the wire at the scripted pace, with the scripted faults, and keeps the bill."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import web

from tests.upstreams.bill import Entry
from tests.upstreams.reply import Reply

RELEASED = web.AppKey("released", asyncio.Event)  # what is held goes on
FOREVER_S = 3600.0  # a stalled answer; the client goes long before
BREAKS = ("stall", "close", "reset")  # faults after which nothing more is sent


class Event(NamedTuple):
    """Bytes that belong together, and where the bill stands once they are written."""

    data: bytes
    tokens: int = 0  # completion tokens, from the start of the answer
    chunks: int = 1  # events, from the start of the answer


@dataclass(slots=True)
class Answer:
    """One answer before it meets pace and faults."""

    events: list[Event]
    content_type: str = "application/json"
    frame: Callable[[Any], bytes] | None = None  # a JSON value as an event; None: no stream
    prompt_tokens: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def scripted_answer(reply: Reply) -> Answer:
    """The answer of a Reply that has a body or a status of its own."""
    as_text = isinstance(reply.body, str)
    data = reply.body.encode() if as_text else json.dumps(reply.body, ensure_ascii=False).encode()
    content_type = "text/html; charset=utf-8" if as_text else "application/json"
    events = [Event(b"" if reply.body is None else data)]
    return Answer(events=events, content_type=content_type, status=reply.status)


async def deliver(request: web.Request, entry: Entry, reply: Reply, answer: Answer) -> web.StreamResponse:
    await asyncio.sleep(reply.headers_delay_s)
    breaks = reply.fault in BREAKS
    if not (breaks and reply.after is None and reply.fault != "stall"):
        entry.prompt_tokens = answer.prompt_tokens
    if breaks and reply.after is None:
        return await _break_off(request, entry, reply, web.Response())
    events, complete = _with_fault(answer, reply)
    response = _head(answer, reply, events)
    entry.status = answer.status
    await response.prepare(request)
    await asyncio.sleep(reply.first_delay_s)
    writes = _writes(events, reply)
    if reply.is_held:
        first = writes[: len(writes) > 1]
        await _write_all(response, entry, first, 0.0)
        await request.app[RELEASED].wait()
        writes = writes[len(first) :]
    await _write_all(response, entry, writes, reply.interval_s)
    if breaks:
        return await _break_off(request, entry, reply, response)
    entry.finished, entry.ended_at = complete, time.monotonic()
    await response.write_eof()
    return response


def _head(answer: Answer, reply: Reply, events: list[Event]) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={**answer.headers, **reply.headers})
    response.headers["Content-Type"] = reply.content_type or answer.content_type
    if answer.frame is None:
        # A body that a lost connection breaks off must still announce its full length.
        sent = answer.events if reply.fault in BREAKS else events
        response.content_length = sum(len(event.data) for event in sent)
    return response


async def _write_all(
    response: web.StreamResponse, entry: Entry, writes: list[Event], interval_s: float
) -> None:
    started = time.monotonic()
    for position, write in enumerate(writes):
        if position:
            await asyncio.sleep(max(0.0, started + position * interval_s - time.monotonic()))
        before = (entry.completion_tokens, entry.chunks)
        # Counted first: whoever has read the answer's end may look at the bill at once.
        entry.completion_tokens, entry.chunks = write.tokens, write.chunks
        try:
            await response.write(write.data)
        except ConnectionError:
            entry.completion_tokens, entry.chunks = before
            raise


def _with_fault(answer: Answer, reply: Reply) -> tuple[list[Event], bool]:
    """The events that go out, and whether they are the whole answer as the upstream sees it."""
    events, fault = answer.events, reply.fault
    if fault is None:
        return events, True
    if answer.frame is None:
        return _half(events[0], answer.status), False
    at = (reply.after or 0) if (reply.after or 0) >= 0 else max(0, len(events) + (reply.after or 0))
    if fault == "malformed":
        return [*events[:at], *(_broken(event) for event in events[at : at + 1]), *events[at + 1 :]], True
    if fault == "error":
        last = events[at - 1] if at else Event(b"", 0, 0)
        return [*events[:at], Event(answer.frame(reply.body), last.tokens, last.chunks + 1)], False
    return events[:at], False


def _half(event: Event, status: int) -> list[Event]:
    tokens = event.tokens if status == 200 else 0
    return [Event(event.data[: len(event.data) // 2], tokens, event.chunks)]


def _broken(event: Event) -> Event:
    inner = event.data.rstrip(b"\r\n")
    return event._replace(data=inner[: -len(inner) // 3] + event.data[len(inner) :])


def _writes(events: list[Event], reply: Reply) -> list[Event]:
    """Events joined, or cut, into what goes to the socket at once."""
    if reply.bytes_per_write:
        return _cut(events, reply.bytes_per_write)
    size = reply.events_per_write or max(1, len(events))
    groups = [events[at : at + size] for at in range(0, len(events), size)]
    return [group[-1]._replace(data=b"".join(event.data for event in group)) for group in groups]


def _cut(events: list[Event], size: int) -> list[Event]:
    stream = b"".join(event.data for event in events)
    writes: list[Event] = []
    done, end, left = Event(b"", 0, 0), 0, iter(events)
    following = next(left, None)
    for at in range(0, len(stream), size):
        data = stream[at : at + size]
        while following is not None and end + len(following.data) <= at + len(data):
            done, end = following, end + len(following.data)
            following = next(left, None)
        writes.append(done._replace(data=data))
    return writes


async def _break_off(
    request: web.Request, entry: Entry, reply: Reply, response: web.StreamResponse
) -> web.StreamResponse:
    if reply.fault == "stall":
        await asyncio.sleep(FOREVER_S)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client went first")
    entry.ended_at = time.monotonic()
    if reply.fault == "close":
        transport.close()
        return response
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None:
        # Without lingering, closing sends RST instead of FIN.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return response

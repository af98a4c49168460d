"""Log of a run: its events in words, with a level each."""

from dataclasses import dataclass

from genai_spine import page_tokens
from genai_spine.store.runs.events import EventRows
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb

DEFAULT_PAGE = 1000
READ_AT_ONCE = 500
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# Level of a type of event; INFO where it is not here.
LEVEL_OF = {
    **dict.fromkeys(("progress", "heartbeat", "item_completed", "cost_recorded"), "DEBUG"),
    **dict.fromkeys(("cancelled", "retry_scheduled", "orphan_detected", "step_skipped"), "WARNING"),
    **dict.fromkeys(("failed", "timed_out", "dead_lettered", "step_failed"), "ERROR"),
}


@dataclass(frozen=True, slots=True)
class RunLogs:
    """Logs of runs that the caller may see."""

    events: EventRows

    async def page(self, request: pb.ListRunLogsRequest) -> pb.ListRunLogsResponse:
        """Page of lines, in their order. Errors: InvalidFields for a token of another list."""
        size = request.page_size or DEFAULT_PAGE
        place = page_tokens.place(request, page_tokens.NUMBER)
        after = place[0] if place else 0
        response = pb.ListRunLogsResponse()
        while True:
            events = await self.events.after(request.run_id, after, READ_AT_ONCE)
            for event in events:
                if (line := _line(event)) and _is_asked_for(line, request):
                    if len(response.lines) == size:
                        response.next_page_token = page_tokens.token(request, after)
                        return response
                    response.lines.append(line)
                after = event.sequence
            if len(events) < READ_AT_ONCE:
                return response


def _is_asked_for(line: pb.RunLogLine, request: pb.ListRunLogsRequest) -> bool:
    least = request.level or LEVELS[0]
    if LEVELS.index(line.level) < LEVELS.index(least):
        return False
    return not request.HasField("step_id") or line.step_id == request.step_id


def _line(event: run_pb2.RunEvent) -> pb.RunLogLine:
    data = dict(event.data)
    step_id = str(data.pop("step_id", ""))
    said = ", ".join(f"{name}: {_text(value)}" for name, value in sorted(data.items()))
    words = event.event_type.replace("_", " ")
    return pb.RunLogLine(
        sequence=event.sequence,
        create_time=event.timestamp,
        level=LEVEL_OF.get(event.event_type, "INFO"),
        message=f"{words} ({said})" if said else words,
        step_id=step_id,
        source=event.source,
    )


def _text(value: object) -> str:
    """Value of an event's data; whole numbers, which are all floating-point there, without a point."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)

"""/api/chat as Ollama's older versions, its imitators and gateways before it write it."""

import json
from typing import Any

from tests.upstreams.sloppy.exchange import Exchange, Protocol, Table, enter_refusals, entry
from tests.upstreams.sloppy.openai import halved
from tests.upstreams.sloppy.wire import HTTP, whole_text

TABLE: Table = {}
COUNTS = ("prompt_eval_count", "prompt_eval_cached_count", "eval_count")


def write(x: Exchange) -> None:
    [said] = x.choices
    calls = [
        {"id": call.id, "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
        for call in said.calls
    ]
    x.calls = [[call] for call in calls]
    usage = {
        "prompt_eval_count": x.counts.input,
        "prompt_eval_cached_count": x.counts.cached,
        "eval_count": x.counts.output,
    }
    x.usages = [usage]
    head = {"model": "m", "created_at": "2026-01-01T00:00:00.123456789Z"}
    ending = {"done": True, "done_reason": "stop", "total_duration": 5}
    if not x.as_stream:
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        message |= {"thinking": said.reasoning} if said.reasoning else {}
        message |= {"tool_calls": calls} if calls else {}
        x.deltas, x.whole = [message], {**head, "message": message, **ending, **usage}
        x.usages = [x.whole]
        return
    messages: list[dict[str, Any]] = [
        {"content": "", "thinking": piece} for piece in x.pieces(said.reasoning)
    ]
    messages += [{"content": piece} for piece in x.pieces(said.text)]
    messages += [{"content": "", "tool_calls": [call]} for call in calls]
    x.deltas = [{"role": "assistant", **message} for message in messages]
    x.events = [{**head, "message": message, "done": False} for message in x.deltas]
    x.usages = [{**head, "message": {"role": "assistant", "content": ""}, **ending, **usage}]
    x.events += x.usages


def body(x: Exchange) -> bytes:
    """JSON lines, or one value."""
    end, framing = x.framing.line_end, x.framing
    if not x.as_stream:
        text = whole_text(x)
        return b"\xef\xbb\xbf" * framing.bom + text.encode()
    lines = [event if isinstance(event, str) else x.dump(event) for event in x.events]
    if framing.space == "data":
        lines = [f"data: {line}{end}" for line in lines] + (["data: [DONE]"] if framing.fields else [])
    if framing.empties:
        lines = [part for line in lines for part in (line, "")]
    return b"\xef\xbb\xbf" * framing.bom + (end.join(lines) + ("" if framing.unended else end)).encode()


@entry(TABLE)
def id_is_missing(x: Exchange) -> bool:
    for [call] in x.calls:
        del call["id"]
    return bool(x.calls)


@entry(TABLE)
def id_is_empty(x: Exchange) -> bool:
    for [call] in x.calls:
        call["id"] = x.rng.choice(["", None])
    return bool(x.calls)


@entry(TABLE)
def id_is_that_of_another_call(x: Exchange) -> bool:
    for [call] in x.calls:
        call["id"] = "call_0"
    return len(x.calls) > 1


@entry(TABLE)
def id_is_a_number(x: Exchange) -> bool:
    for number, [call] in enumerate(x.calls):
        call["id"] = number
    return bool(x.calls)


@entry(TABLE)
def arguments_are_text(x: Exchange) -> bool:
    for [call], said in zip(x.calls, x.choices[0].calls, strict=True):
        call["function"]["arguments"] = said.arguments
    return bool(x.calls)


@entry(TABLE, rare=True)
def no_arguments_for_an_empty_object(x: Exchange) -> bool:
    fired = False
    for [call], said in zip(x.calls, x.choices[0].calls, strict=True):
        if said.arguments == "{}":
            call["function"]["arguments"] = x.rng.choice(["", None])
            fired = True
            if x.rng.random() < 0.5:
                del call["function"]["arguments"]
    return fired


@entry(TABLE)
def calls_are_one_and_no_list(x: Exchange) -> bool:
    fired = False
    for delta in x.deltas:
        if len(delta.get("tool_calls") or ()) == 1:
            delta["tool_calls"], fired = delta["tool_calls"][0], True
    return fired


@entry(TABLE)
def null_in_the_place_of_lists(x: Exchange) -> bool:
    for delta in x.deltas:
        for name in ("tool_calls", "images", "thinking"):
            delta.setdefault(name, None)
    return True


@entry(TABLE, "content")
def content_is_a_list(x: Exchange) -> bool:
    for delta in x.deltas:
        delta["content"] = [{"type": "text", "text": delta["content"]}] if delta["content"] else []
    return True


@entry(TABLE, "content")
def content_is_null(x: Exchange) -> bool:
    fired = False
    for delta in x.deltas:
        if not delta["content"]:
            delta["content"], fired = None, True
    return fired


@entry(TABLE, "content", rare=True)
def characters_are_halved(x: Exchange) -> bool:
    return x.as_stream and halved(x, [delta for delta in x.deltas if delta["content"]], "content")


@entry(TABLE)
def last_line_has_content(x: Exchange) -> bool:
    if not x.as_stream or len(x.events) < 2:
        return False
    x.usages[0]["message"] = x.events.pop(-2)["message"]
    return True


@entry(TABLE)
def last_line_has_no_message(x: Exchange) -> bool:
    if not x.as_stream or "last_line_has_content" in x.fired:
        return False
    if x.rng.random() < 0.5:
        del x.usages[0]["message"]
    else:
        x.usages[0]["message"] = None
    return True


@entry(TABLE)
def finish_is_missing(x: Exchange) -> bool:
    x.usages[0]["done_reason"] = x.rng.choice([None, ""])
    return True


@entry(TABLE)
def finish_comes_twice(x: Exchange) -> bool:
    x.transport.split = True  # in two reads
    x.events += [{**x.usages[0], "message": {"role": "assistant", "content": ""}}] if x.as_stream else []
    return x.as_stream


@entry(TABLE)
def finish_has_another_word(x: Exchange) -> bool:
    x.usages[0]["done_reason"] = x.rng.choice(
        ["eos", "STOP", "end_turn", "tool_calls" if x.calls else "complete"]
    )
    return True


@entry(TABLE, "numbers")
def numbers_are_text(x: Exchange) -> bool:
    return _counts(x, str)


@entry(TABLE, "numbers")
def numbers_are_fractions(x: Exchange) -> bool:
    return _counts(x, float)


def _counts(x: Exchange, form: Any) -> bool:
    for name in COUNTS:
        if name in x.usages[0]:
            x.usages[0][name] = form(x.usages[0][name])
    return True


@entry(TABLE)
def done_is_text(x: Exchange) -> bool:
    for answer in x.events if x.as_stream else [x.whole]:
        answer["done"] = str(answer["done"]).lower()
    return True


@entry(TABLE)
def done_is_missing_until_it_is_true(x: Exchange) -> bool:
    for event in x.events[:-1]:
        del event["done"]
    return x.as_stream


@entry(TABLE)
def usage_is_missing(x: Exchange) -> bool:
    for event in [*x.events, x.usages[0]]:
        for name in COUNTS:
            event.pop(name, None)
    x.counts.known = False
    return True


@entry(TABLE)
def fields_that_nobody_knows(x: Exchange) -> bool:
    for holder in [*x.events, *([x.whole] if x.whole else []), *(c for [c] in x.calls), *x.deltas]:
        holder["x_vendor"] = x.rng.choice([{"a": [1]}, "x", 7, None, [], True])
    return True


@entry(TABLE)
def head_of_other_types(x: Exchange) -> bool:
    for holder in x.events if x.as_stream else [x.whole]:
        holder["model"], holder["created_at"] = x.rng.choice([None, 7, ["m"]]), x.rng.choice([1, None, "now"])
    return True


@entry(TABLE)
def error_is_null(x: Exchange) -> bool:
    for holder in x.events if x.as_stream else [x.whole]:
        holder["error"] = x.rng.choice([None, ""])
    return True


@entry(TABLE)
def empty_messages(x: Exchange) -> bool:
    for _ in range(3):
        odd = x.rng.choice(
            [{}, {"message": {}}, {"message": None, "done": False}, {"message": {"content": ""}}]
        )
        x.events.insert(x.rng.randint(0, max(0, len(x.events) - 1)), odd)
    return x.as_stream


@entry(TABLE)
def other_form(x: Exchange) -> bool:
    return x.as_stream is not x.stream


FAULTS: list[dict[str, Any]] = [
    {"error": "out of memory"},
    {"error": {"message": "out of memory", "code": 500}},
]
FAULTS += [
    {"object": "error", "message": "out of memory"},
    {"detail": "out of memory"},
    {"message": "out of memory", "code": 500},
]
FAULTS += [{"done": True, "done_reason": "error", "message": {"content": ""}}]


@entry(TABLE, "failure")
def call_without_a_name(x: Exchange) -> bool:
    if x.as_stream or not x.calls:
        return False
    for [fragment] in x.calls:
        fragment["function"].pop("name")
    x.failed, x.billed = True, x.counts.known
    return True


@entry(TABLE, "failure")
def error_in_the_place_of_an_answer(x: Exchange) -> bool:
    fault = x.fails(x.rng.choice(FAULTS))
    x.whole, x.events = fault, [fault]
    return True


@entry(TABLE, "failure")
def error_in_the_middle(x: Exchange) -> bool:
    if x.as_stream:
        x.events[x.rng.randint(0, max(0, len(x.events) - 1)) :] = [x.fails(x.rng.choice(FAULTS))]
    return x.as_stream


enter_refusals(TABLE, [400, 401, 404, 429, 500, 502, 503], [FAULTS[0], {"message": "no"}], '{"message":{')


@entry(TABLE, "failure")
def stream_is_cut(x: Exchange) -> bool:
    if not x.as_stream:
        return False
    x.events = [event for event in x.events if event.get("done") not in (True, "true")]
    x.transport.cut, x.failed = x.rng.random() < 0.5, True
    return True


@entry(TABLE)
def crlf(x: Exchange) -> bool:
    x.framing.line_end = "\r\n"
    return x.as_stream


@entry(TABLE)
def lines_are_events(x: Exchange) -> bool:
    x.framing.space, x.framing.fields = "data", x.rng.random() < 0.5
    return x.as_stream


@entry(TABLE)
def empty_lines(x: Exchange) -> bool:
    x.framing.empties = True
    return x.as_stream


@entry(TABLE)
def value_on_several_lines(x: Exchange) -> bool:
    x.framing.several_lines = not x.as_stream
    return x.framing.several_lines


@entry(TABLE)
def byte_order_mark(x: Exchange) -> bool:
    x.framing.bom = True
    return True


@entry(TABLE)
def last_event_is_not_ended(x: Exchange) -> bool:
    x.framing.unended = x.as_stream and not x.transport.cut
    return x.framing.unended


OLLAMA = Protocol(write, body, TABLE | HTTP)

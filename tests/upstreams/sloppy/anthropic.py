"""Messages as gateways and servers of other vendors write them, which speak Anthropic's protocol."""

import json
from typing import Any

from tests.upstreams.sloppy.exchange import Exchange, Protocol, Table, enter_refusals, entry
from tests.upstreams.sloppy.openai import halved
from tests.upstreams.sloppy.wire import HTTP, SSE, sse_body

TABLE: Table = {}
DELTAS = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}


def write(x: Exchange) -> None:
    [said] = x.choices
    x.framing.names = True
    reason = "tool_use" if said.calls else "end_turn"
    counts = {
        "input_tokens": x.counts.input - x.counts.cached,
        "cache_read_input_tokens": x.counts.cached,
        "output_tokens": x.counts.output,
    }
    head = {"id": f"m{x.seed}", "type": "message", "role": "assistant", "model": "m"}
    blocks: list[tuple[dict[str, Any], str]] = []
    if said.reasoning:
        blocks.append(({"type": "thinking", "thinking": said.reasoning, "signature": "s=="}, said.reasoning))
    if said.text:
        blocks.append(({"type": "text", "text": said.text}, said.text))
    for call in said.calls:
        use = {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        blocks.append((use, call.arguments))
    x.calls = [[block] for block, _ in blocks if block["type"] == "tool_use"]
    if not x.as_stream:
        x.usages = [counts]
        x.whole = {**head, "content": [b for b, _ in blocks], "stop_reason": reason, "usage": counts}
        return
    x.usages = [{**counts, "output_tokens": 1}, {"output_tokens": x.counts.output}]
    x.events = [{"type": "message_start", "message": {**head, "content": [], "usage": x.usages[0]}}]
    for index, (block, text) in enumerate(blocks):
        x.events += _block(x, index, block, text)
    x.events.append({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": x.usages[1]})
    x.events.append({"type": "message_stop"})


def _block(x: Exchange, index: int, block: dict[str, Any], text: str) -> list[dict[str, Any]]:
    kind = block["type"]
    block |= {"tool_use": {"input": {}}, "text": {"text": ""}}.get(kind, {"thinking": "", "signature": ""})
    events: list[dict[str, Any]] = [{"type": "content_block_start", "index": index, "content_block": block}]
    for piece in x.pieces(text):
        delta = {"type": f"{'input_json' if kind == 'tool_use' else kind}_delta", DELTAS[kind]: piece}
        x.deltas.append(delta)
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
    return [*events, {"type": "content_block_stop", "index": index}]


def _of(x: Exchange, kind: str) -> list[dict[str, Any]]:
    return [event for event in x.events if isinstance(event, dict) and event.get("type") == kind]


@entry(TABLE)
def id_is_empty(x: Exchange) -> bool:
    for [block] in x.calls:
        block["id"] = x.rng.choice(["", None])
    return bool(x.calls)


@entry(TABLE)
def id_is_missing(x: Exchange) -> bool:
    for [block] in x.calls:
        del block["id"]
    return bool(x.calls) and "id_is_empty" not in x.fired


@entry(TABLE)
def id_is_that_of_another_call(x: Exchange) -> bool:
    for [block] in x.calls:
        block["id"] = "call_0"
    return len(x.calls) > 1


@entry(TABLE, "arguments")
def arguments_come_with_the_start(x: Exchange) -> bool:
    if not (x.as_stream and x.calls):
        return False
    for [block], call in zip(x.calls, x.choices[0].calls, strict=True):
        block["input"] = json.loads(call.arguments)
    x.events = [e for e in x.events if "partial_json" not in e.get("delta", {})]
    return True


@entry(TABLE, "arguments")
def arguments_are_text(x: Exchange) -> bool:
    for [block], call in zip(x.calls, x.choices[0].calls, strict=True):
        block["input"] = call.arguments if not x.as_stream else x.rng.choice(["", None])
    return bool(x.calls)


@entry(TABLE, "arguments")
def arguments_are_an_object_in_a_delta(x: Exchange) -> bool:
    fired = False
    for delta in x.deltas:
        text = delta.get("partial_json", "")
        if any(text == call.arguments for call in x.choices[0].calls):
            delta["partial_json"] = json.loads(text)
            fired = True
    return fired


@entry(TABLE, "arguments", rare=True)
def no_arguments_for_an_empty_object(x: Exchange) -> bool:
    fired = False
    for [block], call in zip(x.calls, x.choices[0].calls, strict=True):
        if call.arguments == "{}" and not x.as_stream:
            block["input"] = x.rng.choice(["", None])
            fired = True
    if x.as_stream:
        for delta in x.deltas:
            if delta.get("partial_json") == "{}":
                delta["partial_json"], fired = "", True
    return fired


@entry(TABLE)
def first_piece_of_arguments_is_empty(x: Exchange) -> bool:
    for event in _of(x, "content_block_start"):
        if event["content_block"]["type"] == "tool_use":
            odd = {"type": "input_json_delta", "partial_json": ""}
            at = x.events.index(event) + 1
            x.events.insert(at, {"type": "content_block_delta", "index": event["index"], "delta": odd})
    return x.as_stream and bool(x.calls)


@entry(TABLE)
def index_is_missing(x: Exchange) -> bool:
    for event in x.events:
        event.pop("index", None)
    return x.as_stream


@entry(TABLE)
def index_is_text(x: Exchange) -> bool:
    for event in x.events:
        if "index" in event:
            event["index"] = str(event["index"])
    return x.as_stream


@entry(TABLE)
def indexes_do_not_begin_at_zero(x: Exchange) -> bool:
    for event in x.events:
        if isinstance(event.get("index"), int):
            event["index"] = event["index"] * 2 + 3
    return x.as_stream and "index_is_missing" not in x.fired and "index_is_text" not in x.fired


@entry(TABLE)
def block_is_not_ended(x: Exchange) -> bool:
    if {"arguments_come_with_the_start", "no_arguments_for_an_empty_object"} & {*x.fired}:
        return False
    x.events = [event for event in x.events if event.get("type") != "content_block_stop"]
    return x.as_stream


@entry(TABLE)
def text_begins_with_its_block(x: Exchange) -> bool:
    fired = False
    for event in _of(x, "content_block_start"):
        at = x.events.index(event) + 1
        if event["content_block"]["type"] == "text" and "text" in x.events[at].get("delta", {}):
            event["content_block"]["text"] = x.events.pop(at)["delta"]["text"]
            fired = True
    return fired


@entry(TABLE, rare=True)
def content_is_text(x: Exchange) -> bool:
    if x.as_stream or x.calls:
        return False
    x.whole["content"], x.choices[0].reasoning = x.choices[0].text, ""
    return True


@entry(TABLE, rare=True)
def characters_are_halved(x: Exchange) -> bool:
    pieces = [event["delta"] for event in _of(x, "content_block_delta") if event["delta"].get("text")]
    return x.as_stream and halved(x, pieces, "text")


@entry(TABLE)
def type_of_delta_is_missing(x: Exchange) -> bool:
    for event in _of(x, "content_block_delta"):
        del event["delta"]["type"]
    return x.as_stream


@entry(TABLE)
def unknown_blocks_and_deltas(x: Exchange) -> bool:
    for _ in range(2):
        kind = x.rng.choice(["content_block_start", "content_block_delta", "content_block_stop"])
        inner = {"content_block": {"type": "x_block"}, "delta": {"type": "x_delta", "x": 1}}
        at = x.rng.randint(len(x.events) - 2, len(x.events)) if x.as_stream else 0
        x.events.insert(at, {"type": kind, "index": 99, **inner})
    if not x.as_stream and isinstance(x.whole["content"], list):
        x.whole["content"].append({"type": "x_block", "x": 1})
        x.events.clear()
    return "index_is_missing" not in x.fired


@entry(TABLE)
def pings_and_unknown_events(x: Exchange) -> bool:
    for _ in range(3):
        x.events.insert(x.place(), {"type": x.rng.choice(["ping", "x_event", "vendor.note"]), "x": 1})
    return x.as_stream


@entry(TABLE)
def events_without_type(x: Exchange) -> bool:
    x.events.insert(x.place(), x.rng.choice([{}, {"type": ""}, {"x": 1}]))
    return x.as_stream


@entry(TABLE, "finish")
def finish_is_end_turn_with_calls(x: Exchange) -> bool:
    return bool(x.calls) and _finish(x, "end_turn")


@entry(TABLE, "finish")
def finish_has_a_word_of_openai(x: Exchange) -> bool:
    return _finish(x, "tool_calls" if x.calls else x.rng.choice(["stop", "STOP", "eos"]))


@entry(TABLE, "finish")
def finish_is_missing(x: Exchange) -> bool:
    if not x.as_stream:
        return _finish(x, None)
    return _finish(x, x.rng.choice([None, ""]))


@entry(TABLE, "finish")
def finish_comes_twice(x: Exchange) -> bool:
    x.transport.split = True  # in two reads
    if x.as_stream:
        [end] = _of(x, "message_delta")[-1:]
        x.events.insert(x.events.index(end) + 1, {**end, "usage": x.usages[1]})
    return x.as_stream


def _finish(x: Exchange, reason: str | None) -> bool:
    if x.as_stream:
        for event in _of(x, "message_delta"):
            event["delta"]["stop_reason"] = reason
    else:
        x.whole["stop_reason"] = reason
    return True


@entry(TABLE)
def message_delta_repeats_the_totals(x: Exchange) -> bool:
    if x.as_stream:
        x.usages[1] |= {name: value for name, value in x.usages[0].items() if name != "output_tokens"}
    return x.as_stream


@entry(TABLE, "usage")
def usage_only_at_the_end(x: Exchange) -> bool:
    if x.as_stream:
        x.usages[1] |= {name: value for name, value in x.usages[0].items() if name != "output_tokens"}
        start = x.events[[e.get("type") for e in x.events].index("message_start")]["message"]
        if x.rng.random() < 0.5:
            del start["usage"]
        else:
            start["usage"] = None
    return x.as_stream


@entry(TABLE, "usage")
def usage_of_the_start_is_zero(x: Exchange) -> bool:
    if x.as_stream:
        x.usages[1] |= {name: value for name, value in x.usages[0].items() if name != "output_tokens"}
        x.usages[0] |= dict.fromkeys(x.usages[0], 0)
    return x.as_stream


@entry(TABLE, "usage")
def usage_is_told_in_steps(x: Exchange) -> bool:
    if x.as_stream:
        at = [e.get("type") for e in x.events].index("message_delta")
        x.events.insert(at, {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1}})
    return x.as_stream


@entry(TABLE)
def counts_are_null_where_nothing_is_new(x: Exchange) -> bool:
    for usage in x.usages:
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            usage.setdefault(name, None)
    return True


@entry(TABLE)
def numbers_are_text(x: Exchange) -> bool:
    for usage in x.usages:
        usage |= {name: str(value) for name, value in usage.items() if isinstance(value, int)}
    return True


@entry(TABLE)
def numbers_are_fractions(x: Exchange) -> bool:
    for usage in x.usages:
        usage |= {name: float(value) for name, value in usage.items() if isinstance(value, int)}
    return "numbers_are_text" not in x.fired


@entry(TABLE)
def fields_that_nobody_knows(x: Exchange) -> bool:
    for holder in [*x.events, *([x.whole] if x.whole else []), *x.usages, *(b for [b] in x.calls), *x.deltas]:
        holder["x_vendor"] = x.rng.choice([{"a": [1]}, "x", 7, None, [], True])
    return True


@entry(TABLE)
def head_of_other_types(x: Exchange) -> bool:
    heads = [event["message"] for event in _of(x, "message_start")] if x.as_stream else [x.whole]
    for head in heads:
        head["id"] = x.rng.choice([7, None, ""])
        head["model"] = x.rng.choice([None, 7, ["m"]])
    return True


@entry(TABLE)
def error_is_null(x: Exchange) -> bool:
    for holder in x.events if x.as_stream else [x.whole]:
        holder["error"] = None
    return True


@entry(TABLE)
def message_stop_is_missing(x: Exchange) -> bool:
    if "finish_is_missing" in x.fired:
        return False
    x.events = [event for event in x.events if event.get("type") != "message_stop"]
    return x.as_stream


@entry(TABLE)
def message_start_is_missing(x: Exchange) -> bool:
    if not {"usage_only_at_the_end", "usage_of_the_start_is_zero"} & {*x.fired}:
        return False
    x.events = [event for event in x.events if event.get("type") != "message_start"]
    return x.as_stream


@entry(TABLE)
def other_form(x: Exchange) -> bool:
    return x.as_stream is not x.stream


FAULT = {"type": "overloaded_error", "message": "Overloaded"}
FAULTS: list[dict[str, Any]] = [
    {"type": "error", "error": FAULT},
    {"error": FAULT},
    {"error": "out of memory"},
]
FAULTS += [
    {"type": "error", "message": "out of memory"},
    {"object": "error", "message": "out of memory", "code": 500},
]


@entry(TABLE, "failure")
def call_without_a_name(x: Exchange) -> bool:
    if x.as_stream or not x.calls:
        return False
    for [fragment] in x.calls:
        fragment.pop("name")
    x.failed, x.billed = True, x.counts.known
    return True


@entry(TABLE, "failure")
def error_in_the_place_of_an_answer(x: Exchange) -> bool:
    fault = x.fails(x.rng.choice(FAULTS))
    x.whole, x.events = fault, [fault]
    return True


@entry(TABLE, "failure")
def error_in_the_middle(x: Exchange) -> bool:
    if not x.as_stream:
        return False
    end = _end(x)
    x.events[x.rng.randint(0, end) :] = [x.fails(x.rng.choice(FAULTS))]
    return True


@entry(TABLE, "failure")
def finish_tells_of_a_failure(x: Exchange) -> bool:
    x.failed = True
    return _finish(x, x.rng.choice(["error", "abort", "internal_error"]))


enter_refusals(
    TABLE, [400, 401, 404, 429, 500, 502, 503, 529], [FAULTS[0], {"message": "no"}], '{"content":['
)


@entry(TABLE, "failure")
def stream_is_cut(x: Exchange) -> bool:
    if not x.as_stream:
        return False
    x.events = x.events[: _end(x)]
    x.transport.cut, x.failed = x.rng.random() < 0.5, True
    return True


def _end(x: Exchange) -> int:
    kinds = [event.get("type") for event in x.events]
    return min(kinds.index(kind) for kind in ("message_delta", "message_stop") if kind in kinds)


ANTHROPIC = Protocol(
    write, sse_body, TABLE | {name: found for name, found in SSE.items() if found.group != "done"} | HTTP
)

"""Converse as gateways before Bedrock and its imitators write it; events in Amazon's frames."""

import json
from typing import Any

from tests.upstreams import aws_wire
from tests.upstreams.sloppy.exchange import Exchange, Protocol, Table, enter_refusals, entry
from tests.upstreams.sloppy.openai import halved
from tests.upstreams.sloppy.wire import HTTP, whole_text

TABLE: Table = {}


def write(x: Exchange) -> None:
    """Events are (type, payload)."""
    [said] = x.choices
    reason = "tool_use" if said.calls else "end_turn"
    usage = {
        "inputTokens": x.counts.input - x.counts.cached,
        "cacheReadInputTokens": x.counts.cached,
        "outputTokens": x.counts.output,
        "totalTokens": x.counts.input + x.counts.output,
    }
    x.usages = [usage]
    uses = [
        {"toolUseId": call.id, "name": call.name, "input": json.loads(call.arguments)} for call in said.calls
    ]
    x.calls = [[use] for use in uses]
    if not x.as_stream:
        thought = {"reasoningText": {"text": said.reasoning, "signature": "s=="}}
        blocks: list[Any] = [{"reasoningContent": thought}] if said.reasoning else []
        blocks += [{"text": said.text}] if said.text else []
        blocks += [{"toolUse": use} for use in uses]
        message = {"role": "assistant", "content": blocks}
        x.whole = {"output": {"message": message}, "stopReason": reason, "usage": usage}
        return
    x.events, index = [("messageStart", {"role": "assistant"})], 0
    if said.reasoning:
        deltas: list[Any] = [{"reasoningContent": {"text": piece}} for piece in x.pieces(said.reasoning)]
        index = _block(x, index, [*deltas, {"reasoningContent": {"signature": "s=="}}])
    if said.text:
        index = _block(x, index, [{"text": piece} for piece in x.pieces(said.text)])
    for use, call in zip(uses, said.calls, strict=True):
        del use["input"]
        x.events.append(("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": use}}))
        pieces = x.pieces(call.arguments)
        if call.arguments == "{}" and x.rng.random() < 0.5:
            pieces = []
        index = _block(x, index, [{"toolUse": {"input": piece}} for piece in pieces])
    x.events += [("messageStop", {"stopReason": reason}), ("metadata", {"usage": usage})]


def _block(x: Exchange, index: int, deltas: list[dict[str, Any]]) -> int:
    x.deltas += deltas
    x.events += [("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}) for delta in deltas]
    x.events.append(("contentBlockStop", {"contentBlockIndex": index}))
    return index + 1


def body(x: Exchange) -> bytes:
    if not x.as_stream:
        return whole_text(x).encode()
    frames = []
    for kind, payload in x.events:
        if kind == "exception":
            frames.append(aws_wire.exception("modelStreamErrorException", payload))
        else:
            frames.append(aws_wire.event(kind, x.dump(payload).encode()))
    if x.framing.unended:
        return b"".join(frames)[:-3]
    return b"".join(frames)


def _payloads(x: Exchange) -> list[dict[str, Any]]:
    return [payload for _, payload in x.events] if x.as_stream else [x.whole]


@entry(TABLE)
def id_is_empty(x: Exchange) -> bool:
    for [use] in x.calls:
        use["toolUseId"] = x.rng.choice(["", None])
    return bool(x.calls)


@entry(TABLE)
def id_is_missing(x: Exchange) -> bool:
    for [use] in x.calls:
        del use["toolUseId"]
    return bool(x.calls)


@entry(TABLE)
def id_is_that_of_another_call(x: Exchange) -> bool:
    for [use] in x.calls:
        use["toolUseId"] = "call_0"
    return len(x.calls) > 1


@entry(TABLE)
def arguments_are_an_object_in_a_delta(x: Exchange) -> bool:
    fired = False
    for delta in x.deltas:
        text = (delta.get("toolUse") or {}).get("input")
        if any(text == call.arguments for call in x.choices[0].calls):
            delta["toolUse"]["input"], fired = json.loads(text), True
    return fired


@entry(TABLE)
def arguments_are_text(x: Exchange) -> bool:
    for [use], call in zip(x.calls, x.choices[0].calls, strict=True):
        if "input" in use:
            use["input"] = call.arguments
    return bool(x.calls) and not x.as_stream


@entry(TABLE, rare=True)
def no_arguments_for_an_empty_object(x: Exchange) -> bool:
    fired = False
    for [use], call in zip(x.calls, x.choices[0].calls, strict=True):
        if call.arguments == "{}" and "input" in use:
            use["input"], fired = x.rng.choice(["", None]), True
    for delta in x.deltas:
        if (delta.get("toolUse") or {}).get("input") == "{}":
            delta["toolUse"]["input"], fired = "", True
    return fired


@entry(TABLE)
def index_is_missing(x: Exchange) -> bool:
    """Every block has a start then, as gateways write it."""
    if not x.as_stream:
        return False
    fresh: list[Any] = []
    for kind, payload in x.events:
        index = payload.pop("contentBlockIndex", None)
        if (
            index is not None
            and kind == "contentBlockDelta"
            and fresh[-1][0] in ("messageStart", "contentBlockStop")
        ):
            fresh.append(("contentBlockStart", {"start": {}}))
        fresh.append((kind, payload))
    x.events = fresh
    return True


@entry(TABLE)
def index_is_text(x: Exchange) -> bool:
    for payload in _payloads(x):
        if "contentBlockIndex" in payload:
            payload["contentBlockIndex"] = str(payload["contentBlockIndex"])
    return x.as_stream


@entry(TABLE)
def text_has_a_start(x: Exchange) -> bool:
    if not x.as_stream or "index_is_missing" in x.fired:
        return False
    at = 1
    x.events.insert(at, ("contentBlockStart", {"contentBlockIndex": 0, "start": None}))
    return x.events[2][0] == "contentBlockDelta"


@entry(TABLE, rare=True)
def content_is_text(x: Exchange) -> bool:
    if x.as_stream or x.calls:
        return False
    x.choices[0].reasoning = ""
    x.whole["output"]["message"]["content"] = x.choices[0].text
    return True


@entry(TABLE, rare=True)
def characters_are_halved(x: Exchange) -> bool:
    return x.as_stream and halved(x, [delta for delta in x.deltas if "text" in delta], "text")


@entry(TABLE)
def other_members_of_a_block_are_null(x: Exchange) -> bool:
    blocks = x.deltas if x.as_stream else x.whole["output"]["message"]["content"]
    for block in blocks if isinstance(blocks, list) else ():
        for name in ("text", "toolUse", "reasoningContent"):
            block.setdefault(name, None)
    return True


@entry(TABLE)
def empty_deltas(x: Exchange) -> bool:
    if not x.as_stream:
        return False
    end = [kind for kind, _ in x.events].index("messageStop")
    for _ in range(2):
        odd = x.rng.choice([{}, None, {"text": ""}, {"toolUse": {"input": ""}}])
        x.events.insert(x.rng.randint(1, end), ("contentBlockDelta", {"contentBlockIndex": 77, "delta": odd}))
    return True


@entry(TABLE)
def unknown_events(x: Exchange) -> bool:
    for _ in range(3):
        x.events.insert(x.place(), (x.rng.choice(["ping", "initial-response", "xEvent"]), {"x": 1}))
    return x.as_stream


@entry(TABLE)
def unknown_blocks(x: Exchange) -> bool:
    if x.as_stream or not isinstance(x.whole["output"]["message"]["content"], list):
        return False
    x.whole["output"]["message"]["content"].append({"guardContent": {"text": {"text": "no"}}})
    return True


@entry(TABLE, "finish")
def finish_is_end_turn_with_calls(x: Exchange) -> bool:
    return bool(x.calls) and _finish(x, "end_turn")


@entry(TABLE, "finish")
def finish_has_another_word(x: Exchange) -> bool:
    return _finish(x, "tool_calls" if x.calls else x.rng.choice(["stop", "STOP", "eos"]))


@entry(TABLE, "finish")
def finish_is_missing(x: Exchange) -> bool:
    return _finish(x, x.rng.choice([None, ""]))


@entry(TABLE, "finish")
def finish_comes_twice(x: Exchange) -> bool:
    x.transport.split = True  # in two reads
    if x.as_stream:
        end = [kind for kind, _ in x.events].index("messageStop")
        x.events.insert(end, x.events[end])
    return x.as_stream


def _finish(x: Exchange, reason: str | None) -> bool:
    for payload in _payloads(x):
        if "stopReason" in payload:
            payload["stopReason"] = reason
    return True


@entry(TABLE, "usage")
def usage_before_the_stop(x: Exchange) -> bool:
    if x.as_stream:
        x.events.insert(1, x.events.pop([kind for kind, _ in x.events].index("metadata")))
    return x.as_stream


@entry(TABLE, "usage")
def usage_comes_twice(x: Exchange) -> bool:
    if x.as_stream:
        x.events.append(("metadata", {"usage": x.usages[0], "metrics": {"latencyMs": 5}}))
    return x.as_stream


@entry(TABLE, "usage")
def usage_is_missing(x: Exchange) -> bool:
    for payload in _payloads(x):
        payload.pop("usage", None)
    x.counts.known = False
    return True


@entry(TABLE, "numbers")
def numbers_are_text(x: Exchange) -> bool:
    usage = x.usages[0]
    usage |= {name: str(value) for name, value in usage.items()}
    return True


@entry(TABLE, "numbers")
def numbers_are_fractions(x: Exchange) -> bool:
    usage = x.usages[0]
    usage |= {name: float(value) for name, value in usage.items()}
    return True


@entry(TABLE)
def counts_that_are_null(x: Exchange) -> bool:
    x.usages[0] |= {"cacheWriteInputTokens": None, "cacheDetails": x.rng.choice([None, []])}
    return True


@entry(TABLE)
def fields_that_nobody_knows(x: Exchange) -> bool:
    for holder in [*_payloads(x), *x.usages, *(use for [use] in x.calls), *x.deltas]:
        holder["xVendor"] = x.rng.choice([{"a": [1]}, "x", 7, None, [], True])
    return True


@entry(TABLE)
def error_is_null(x: Exchange) -> bool:
    for payload in _payloads(x):
        payload["error"] = None
    return True


@entry(TABLE)
def other_form(x: Exchange) -> bool:
    return x.as_stream is not x.stream


FAULTS: list[dict[str, Any]] = [
    {"message": "out of memory"},
    {"error": {"message": "out of memory", "code": 500}},
    {"Message": "out of memory"},
]
FAULTS += [{"__type": "InternalServerException", "message": "out of memory"}, {"error": "out of memory"}]


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
    x.whole, x.as_stream = x.fails(x.rng.choice(FAULTS)), False
    return True


@entry(TABLE, "failure")
def error_in_the_middle(x: Exchange) -> bool:
    if x.as_stream:
        end = [kind for kind, _ in x.events].index("messageStop")
        x.events[x.rng.randint(0, end) :] = [("exception", {"message": "no"})]
        x.failed = True
    return x.as_stream


@entry(TABLE, "failure")
def finish_tells_of_a_failure(x: Exchange) -> bool:
    x.failed = True
    return _finish(x, x.rng.choice(["error", "malformed_model_output", "internal_error"]))


enter_refusals(TABLE, [400, 401, 403, 404, 424, 429, 500, 503], FAULTS, '{"output":{')


@entry(TABLE, "failure")
def stream_is_cut(x: Exchange) -> bool:
    if not x.as_stream:
        return False
    x.events = x.events[: [kind for kind, _ in x.events].index("messageStop")]
    x.transport.cut, x.failed = x.rng.random() < 0.5, True
    x.framing.unended = bool(x.events) and x.rng.random() < 0.3
    return True


BEDROCK = Protocol(write, body, TABLE | HTTP)

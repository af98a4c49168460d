"""Chat completions as compatible servers write them: texts, ends, usage and failures."""

import itertools
from typing import Any

from tests.upstreams.sloppy.exchange import Exchange, Protocol, Said, Table, enter_refusals, entry
from tests.upstreams.sloppy.openai_calls import CALLS
from tests.upstreams.sloppy.wire import HTTP, SSE, sse_body

TABLE: Table = {**CALLS}


def write(x: Exchange) -> None:
    head = {"id": f"x{x.seed}", "object": "chat.completion", "created": 1, "model": "m"}
    usage = {
        "prompt_tokens": x.counts.input,
        "completion_tokens": x.counts.output,
        "total_tokens": x.counts.input + x.counts.output,
        "prompt_tokens_details": {"cached_tokens": x.counts.cached},
    }
    x.usages = [usage]
    if not x.as_stream:
        x.whole = {
            **head,
            "choices": [_choice(x, at, said) for at, said in enumerate(x.choices)],
            "usage": usage,
        }
        return
    x.framing.done = "[DONE]"
    head["object"] = "chat.completion.chunk"
    steps = [list(_deltas(x, said)) for said in x.choices]
    for rank in itertools.zip_longest(*steps):
        for at, delta in enumerate(rank):
            if delta is None:
                continue
            reason = delta.pop("finish", None)
            x.deltas.append(delta)
            choice = {"index": at, "delta": delta, "finish_reason": reason}
            if token := delta.pop("token", None):
                choice["logprobs"] = _logprobs([token])
            x.events.append({**head, "choices": [choice]})
    x.events.append({**head, "choices": [], "usage": usage})


def _choice(x: Exchange, index: int, said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    if said.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in said.calls
        ]
        x.calls += [[call] for call in message["tool_calls"]]
    x.deltas.append(message)
    choice = {"index": index, "message": message, "finish_reason": _reason(said)}
    if x.with_logprobs and said.text:
        said.logprobs = x.pieces(said.text)
        choice["logprobs"] = _logprobs(said.logprobs)
    return choice


def _logprobs(tokens: list[str]) -> dict[str, Any]:
    return {
        "content": [{"token": token, "logprob": -1.0, "bytes": None, "top_logprobs": []} for token in tokens]
    }


def _reason(said: Said) -> str:
    return "tool_calls" if said.calls else "stop"


def _deltas(x: Exchange, said: Said) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in x.pieces(said.reasoning)]
    for piece in x.pieces(said.text):
        deltas.append({"content": piece})
        if x.with_logprobs:
            deltas[-1]["token"] = piece
            said.logprobs.append(piece)
    for number, call in enumerate(said.calls):
        called = {"name": call.name, "arguments": ""}
        fragments = [{"index": number, "id": call.id, "type": "function", "function": called}]
        pieces = [{"index": number, "function": {"arguments": piece}} for piece in x.pieces(call.arguments)]
        if x.rng.random() < 0.3:
            called["arguments"] = call.arguments
            pieces = []
        fragments += pieces
        x.calls.append(fragments)
        deltas += [{"tool_calls": [fragment]} for fragment in fragments]
    return [*deltas, {"finish": _reason(said)}]


def picks(x: Exchange) -> list[dict[str, Any]]:
    """Choices of all events, or of the answer."""
    answers = x.events if x.as_stream else [x.whole]
    return [pick for answer in answers if isinstance(answer, dict) for pick in answer.get("choices") or ()]


def answers(x: Exchange) -> list[dict[str, Any]]:
    return x.events if x.as_stream else [x.whole]


def ends(x: Exchange) -> list[dict[str, Any]]:
    return [pick for pick in picks(x) if pick.get("finish_reason")]


@entry(TABLE)
def index_is_text(x: Exchange) -> bool:
    for fragment in itertools.chain(*x.calls, picks(x)):
        if "index" in fragment:
            fragment["index"] = str(fragment["index"])
    return True


# Texts.


@entry(TABLE, "content")
def content_is_a_list(x: Exchange) -> bool:
    for delta in x.deltas:
        parts = []
        if thought := delta.pop("reasoning_content", None):
            parts.append({"type": "thinking", "thinking": [{"type": "text", "text": thought}]})
        if text := delta.get("content"):
            parts.append({"type": "text", "text": text})
        delta["content"] = parts
    return True


@entry(TABLE, "content")
def reasoning_has_its_other_name(x: Exchange) -> bool:
    fired = False
    for delta in x.deltas:
        if "reasoning_content" in delta:
            delta["reasoning"] = delta.pop("reasoning_content")
            fired = True
    return fired


@entry(TABLE, "content")
def reasoning_has_both_names(x: Exchange) -> bool:
    fired = False
    for delta in x.deltas:
        if "reasoning_content" in delta:
            delta["reasoning"] = delta["reasoning_content"]
            fired = True
    return fired


@entry(TABLE, "content", rare=True)
def characters_are_halved(x: Exchange) -> bool:
    return x.as_stream and halved(x, [d for d in x.deltas if d.get("content")], "content")


def halved(x: Exchange, holders: list[dict[str, Any]], name: str) -> bool:
    """Moves the second half of a character to the next piece, where pieces follow each other."""
    fired = False
    for first, second in itertools.pairwise(holders if len(x.choices) == 1 else []):
        text = first[name]
        if found := next((at for at, character in enumerate(text) if ord(character) > 0xFFFF), None):
            high, low = divmod(ord(text[found]) - 0x10000, 0x400)
            first[name] = text[:found] + chr(0xD800 + high)
            second[name] = chr(0xDC00 + low) + text[found + 1 :] + second[name]
            x.ascii = fired = True
    return fired


@entry(TABLE)
def message_in_the_place_of_delta(x: Exchange) -> bool:
    for pick in picks(x):
        name, other = ("delta", "message") if x.as_stream else ("message", "delta")
        pick[other] = pick.pop(name)
    return True


@entry(TABLE)
def null_in_the_place_of_lists(x: Exchange) -> bool:
    for delta in x.deltas:
        for name in ("tool_calls", "annotations", "refusal", "function_call", "audio", "reasoning_details"):
            delta.setdefault(name, None)
    for pick in picks(x):
        pick.setdefault("logprobs", None)
    return True


@entry(TABLE)
def role_and_content_in_every_delta(x: Exchange) -> bool:
    for delta in x.deltas:
        delta["role"] = "assistant"
        delta.setdefault("content", x.rng.choice(["", None]))
    return True


@entry(TABLE, rare=True)
def logprobs_without_text(x: Exchange) -> bool:
    if not (x.as_stream and x.with_logprobs):
        return False
    event = {"choices": [{"index": 0, "delta": {"content": ""}, "logprobs": _logprobs(["<half>"])}]}
    x.choices[0].logprobs.insert(0, "<half>")
    x.events.insert(1, event)
    return True


# Finish.


@entry(TABLE, "finish")
def finish_is_stop_with_calls(x: Exchange) -> bool:
    for pick in ends(x):
        pick["finish_reason"] = "stop"
    return bool(x.calls)


@entry(TABLE, "finish")
def finish_has_another_word(x: Exchange) -> bool:
    for pick in ends(x):
        calls = pick["finish_reason"] == "tool_calls"
        words = ["tool_use", "TOOL_CALLS"] if calls else ["eos", "STOP", "end_turn", "complete"]
        pick["finish_reason"] = x.rng.choice(words)
    return True


@entry(TABLE, "finish")
def finish_is_an_object(x: Exchange) -> bool:
    for pick in ends(x):
        pick["finish_reason"] = {"type": pick["finish_reason"], "matched": 7}
    return True


@entry(TABLE, "finish")
def finish_is_missing(x: Exchange) -> bool:
    if (
        x.stream and not x.as_stream and "message_in_the_place_of_delta" in x.fired
    ):  # as a stream that was cut
        return False
    for pick in ends(x):
        pick["finish_reason"] = None
    return True


@entry(TABLE, "finish")
def finish_comes_twice(x: Exchange) -> bool:
    x.transport.split = True  # in two reads
    if x.as_stream:
        at = max(
            n for n, event in enumerate(x.events) if any(p.get("finish_reason") for p in event["choices"])
        )
        last = x.events[at]["choices"][0]
        x.events.insert(at + 1, {"choices": [{**last, "delta": {}}]})
    return x.as_stream


@entry(TABLE)
def finish_is_empty_text_until_it_comes(x: Exchange) -> bool:
    for pick in picks(x):
        pick["finish_reason"] = pick.get("finish_reason") or ""
    return x.as_stream and "finish_is_missing" not in x.fired


# Usage.


def _usage_event(x: Exchange) -> dict[str, Any] | None:
    return next((event for event in x.events if event.get("usage") is x.usages[0]), None)


@entry(TABLE, "usage")
def usage_chunk_has_null_choices(x: Exchange) -> bool:
    if event := _usage_event(x):
        event["choices"] = None
    return x.as_stream


@entry(TABLE, "usage")
def usage_chunk_has_no_choices(x: Exchange) -> bool:
    if event := _usage_event(x):
        del event["choices"]
    return x.as_stream


@entry(TABLE, "usage")
def usage_chunk_has_an_empty_choice(x: Exchange) -> bool:
    if event := _usage_event(x):
        event["choices"] = [x.rng.choice([{}, {"delta": {}}, {"index": 0, "delta": None}])]
    return x.as_stream


@entry(TABLE, "usage")
def usage_in_every_chunk(x: Exchange) -> bool:
    for number, event in enumerate(x.events[:-1], 1):
        so_far = min(number, x.counts.output)
        total = x.counts.input + so_far
        usage = {"prompt_tokens": x.counts.input, "completion_tokens": so_far, "total_tokens": total}
        event["usage"] = usage
    return x.as_stream


@entry(TABLE, "usage")
def usage_is_null_until_it_comes(x: Exchange) -> bool:
    for event in x.events[:-1]:
        event["usage"] = None
    return x.as_stream


@entry(TABLE, "usage")
def usage_with_the_finish_reason(x: Exchange) -> bool:
    if x.as_stream:
        x.events.pop()
        x.events[-1]["usage"] = x.usages[0]
    return x.as_stream


@entry(TABLE, "usage")
def usage_in_the_choice(x: Exchange) -> bool:
    if x.as_stream:
        x.events.pop()
        x.events[-1]["choices"][0]["usage"] = x.usages[0]
    return x.as_stream


@entry(TABLE, "usage")
def usage_of_groq(x: Exchange) -> bool:
    for answer in answers(x):
        if "usage" in answer:
            answer["x_groq"] = {"usage": answer.pop("usage")}
    return True


@entry(TABLE, "usage")
def usage_is_missing(x: Exchange) -> bool:
    for answer in answers(x):
        answer.pop("usage", None)
    x.counts.known = False
    return True


@entry(TABLE)
def usage_has_names_of_another_api(x: Exchange) -> bool:
    if "usage_in_every_chunk" in x.fired:
        return False
    usage = x.usages[0]
    usage["input_tokens"], usage["output_tokens"] = usage.pop("prompt_tokens"), usage.pop("completion_tokens")
    return True


@entry(TABLE)
def numbers_are_text(x: Exchange) -> bool:
    usage = x.usages[0]
    usage |= {name: str(value) for name, value in usage.items() if isinstance(value, int)}
    return True


@entry(TABLE)
def numbers_are_fractions(x: Exchange) -> bool:
    usage = x.usages[0]
    usage |= {name: float(value) for name, value in usage.items() if isinstance(value, int)}
    return "numbers_are_text" not in x.fired


# All the rest.


@entry(TABLE)
def fields_that_nobody_knows(x: Exchange) -> bool:
    for holder in [*answers(x), *picks(x), *x.deltas, *x.usages, *itertools.chain(*x.calls)]:
        holder["x_vendor"] = x.rng.choice([{"a": [1]}, "obfuscation", 7, None, [], True])
    return True


@entry(TABLE)
def head_of_other_types(x: Exchange) -> bool:
    for answer in answers(x):
        answer["created"] = x.rng.choice(["1", 1.5, None])
        answer["id"] = x.rng.choice([7, None, "", "x"])
        answer["model"] = x.rng.choice([None, "m", ["m"]])
        answer["system_fingerprint"] = x.rng.choice([[], 7, None])
    return True


@entry(TABLE)
def error_is_null(x: Exchange) -> bool:
    for answer in answers(x):
        answer["error"] = None
    return True


@entry(TABLE)
def empty_events(x: Exchange) -> bool:
    for _ in range(3):
        odd = x.rng.choice([{}, {"choices": []}, {"choices": None}, {"choices": [{"index": 0, "delta": {}}]}])
        x.events.insert(x.place(), odd)
    return x.as_stream


@entry(TABLE)
def null_events(x: Exchange) -> bool:
    x.events.insert(x.place(), "null")
    return x.as_stream


@entry(TABLE)
def logprobs_of_another_form(x: Exchange) -> bool:
    if x.with_logprobs:
        return False
    for pick in picks(x):
        pick["logprobs"] = x.rng.choice([{}, [], {"content": None}, {"content": []}])
    return True


@entry(TABLE)
def other_form(x: Exchange) -> bool:
    return x.as_stream is not x.stream


# Failures.

FAULT = {"message": "out of memory", "type": "server_error", "code": 500}
FAULTS: list[Any] = [
    {"error": FAULT},
    {"error": "out of memory"},
    {"object": "error", **FAULT},
    {"detail": "out of memory"},
]
FAULTS += [{"choices": [{"index": 0, "finish_reason": "error", "delta": {"content": ""}, "error": FAULT}]}]
FAULTS += [
    {"choices": [{"index": 0, "finish_reason": "abort", "message": {"content": ""}}]},
    {"errors": [FAULT]},
]
FAULTS += [{"choices": [{"index": 0, "finish_reason": reason, "error": FAULT}]} for reason in (None, "stop")]


@entry(TABLE, "failure")
def call_without_a_name(x: Exchange) -> bool:
    if x.as_stream or not x.calls or any("function_call" in delta for delta in x.deltas):
        return False
    for [fragment] in x.calls:
        (fragment.get("function") or fragment).pop("name", None)
    x.failed, x.billed = True, x.counts.known
    return True


@entry(TABLE, "failure")
def error_in_the_place_of_an_answer(x: Exchange) -> bool:
    fault = x.fails(x.rng.choice(FAULTS))
    x.whole, x.events = fault, [fault]
    return True


@entry(TABLE, "failure")
def error_in_the_middle(x: Exchange) -> bool:
    if not x.as_stream or len(x.choices) > 1:
        return False
    end = min(n for n, event in enumerate(x.events) if event in (*x.events[-1:],) or _ends(event))
    x.events[x.rng.randint(1, max(1, end)) :] = [x.fails(x.rng.choice(FAULTS))]
    return True


def _ends(event: Any) -> bool:
    return isinstance(event, dict) and any(pick.get("finish_reason") for pick in event.get("choices") or ())


enter_refusals(
    TABLE, [400, 401, 404, 429, 500, 502, 503, 529], [{"error": FAULT}, {"message": "no"}], '{"choices":['
)


@entry(TABLE, "failure")
def stream_is_cut(x: Exchange) -> bool:
    if not x.as_stream:
        return False
    first = next((n for n, event in enumerate(x.events) if _ends(event)), len(x.events))
    if first == len(x.events) or len(x.choices) > 1:
        return False
    x.events, x.framing.done = x.events[:first], None
    x.transport.cut, x.failed = x.rng.random() < 0.5, True
    return True


OPENAI = Protocol(write, sse_body, TABLE | SSE | HTTP, choices=True, logprobs=True)

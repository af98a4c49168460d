"""Answers of POST /v1/messages, whole and streamed, and of /v1/messages/count_tokens.

Shapes: https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11-28). A step of a Reply's
`after` is one delta of the model: the events that open and close a block go out with the delta beside them.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.reply import Content, Reply, ToolCall
from tests.upstreams.samples import echo, pieces, prompt_tokens, sample
from tests.upstreams.speech import Limits, Speech, Tally, speak

# The words of Reply.finish_reason, which are OpenAI's; others are sent as they are.
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"


class Step(NamedTuple):
    """Events that go out together; channel and text are what Tally counts."""

    events: list[dict[str, Any]]
    channel: str = ""
    text: str = ""


def message_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    content = reply.choices[0] if reply.choices else reply
    stops = body.get("stop_sequences") or []
    unscripted = _unscripted(body)
    speech = speak(content, unscripted, Limits(stops, body.get("max_tokens")))
    counted = _input_tokens(body)
    usage = _usage(body, reply, speech, counted)
    prompt = counted if reply.usage.prompt_tokens is None else reply.usage.prompt_tokens
    ending = _ending(content.text or unscripted.text or "", speech, stops)
    blocks = [*_thoughts(speech), *_texts(speech), *_calls(speech, entry)]
    head = {
        "id": reply.id or f"msg_{entry.number:022d}",
        "type": "message",
        "role": "assistant",
        "model": reply.model or body.get("model"),
    }
    if not body.get("stream"):
        whole = {**head, "content": [block for block, _ in blocks], **ending, **reply.message_extra}
        whole |= {} if reply.omit_usage else {"usage": usage}
        data = json.dumps({**whole, **reply.extra}, ensure_ascii=False).encode()
        return Answer([Event(data, usage["output_tokens"])], prompt_tokens=prompt)
    frame = framer(reply)
    steps = list(_steps(head, blocks, ending, None if reply.omit_usage else usage))
    return Answer(
        list(_timed(steps, usage["output_tokens"], frame)), "text/event-stream; charset=utf-8", frame, prompt
    )


def count_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    return Answer([Event(json.dumps({"input_tokens": _input_tokens(body)}).encode(), 0)])


def framer(reply: Reply) -> Callable[[Any], bytes]:
    """Writes a JSON value as one server-sent event, under the name that its type gives."""
    end = reply.line_end
    comment = f": {reply.comment}{end * 2}" if reply.comment else ""

    def frame(value: Any) -> bytes:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return f"{comment}event: {value['type']}{end}data: {text}{end * 2}".encode()

    return frame


def _input_tokens(body: dict[str, Any]) -> int:
    return prompt_tokens([*_system(body), *_flat(body)])


def _system(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "system", "content": body["system"]}] if body.get("system") else []


def _flat(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages, with the results of tools in place of the blocks that hold them."""
    flat = []
    for message in body.get("messages") or []:
        content = message.get("content")
        if isinstance(content, list):
            content = [part for block in content for part in _inner(block)]
        flat.append({"role": message.get("role"), "content": content})
    return flat


def _inner(block: dict[str, Any]) -> list[dict[str, Any]]:
    if block.get("type") in ("tool_use", "thinking", "redacted_thinking"):
        return [{"type": "text", "text": json.dumps(block.get("input", block.get("thinking", "")))}]
    if block.get("type") != "tool_result":
        return [block]
    content = block.get("content") or []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _unscripted(body: dict[str, Any]) -> Content:
    """What is said without a script: a forced tool, JSON for a schema, an echo."""
    choice, tools = body.get("tool_choice") or {}, body.get("tools") or []
    if choice.get("type") in ("any", "tool") and tools:
        tool = next((tool for tool in tools if tool["name"] == choice.get("name")), tools[0])
        return Content(tool_calls=[ToolCall(tool["name"], json.dumps(sample(tool["input_schema"])))])
    wanted = (body.get("output_config") or {}).get("format")
    if wanted:
        return Content(json.dumps(sample(wanted["schema"])))
    return Content(echo(_flat(body)))


def _usage(body: dict[str, Any], reply: Reply, speech: Speech, counted: int) -> dict[str, Any]:
    told = reply.usage
    prompt = counted if told.prompt_tokens is None else told.prompt_tokens
    read, written = told.cached_tokens or 0, told.cache_write_tokens or 0
    for_1h = written if '"ttl": "1h"' in json.dumps(body) else 0
    usage: dict[str, Any] = {
        "input_tokens": prompt - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written - for_1h,
            "ephemeral_1h_input_tokens": for_1h,
        },
        "output_tokens": speech.tokens if told.completion_tokens is None else told.completion_tokens,
        "service_tier": "standard",
    }
    thought = speech.reasoning_tokens if told.reasoning_tokens is None else told.reasoning_tokens
    if thought:
        usage["output_tokens_details"] = {"thinking_tokens": thought}
    return usage | reply.usage_extra


def _ending(text: str | list[str], speech: Speech, stops: list[str]) -> dict[str, Any]:
    """text: as it would be without the stop sequences."""
    reason = STOP_REASONS.get(speech.finish_reason, speech.finish_reason)
    met = next((stop for stop in stops if stop in "".join(text)), None)
    if met and reason == "end_turn":
        reason = "stop_sequence"
    ending: dict[str, Any] = {"stop_reason": reason, "stop_sequence": met}
    if reason == "refusal":
        ending["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return ending


Blocks = list[tuple[dict[str, Any], list[str]]]  # a block as it stands whole, and the pieces of its stream


def _thoughts(speech: Speech) -> Blocks:
    if not speech.reasoning:
        return []
    block = {"type": "thinking", "thinking": "".join(speech.reasoning), "signature": SIGNATURE}
    return [(block, speech.reasoning)]


def _texts(speech: Speech) -> Blocks:
    said = [*speech.text, *speech.refusal]
    return [({"type": "text", "text": "".join(said)}, said)] if said else []


def _calls(speech: Speech, entry: Entry) -> Blocks:
    return [_call(index, call, entry) for index, call in enumerate(speech.tool_calls)]


def _call(index: int, call: ToolCall, entry: Entry) -> tuple[dict[str, Any], list[str]]:
    given = "".join(call.arguments)
    head = {"type": "tool_use", "id": call.id or f"toolu_{entry.number:020d}_{index}", "name": call.name}
    # An input of no fields comes as one empty piece.
    return {**head, "input": json.loads(given)}, ["", *([] if given == "{}" else pieces(call.arguments))]


EMPTY = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
DELTAS = {
    "text": lambda piece: {"type": "text_delta", "text": piece},
    "thinking": lambda piece: {"type": "thinking_delta", "thinking": piece},
    "tool_use": lambda piece: {"type": "input_json_delta", "partial_json": piece},
}


def _steps(
    head: dict[str, Any], blocks: Blocks, ending: dict[str, Any], usage: dict[str, Any] | None
) -> Iterator[Step]:
    nothing = {"stop_reason": None, "stop_sequence": None}
    start = {**head, "content": [], **nothing}
    if usage is not None:
        start["usage"] = {**usage, "output_tokens": 1}
        start["usage"].pop("output_tokens_details", None)
    yield Step([{"type": "message_start", "message": start}, {"type": "ping"}])
    for index, (block, said) in enumerate(blocks):
        yield from _block_steps(index, block, said)
    delta: dict[str, Any] = {"type": "message_delta", "delta": ending}
    if usage is not None:
        totals = {name: count for name, count in usage.items() if "tokens" in name}
        delta["usage"] = totals
    yield Step([delta, {"type": "message_stop"}])


def _block_steps(index: int, block: dict[str, Any], said: list[str]) -> Iterator[Step]:
    kind = block["type"]
    before = [
        {"type": "content_block_start", "index": index, "content_block": {**block, **EMPTY[kind]}},
    ]
    after: list[dict[str, Any]] = [{"type": "content_block_stop", "index": index}]
    if kind == "thinking":
        signed = {"type": "signature_delta", "signature": block["signature"]}
        after.insert(0, {"type": "content_block_delta", "index": index, "delta": signed})
    name = block.get("name", "")
    for at, piece in enumerate(said):
        event = {"type": "content_block_delta", "index": index, "delta": DELTAS[kind](piece)}
        events = [*(before if at == 0 else ()), event, *(after if at == len(said) - 1 else ())]
        yield Step(events, f"{kind}{index}", piece + (name if at == 0 else ""))


def _timed(steps: list[Step], reported: int, frame: Callable[[Any], bytes]) -> Iterator[Event]:
    tally = Tally()
    for sent, step in enumerate(steps, 1):
        tally.add(0, step.channel, step.text)
        tokens = reported if sent == len(steps) else tally.total
        yield Event(b"".join(frame(event) for event in step.events), tokens, sent)

"""Answers of POST /v1/chat/completions, whole and streamed.

Shapes: https://platform.openai.com/docs/api-reference/chat (2026-11-21). The reasoning text is what
compatible gateways add; OpenAI itself sends none.
"""

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.reply import Content, Reply, ToolCall
from tests.upstreams.samples import echo, pieces, prompt_tokens, sample
from tests.upstreams.speech import Limits, Speech, Tally, speak

OBFUSCATED = 32  # every delta's text is padded to a multiple of so many characters


class Delta(NamedTuple):
    """One step of one choice; channel and text are what Tally counts."""

    delta: dict[str, Any]
    channel: str = ""
    text: str = ""
    finish_reason: str | None = None


def chat_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    speeches = [
        speak(content, *_unscripted(body, index)) for index, content in enumerate(_contents(body, reply))
    ]
    usage = usage_json(reply, prompt_tokens(body.get("messages", [])), speeches)
    head = head_json("chat.completion", "chatcmpl", body, reply, entry)
    if not body.get("stream"):
        choices = [_choice(index, speech, body, reply, entry) for index, speech in enumerate(speeches)]
        whole = {**head, "choices": choices, **({} if reply.omit_usage else {"usage": usage})}
        return whole_answer(whole, usage, reply)
    head["object"] = "chat.completion.chunk"
    frame = framer(reply)
    events = list(_events(head, speeches, body, reply, usage, entry))
    return Answer(events, "text/event-stream; charset=utf-8", frame, usage["prompt_tokens"])


def _contents(body: dict[str, Any], reply: Reply) -> list[Content]:
    return list(itertools.islice(itertools.cycle(reply.choices or [reply]), body.get("n") or 1))


def head_json(kind: str, prefix: str, body: dict[str, Any], reply: Reply, entry: Entry) -> dict[str, Any]:
    head = {
        "id": reply.id or f"{prefix}-{entry.number:029d}",
        "object": kind,
        "created": reply.created if reply.created is not None else int(time.time()),
        "model": reply.model or body.get("model"),
    }
    if kind != "text_completion":
        head["service_tier"] = reply.service_tier
    return {**head, "system_fingerprint": reply.system_fingerprint}


def whole_answer(whole: dict[str, Any], usage: dict[str, Any], reply: Reply) -> Answer:
    data = json.dumps({**whole, **reply.extra}, ensure_ascii=False, indent=2).encode()
    return Answer([Event(data, usage["completion_tokens"])], prompt_tokens=usage["prompt_tokens"])


def framer(reply: Reply) -> Any:
    """Writes a JSON value (or [DONE]) as one server-sent event."""
    comment = f": {reply.comment}{reply.line_end * 2}" if reply.comment else ""

    def frame(value: Any) -> bytes:
        text = (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        )
        return f"{comment}data: {text}{reply.line_end * 2}".encode()

    return frame


def usage_json(reply: Reply, counted_prompt: int, speeches: list[Speech]) -> dict[str, Any]:
    told = reply.usage
    visible = sum(speech.reasoning_tokens for speech in speeches)
    reasoning = visible if told.reasoning_tokens is None else told.reasoning_tokens
    counted = sum(speech.tokens for speech in speeches) - visible + reasoning
    prompt = counted_prompt if told.prompt_tokens is None else told.prompt_tokens
    completion = counted if told.completion_tokens is None else told.completion_tokens
    cached = {"cached_tokens": told.cached_tokens or 0, "audio_tokens": told.prompt_audio_tokens}
    if told.cache_write_tokens is not None:
        cached["cache_write_tokens"] = told.cache_write_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": cached,
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": told.completion_audio_tokens,
            "accepted_prediction_tokens": told.accepted_prediction_tokens,
            "rejected_prediction_tokens": told.rejected_prediction_tokens,
        },
        **reply.usage_extra,
    }


def _unscripted(body: dict[str, Any], index: int) -> tuple[Content, Limits]:
    """What an unscripted choice says (a forced tool, JSON for a schema, an echo), and its limits."""
    stop = body.get("stop") or []
    max_tokens = body.get("max_completion_tokens")
    limits = Limits(
        stop=[stop] if isinstance(stop, str) else stop,
        max_tokens=body.get("max_tokens") if max_tokens is None else max_tokens,
    )
    forced = _forced_tool(body)
    if forced:
        return forced, limits
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return Content(json.dumps(sample(wanted["json_schema"]["schema"]))), limits
    text = echo(body.get("messages", [])) + (f" #{index}" if index else "")
    return Content(json.dumps({"answer": text}) if wanted.get("type") == "json_object" else text), limits


def _forced_tool(body: dict[str, Any]) -> Content | None:
    choice, tools = body.get("tool_choice"), body.get("tools") or []
    legacy = body.get("function_call")
    if isinstance(legacy, dict):
        return Content(tool_calls=[ToolCall(legacy["name"], kind="legacy")], finish_reason="stop")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools = choice["allowed_tools"]["tools"]
        choice = choice["allowed_tools"]["mode"]
    if choice == "required":
        return Content(tool_calls=[_call(tools[0])])
    if not isinstance(choice, dict):
        return None
    name = choice[choice["type"]]["name"]
    # OpenAI says "stop", not "tool_calls", when one function was named.
    tool = next(tool for tool in tools if tool[tool["type"]]["name"] == name)
    return Content(tool_calls=[_call(tool)], finish_reason="stop")


def _call(tool: dict[str, Any]) -> ToolCall:
    if tool["type"] == "custom":
        return ToolCall(tool["custom"]["name"], "text", kind="custom")
    return ToolCall(tool["function"]["name"], json.dumps(sample(tool["function"].get("parameters") or {})))


def _choice(index: int, speech: Speech, body: dict[str, Any], reply: Reply, entry: Entry) -> dict[str, Any]:
    calls = [_tool_json(position, call, entry) for position, call in enumerate(speech.tool_calls)]
    legacy = [call["function"] for call in calls if call["type"] == "legacy"]
    silent = not speech.text and (calls or speech.refusal)
    message: dict[str, Any] = {"role": "assistant", "content": None if silent else "".join(speech.text)}
    if speech.reasoning:
        message[reply.reasoning_field] = "".join(speech.reasoning)
    if legacy:
        message["function_call"] = legacy[0]
    elif calls:
        message["tool_calls"] = calls
    message |= {"refusal": "".join(speech.refusal) or None, "annotations": [], **reply.message_extra}
    logprobs = _logprobs(speech.text, body) if body.get("logprobs") else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": speech.finish_reason}


def _tool_json(position: int, call: ToolCall, entry: Entry) -> dict[str, Any]:
    head = {"id": call.id or f"call_{entry.number}_{position}", "type": call.kind, **call.extra}
    if call.kind == "custom":
        return {**head, "custom": {"name": call.name, "input": "".join(call.arguments)}}
    return {**head, "function": {"name": call.name, "arguments": "".join(call.arguments)}}


def _logprobs(tokens: list[str], body: dict[str, Any]) -> dict[str, Any]:
    content = []
    for token in tokens:
        one = {"token": token, "logprob": -0.25, "bytes": list(token.encode())}
        content.append({**one, "top_logprobs": [one] if body.get("top_logprobs") else []})
    return {"content": content, "refusal": None}


def _events(
    head: dict[str, Any], speeches: list[Speech], body: dict[str, Any], reply: Reply, *rest: Any
) -> Iterator[Event]:
    """rest: the usage object, the bill's entry."""
    usage, entry = rest
    options = body.get("stream_options") or {}
    frame, tally, sent = framer(reply), Tally(), 0
    head |= reply.extra
    told = {"usage": None} if options.get("include_usage") and not reply.omit_usage else {}
    steps = [list(_deltas(speech, reply, entry)) for speech in speeches]
    for rank in itertools.zip_longest(*steps):
        for index, step in enumerate(rank):
            if step is None:
                continue
            sent += 1
            tally.add(index, step.channel, step.text)
            choice = {
                "index": index,
                "delta": step.delta,
                "logprobs": None,
                "finish_reason": step.finish_reason,
            }
            if step.channel == "text" and body.get("logprobs"):
                choice["logprobs"] = _logprobs([step.text], body)
            padding = {"obfuscation": "x" * (-len(step.text) % OBFUSCATED)}
            chunk = {**head, "choices": [choice], **told, **padding}
            if options.get("include_obfuscation") is False:
                del chunk["obfuscation"]
            yield Event(frame(chunk), tally.total, sent)
    if told:
        sent += 1
        yield Event(frame({**head, "choices": [], "usage": usage}), usage["completion_tokens"], sent)
    yield Event(frame("[DONE]"), usage["completion_tokens"], sent)


def _deltas(speech: Speech, reply: Reply, entry: Entry) -> Iterator[Delta]:
    calls = [
        (position, call, _tool_json(position, call, entry)) for position, call in enumerate(speech.tool_calls)
    ]
    opening = {"role": "assistant", "content": None if calls and not speech.text else ""}
    opening |= {"refusal": None, **reply.message_extra}
    yield Delta(opening)
    for text in speech.reasoning:
        yield Delta({reply.reasoning_field: text}, "reasoning", text)
    for text in speech.refusal:
        yield Delta({"refusal": text}, "refusal", text)
    for text in speech.text:
        yield Delta({"content": text}, "text", text)
    for position, call in enumerate(speech.tool_calls):
        yield from _call_deltas(position, call, _tool_json(position, call, entry))
    yield Delta({}, finish_reason=speech.finish_reason)


def _call_deltas(position: int, call: ToolCall, shown: dict[str, Any]) -> Iterator[Delta]:
    part, text_key = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
    channel, opened = f"tool{position}", {"name": call.name, text_key: ""}
    if call.kind == "legacy":
        yield Delta({"function_call": opened}, channel, call.name)
    else:
        head = {"index": position, "id": shown["id"], "type": shown["type"], part: opened, **call.extra}
        yield Delta({"tool_calls": [head]}, channel, call.name)
    for text in pieces(call.arguments):
        piece = {text_key: text}
        legacy = {"function_call": piece}
        delta = legacy if call.kind == "legacy" else {"tool_calls": [{"index": position, part: piece}]}
        yield Delta(delta, channel, text)

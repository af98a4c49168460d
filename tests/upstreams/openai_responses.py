"""Answers of POST /v1/responses, whole and streamed.

Shapes: https://platform.openai.com/docs/api-reference/responses-streaming and the official SDK's types
(openai 3.52.0), 2026-11-28. Reasoning is scripted as in a chat: `reasoning` is the text of one summary, and
where it is empty but reasoning tokens are reported, the item has no summary.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.openai_chat import usage_json
from tests.upstreams.reply import Content, Reply, ToolCall
from tests.upstreams.samples import echo, pieces, prompt_tokens, sample
from tests.upstreams.speech import Limits, Speech, Tally, speak

Item = dict[str, Any]


def responses_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    speech = speak(reply, _unscripted(body), Limits(max_tokens=body.get("max_output_tokens")))
    usage = usage_json(reply, prompt_tokens(_messages(body)), [speech])
    told = None if reply.omit_usage else _usage(usage) | reply.usage_extra
    whole = _whole(body, reply, entry, (speech, told))
    if not body.get("stream"):
        data = json.dumps({**whole, **reply.extra}, ensure_ascii=False, indent=2).encode()
        return Answer([Event(data, usage["completion_tokens"])], prompt_tokens=usage["prompt_tokens"])
    events = list(_framed(_events(body, whole, speech), reply, usage["completion_tokens"]))
    return Answer(events, "text/event-stream; charset=utf-8", _frame(reply), usage["prompt_tokens"])


def _frame(reply: Reply) -> Any:
    """Writes one event as the API does: its name, then its JSON."""
    comment = f": {reply.comment}{reply.line_end * 2}" if reply.comment else ""

    def frame(value: Any) -> bytes:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        name = value.get("type", "error") if isinstance(value, dict) else "error"
        return f"{comment}event: {name}{reply.line_end}data: {text}{reply.line_end * 2}".encode()

    return frame


def _framed(events: Iterator[tuple[Item, str, str]], reply: Reply, answered: int) -> Iterator[Event]:
    """events: an event, and the channel and text that Tally counts."""
    frame, tally = _frame(reply), Tally()
    for number, (event, channel, text) in enumerate(events):
        tokens = tally.add(0, channel, text) if channel else tally.total
        if event["type"] in ("response.completed", "response.incomplete"):
            tokens = answered
        numbered = {"type": event["type"], "sequence_number": number, **event, **reply.extra}
        yield Event(frame(numbered), tokens, number + 1)


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The input as messages of a chat, which the counting rule is about."""
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    messages = [{"role": "system", "content": body.get("instructions") or ""}]
    for item in items:
        if "role" in item:
            messages.append({"role": item["role"], "content": _content(item["content"])})
        elif item.get("type") in ("function_call", "custom_tool_call"):
            messages.append({"role": "assistant", "content": item["name"]})
        elif "output" in item:
            messages.append({"role": "tool", "content": _content(item["output"])})
    return messages


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [
        {**part, "type": "text"} if part["type"] in ("input_text", "output_text") else part
        for part in content
    ]


def _unscripted(body: dict[str, Any]) -> Content:
    choice, tools = body.get("tool_choice"), body.get("tools") or []
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        names = [tool["name"] for tool in choice["tools"]]
        tools, choice = [tool for tool in tools if tool["name"] in names], choice["mode"]
    if choice == "required":
        return Content(tool_calls=[_made_call(tools[0])])
    if isinstance(choice, dict):
        return Content(tool_calls=[_made_call(next(t for t in tools if t["name"] == choice["name"]))])
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        return Content(json.dumps(sample(wanted["schema"])))
    text = echo(_messages(body))
    return Content(json.dumps({"answer": text}) if wanted.get("type") == "json_object" else text)


def _made_call(tool: dict[str, Any]) -> ToolCall:
    if tool["type"] == "custom":
        return ToolCall(tool["name"], "text", kind="custom")
    return ToolCall(tool["name"], json.dumps(sample(tool.get("parameters") or {})))


def _whole(
    body: dict[str, Any], reply: Reply, entry: Entry, said: tuple[Speech, dict[str, Any] | None]
) -> dict[str, Any]:
    """said: the speech, and the usage that is told."""
    speech, usage = said
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(speech.finish_reason)
    return {
        "id": reply.id or f"resp_{entry.number:048x}",
        "object": "response",
        "created_at": reply.created if reply.created is not None else int(time.time()),
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": reply.model or body.get("model"),
        "output": list(_output(body, speech, entry)),
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None} | (body.get("reasoning") or {}),
        "service_tier": reply.service_tier,
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}} | (body.get("text") or {}),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": usage,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _usage(chat: dict[str, Any]) -> dict[str, Any]:
    given, made = chat["prompt_tokens_details"], chat["completion_tokens_details"]
    cached = {
        "cache_write_tokens": given.get("cache_write_tokens", 0),
        "cached_tokens": given["cached_tokens"],
    }
    return {
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": cached,
        "output_tokens": chat["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": made["reasoning_tokens"]},
        "total_tokens": chat["total_tokens"],
    }


def _output(body: dict[str, Any], speech: Speech, entry: Entry) -> Iterator[Item]:
    if speech.reasoning:
        summary = [{"type": "summary_text", "text": "".join(speech.reasoning)}]
        item = {"id": f"rs_{0:048x}", "type": "reasoning", "summary": summary}
        hidden = "reasoning.encrypted_content" in (body.get("include") or [])
        yield item | ({"encrypted_content": "gAAAAB=="} if hidden else {})
    if speech.text or speech.refusal or not speech.tool_calls:
        content: list[Item] = []
        if speech.text or not speech.refusal:
            content.append(_text_part("".join(speech.text), _logprobs(body, speech.text, whole=True)))
        if speech.refusal:
            content.append({"type": "refusal", "refusal": "".join(speech.refusal)})
        head = {"id": f"msg_{1:048x}", "type": "message", "status": "completed"}
        yield head | {"content": content, "role": "assistant"}
    for position, call in enumerate(speech.tool_calls):
        custom = call.kind == "custom"
        item = {
            "id": f"{'ctc' if custom else 'fc'}_{position:048x}",
            "type": "custom_tool_call" if custom else "function_call",
            "status": "completed",
            "call_id": call.id or f"call_{entry.number}_{position}",
            "name": call.name,
        }
        yield item | {"input" if custom else "arguments": "".join(call.arguments)}


def _text_part(text: str, logprobs: list[Item]) -> Item:
    return {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": text}


def _logprobs(body: dict[str, Any], tokens: list[str], *, whole: bool) -> list[Item]:
    """Those of a delta have no bytes."""
    if "message.output_text.logprobs" not in (body.get("include") or []):
        return []
    found = []
    for token in tokens:
        one: Item = {"token": token, "logprob": -0.25} | ({"bytes": list(token.encode())} if whole else {})
        found.append({**one, "top_logprobs": [one] if body.get("top_logprobs") else []})
    return found


def _events(body: dict[str, Any], whole: dict[str, Any], speech: Speech) -> Iterator[tuple[Item, str, str]]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": {**begun, "service_tier": "auto"}}, "", ""
    yield {"type": "response.in_progress", "response": {**begun, "service_tier": "auto"}}, "", ""
    calls = iter(speech.tool_calls)
    for index, item in enumerate(whole["output"]):
        at = {"output_index": index}
        yield {"type": "response.output_item.added", **at, "item": _opened(item)}, "", ""
        at["item_id"] = item["id"]
        if item["type"] == "reasoning":
            yield from _thought(at, item, speech.reasoning)
        elif item["type"] == "message":
            yield from _said(body, at, item, speech)
        else:
            yield from _called(at, item, next(calls))
        yield {"type": "response.output_item.done", "output_index": index, "item": item}, "", ""
    yield {"type": f"response.{whole['status']}", "response": whole}, "", ""


def _opened(item: Item) -> Item:
    empty: Item = {"content": []} if item["type"] == "message" else {}
    for name, nothing in (("arguments", ""), ("input", ""), ("summary", []), ("encrypted_content", "gA==")):
        if name in item:
            empty[name] = nothing
    return {**item, **empty} | ({"status": "in_progress"} if "status" in item else {})


def _thought(at: Item, item: Item, texts: list[str]) -> Iterator[tuple[Item, str, str]]:
    kind, [part] = "response.reasoning_summary", item["summary"]
    at = {**at, "summary_index": 0}
    yield {"type": f"{kind}_part.added", **at, "part": {**part, "text": ""}}, "", ""
    for text in texts:
        yield {"type": f"{kind}_text.delta", **at, "delta": text}, "reasoning", text
    yield {"type": f"{kind}_text.done", **at, "text": part["text"]}, "", ""
    yield {"type": f"{kind}_part.done", **at, "part": part}, "", ""


def _said(body: dict[str, Any], at: Item, item: Item, speech: Speech) -> Iterator[tuple[Item, str, str]]:
    for index, part in enumerate(item["content"]):
        here = {**at, "content_index": index}
        key = "text" if part["type"] == "output_text" else "refusal"
        kind = "response.output_text" if key == "text" else "response.refusal"
        yield {"type": "response.content_part.added", **here, "part": {**part, key: ""}}, "", ""
        for text in speech.text if key == "text" else speech.refusal:
            more = {"logprobs": _logprobs(body, [text], whole=False)} if key == "text" else {}
            yield {"type": f"{kind}.delta", **here, "delta": text, **more}, key, text
        more = {"logprobs": part["logprobs"]} if key == "text" else {}
        yield {"type": f"{kind}.done", **here, key: part[key], **more}, "", ""
        yield {"type": "response.content_part.done", **here, "part": part}, "", ""


def _called(at: Item, item: Item, call: ToolCall) -> Iterator[tuple[Item, str, str]]:
    custom = item["type"] == "custom_tool_call"
    kind = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
    key, channel = "input" if custom else "arguments", item["id"]
    for position, text in enumerate(pieces(call.arguments)):
        counted = call.name + text if position == 0 else text
        yield {"type": f"{kind}.delta", **at, "delta": text}, channel, counted
    yield {"type": f"{kind}.done", **at, key: item[key], "name": item["name"]}, "", ""

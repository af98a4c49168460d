"""Conversations with calls of tools, as callers of OpenAI's path send them back."""

from typing import Any

from tests.service.running import Running
from tests.upstreams.server import Upstream

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
HI = {"role": "user", "content": "How is Oslo?"}
OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome"}'
CLAUDE = "anthropic:claude-sonnet-4-5"
BEDROCK = "bedrock:anthropic.claude-sonnet-4-5-20250929-v1:0"
SIGNED = {"google": {"thought_signature": "sig_A/+="}}


async def ask(serving: Running, stream: bool, **fields: Any) -> dict[str, Any]:
    """Message of the answer, as the official SDKs put a stream together."""
    posted = await serving.chat(stream=stream, **fields)
    if not stream:
        message: dict[str, Any] = posted.json["choices"][0]["message"]
        return message
    joined: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": []}
    for event in posted.events[:-1]:
        for choice in event["choices"]:
            _join(joined, choice["delta"])
    return joined if joined["tool_calls"] else {name: v for name, v in joined.items() if name != "tool_calls"}


def _join(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            for piece in value:
                if piece["index"] == len(message["tool_calls"]):
                    message["tool_calls"].append({"function": {"arguments": ""}})
                call = message["tool_calls"][piece["index"]]
                told = piece.get("function", {})
                call["function"]["arguments"] += told.get("arguments", "")
                call["function"] |= {"name": told["name"]} if "name" in told else {}
                call |= {key: v for key, v in piece.items() if key not in ("function", "index")}
        elif isinstance(value, str) and name != "role":
            message[name] = message.get(name, "") + value
        elif value is not None:
            message[name] = value


def results(message: dict[str, Any], *said: str) -> list[dict[str, Any]]:
    pairs = zip(message["tool_calls"], said or ["sunny"] * len(message["tool_calls"]), strict=True)
    return [{"role": "tool", "tool_call_id": call["id"], "content": text} for call, text in pairs]


def calling(*calls: tuple[str, str], **fields: Any) -> dict[str, Any]:
    """Answer of an earlier turn. calls: id and arguments of weather."""
    made = [
        {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}}
        for id, arguments in calls
    ]
    return {"role": "assistant", "content": None, "tool_calls": made, **fields}


def last_messages(upstream: Upstream) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = upstream.bill.calls[-1].body["messages"]
    return messages

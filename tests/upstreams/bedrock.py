"""A simulated Amazon Bedrock: runtime and control plane at one address.

Shapes and headers: the API reference (docs.aws.amazon.com/bedrock, read 2026-11-28) and botocore's models.
Signatures are checked; the events of a stream have real checksums and the padding `p` of the real ones.
As a process: python -m tests.upstreams.bedrock [--port N] [--chunks 200 --interval-ms 5]
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
import uvloop
from aiohttp import web

from tests.upstreams import aws_wire
from tests.upstreams.bedrock_models import check_model
from tests.upstreams.bedrock_rules import (
    check_converse,
    check_count,
    check_embedding,
    refusal,
    signature,
)
from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.reply import Content, Reply, ToolCall
from tests.upstreams.samples import IMAGE_TOKENS, count_tokens, sample, vector
from tests.upstreams.server import Refused, Upstream, arguments, default_reply, serve
from tests.upstreams.speech import Limits, Speech, Tally, speak

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-lite-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
BORN = "2025-09-29T00:00:00Z"
EVENT_TYPE = "application/vnd.amazon.eventstream"
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}


class BedrockUpstream(Upstream):
    """Takes any model id that is not in unknown_models; `models` is what its two lists show."""

    def __init__(
        self, *, region: str = "us-east-1", session_token: str | None = None, **options: Any
    ) -> None:
        """session_token: demanded of who signs; None: keys without one. options: see Upstream."""
        super().__init__(**options)
        self.region, self.session_token = region, session_token
        self.models: dict[str, dict[str, Any]] = {
            NOVA: {"outputModalities": ["TEXT"], "inputModalities": ["TEXT", "IMAGE"]},
            TITAN: {"outputModalities": ["EMBEDDING"], "inputModalities": ["TEXT"]},
            CLAUDE: {"profile": CLAUDE.removeprefix("us.")},
            "eu.amazon.nova-pro-v1:0": {"profile": "amazon.nova-pro-v1:0"},
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/model/{model:.+}/converse", self.endpoint(self.converse_answer, check_converse)),
            web.post(
                "/model/{model:.+}/converse-stream", self.endpoint(self.converse_answer, check_converse)
            ),
            web.post("/model/{model:.+}/count-tokens", self.endpoint(self._count, check_count)),
            web.post("/model/{model:.+}/invoke", self.endpoint(self._invoke)),
            web.get("/foundation-models", self.endpoint(self._foundation_models)),
            web.get("/inference-profiles", self.endpoint(self._profiles)),
        ]

    def headers(self, entry: Entry) -> dict[str, str]:
        return {"x-amzn-requestid": f"00000000-0000-4000-8000-{entry.number:012}"}

    def check(self, entry: Entry) -> None:
        aws_wire.check_caller(entry, self.region, self.session_token)
        if entry.method != "POST":
            return
        entry.model = unquote(entry.raw_path.split("/")[2])
        if not isinstance(entry.body, dict):
            raise Refused(aws_wire.error(400, "SerializationException", "Unexpected token"))
        if entry.model in self.unknown_models:
            raise Refused(model_not_found())
        if self.strict and "converse" in entry.path:
            check_model(entry.model, entry.body)

    def converse_answer(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        speech = speak(_content(reply), _unscripted(body), _limits(body))
        usage = _usage(body, reply, speech)
        asked = sum(usage[name] for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"))
        events = list(_events(speech, reply, entry, usage))
        if entry.path.endswith("converse-stream"):
            return Answer(events, EVENT_TYPE, _frame, asked)
        answer = {
            "metrics": {"latencyMs": 42},
            "output": {"message": {"content": _blocks(speech, entry), "role": "assistant"}},
            "stopReason": _reason(speech),
            "usage": usage,
            **_tier(body),
            **reply.extra,
        }
        if reply.omit_usage:
            del answer["usage"]
        return _whole(answer, asked, usage["outputTokens"])

    def _count(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        if "claude" not in str(entry.model) or str(entry.model).startswith("us."):
            raise refusal("The provided model doesn't support counting tokens.")
        return _whole({"inputTokens": _prompt_tokens(body["input"]["converse"])})

    def _invoke(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        model = str(entry.model)
        if self.strict:
            check_embedding(body, model)
        cohere = "cohere." in model
        texts = body["texts"] if cohere else [body["inputText"]]
        told = reply.usage.prompt_tokens
        tokens = sum(map(count_tokens, texts)) if told is None else told
        size = body.get("output_dimension" if cohere else "dimensions", 1024)
        vectors = [vector(text, size) for text in texts]
        if not cohere:
            answer: dict[str, Any] = {"embedding": vectors[0], "inputTextTokenCount": tokens}
        elif "embedding_types" in body:
            answer = {"embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}
        else:
            answer = {"embeddings": vectors, "response_type": "embeddings_floats"}
        if reply.omit_usage:
            answer.pop("inputTextTokenCount", None)
            return _whole(answer, tokens)
        whole = _whole({**answer, **reply.extra}, tokens)
        whole.headers["x-amzn-bedrock-input-token-count"] = str(tokens)
        return whole

    def _foundation_models(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        summaries = [_summary(name, told) for name, told in self.models.items() if "profile" not in told]
        behind = [told["profile"] for told in self.models.values() if "profile" in told]
        by_profile = {"inputModalities": ["TEXT", "IMAGE"], "outputModalities": ["TEXT"]}
        only = by_profile | {"inferenceTypesSupported": ["INFERENCE_PROFILE"]}
        return _whole({"modelSummaries": summaries + [_summary(name, only) for name in behind]})

    def _profiles(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        """One a page, whatever is asked for: pages may be shorter than maxResults."""
        asked = parse_qs(entry.raw_path.partition("?")[2])
        profiles = [(name, told["profile"]) for name, told in self.models.items() if "profile" in told]
        at = int(asked.get("nextToken", ["0:="])[0].partition(":")[0])
        shown = [_profile(name, model) for name, model in profiles[at : at + 1]]
        more = {"nextToken": f"{at + 1}:="} if at + 1 < len(profiles) else {}
        return _whole({"inferenceProfileSummaries": shown, **more})


def model_not_found() -> Reply:
    return aws_wire.error(400, "ValidationException", "The provided model identifier is invalid.")


def throttled() -> Reply:
    said = "Too many requests, please wait before trying again."
    return aws_wire.error(429, "ThrottlingException", said)


def _summary(name: str, told: dict[str, Any]) -> dict[str, Any]:
    summary = {
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{name}",
        "modelId": name,
        "modelLifecycle": {"startOfLifeTime": BORN, "status": "ACTIVE"},
        "modelName": name.partition(".")[2],
        "providerName": name.partition(".")[0].title(),
        "responseStreamingSupported": "TEXT" in told["outputModalities"],
    }
    return summary | told


def _profile(name: str, model: str) -> dict[str, Any]:
    arn = "arn:aws:bedrock:us-east-1:000000000000:inference-profile"
    return {
        "createdAt": "2025-10-01T12:00:00Z",
        "inferenceProfileArn": f"{arn}/{name}",
        "inferenceProfileId": name,
        "inferenceProfileName": f"Profile of {model}",
        "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}"}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _content(reply: Reply) -> Content:
    return reply.choices[0] if reply.choices else reply


def _unscripted(body: dict[str, Any]) -> Content:
    """Asked for a form, the model gives the simplest answer of it; otherwise it says the question again."""
    form = (body.get("outputConfig") or {}).get("textFormat")
    if form:
        return Content(json.dumps(sample(json.loads(form["structure"]["jsonSchema"]["schema"]))))
    config = body.get("toolConfig") or {}
    choice = config.get("toolChoice") or {}
    if "tool" in choice or "any" in choice:
        specs = [tool["toolSpec"] for tool in config["tools"]]
        named = (choice.get("tool") or {}).get("name", specs[0]["name"])
        schema = next(spec["inputSchema"]["json"] for spec in specs if spec["name"] == named)
        return Content(tool_calls=[ToolCall(named, json.dumps(sample(schema)))])
    said = [message for message in body["messages"] if message["role"] == "user"]
    return Content("You said: " + "".join(block.get("text", "") for block in said[-1]["content"]))


def _limits(body: dict[str, Any]) -> Limits:
    config = body.get("inferenceConfig") or {}
    return Limits(config.get("stopSequences") or (), config.get("maxTokens"))


def _prompt_tokens(body: dict[str, Any]) -> int:
    groups = [body.get("system") or [], *(message["content"] for message in body["messages"])]
    return sum(map(_tokens, groups))


def _tokens(blocks: list[dict[str, Any]]) -> int:
    attached = sum(1 for block in blocks if block.keys() & {"image", "document", "audio"})
    inner = sum(_tokens(block["toolResult"]["content"]) for block in blocks if "toolResult" in block)
    return count_tokens("".join(block.get("text", "") for block in blocks)) + attached * IMAGE_TOKENS + inner


def _usage(body: dict[str, Any], reply: Reply, speech: Speech) -> dict[str, Any]:
    told = reply.usage
    whole = _prompt_tokens(body) if told.prompt_tokens is None else told.prompt_tokens
    made = speech.tokens if told.completion_tokens is None else told.completion_tokens
    read, written = told.cached_tokens or 0, told.cache_write_tokens or 0
    ttl = "1h" if '"ttl": "1h"' in json.dumps(body) else "5m"
    return {
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
        "inputTokens": whole - read - written,
        "outputTokens": made,
        "totalTokens": whole + made,
        **({"cacheDetails": [{"inputTokens": written, "ttl": ttl}]} if written else {}),
        **reply.usage_extra,
    }


def _tier(body: dict[str, Any]) -> dict[str, Any]:
    return {"serviceTier": body["serviceTier"]} if "serviceTier" in body else {}


def _reason(speech: Speech) -> str:
    return STOP_REASONS.get(speech.finish_reason, speech.finish_reason)


def _blocks(speech: Speech, entry: Entry) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if speech.reasoning:
        thought = "".join(speech.reasoning)
        blocks.append(
            {"reasoningContent": {"reasoningText": {"signature": signature(thought), "text": thought}}}
        )
    if text := "".join(speech.text):
        blocks.append({"text": text})
    for index, call in enumerate(speech.tool_calls):
        use = {"input": msgspec.Raw("".join(call.arguments) or "{}"), "name": call.name}
        blocks.append({"toolUse": {**use, "toolUseId": _call_id(call, index, entry)}})
    return blocks


def _call_id(call: ToolCall, index: int, entry: Entry) -> str:
    return call.id or f"tooluse_{entry.number}_{index}"


def _events(speech: Speech, reply: Reply, entry: Entry, usage: dict[str, Any]) -> Iterator[Event]:
    tally, sent = Tally(), 0
    for kind, payload, channel, text in _steps(speech, entry):
        sent += 1
        yield Event(_frame({kind: payload}), tally.add(0, channel, text), sent)
    metadata = {"metrics": {"latencyMs": 42}, "usage": usage, **_tier(entry.body), **reply.extra}
    if reply.omit_usage:
        del metadata["usage"]
    yield Event(_frame({"metadata": metadata}), usage["outputTokens"], sent + 1)


def _steps(speech: Speech, entry: Entry) -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Kind and payload of each event, and what it adds to which channel."""
    block = 0
    yield "messageStart", {"role": "assistant"}, "", ""
    if speech.reasoning:
        for text in speech.reasoning:
            yield "contentBlockDelta", _delta(block, {"reasoningContent": {"text": text}}), "reasoning", text
        signed = {"reasoningContent": {"signature": signature("".join(speech.reasoning))}}
        yield "contentBlockDelta", _delta(block, signed), "", ""
        yield "contentBlockStop", {"contentBlockIndex": block}, "", ""
        block += 1
    if any(speech.text):
        for text in speech.text:
            yield "contentBlockDelta", _delta(block, {"text": text}), "text", text
        yield "contentBlockStop", {"contentBlockIndex": block}, "", ""
        block += 1
    for index, call in enumerate(speech.tool_calls):
        use = {"name": call.name, "toolUseId": _call_id(call, index, entry)}
        start = {"contentBlockIndex": block, "start": {"toolUse": use}}
        yield "contentBlockStart", start, f"tool{index}", call.name
        given = [call.arguments] if isinstance(call.arguments, str) else call.arguments
        for text in given if given != ["{}"] else []:  # without arguments nothing comes
            yield "contentBlockDelta", _delta(block, {"toolUse": {"input": text}}), f"tool{index}", text
        yield "contentBlockStop", {"contentBlockIndex": block}, "", ""
        block += 1
    yield "messageStop", {"stopReason": _reason(speech)}, "", ""


def _delta(block: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"contentBlockIndex": block, "delta": delta}


def _frame(value: Any) -> bytes:
    """{"<event>": payload}, or {"<name>Exception": {"message": ...}}."""
    [(kind, payload)] = value.items()
    if kind.endswith("Exception"):
        return aws_wire.exception(kind, payload)
    return aws_wire.event(kind, {**payload, "p": "abcdefghijk"})


def _whole(value: dict[str, Any], prompt: int = 0, completion: int = 0) -> Answer:
    return Answer([Event(msgspec.json.encode(value), completion)], prompt_tokens=prompt)


def main() -> None:
    parser = arguments("bedrock")
    parser.add_argument("--region", default="us-east-1", help="that signatures must name")
    options = parser.parse_args()
    reply = default_reply(options)
    upstream = BedrockUpstream(
        region=options.region, strict=not options.lenient, port=options.port, default=reply
    )
    uvloop.run(serve(upstream))


if __name__ == "__main__":
    main()

"""Response encoding into OpenAI's JSON: completion objects and the parts that frames share.

Shapes: spec of OpenAI's API reference, 2026-11-21. Beside OpenAI's fields stand request_id, execution_id
and usage.cost_usd, which its SDKs pass through.
"""

import base64
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from genai_spine.inference.choices import summed
from genai_spine.providers import reasoning_state
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2
from genai_spine.v1.option_warning_pb2 import OptionWarning

FINISH_REASONS = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
}
PROVENANCES = {value: name.removeprefix("PROVENANCE_") for name, value in usage_pb2.Provenance.items()}
DONE = b"data: [DONE]\n\n"
# One newline: openai-python takes a comment and a blank line for an event once an event had an id.
PING = b": ping\n"

encode = msgspec.json.encode


def answer_id(own: str, prefix: str) -> str:
    """Id with OpenAI's prefix; a provider's own id stays."""
    return prefix + own.removeprefix("comp_")


def finish(reason: pb.FinishReason, *, before_tools: bool = False) -> str:
    """Finish reason in OpenAI's words. before_tools: `function_call` in the place of `tool_calls`."""
    if before_tools and reason == pb.FINISH_REASON_TOOL_CALLS:
        return "function_call"
    return FINISH_REASONS.get(reason, "stop")


def chat(completion: pb.Completion, *, before_tools: bool, choices: bytes | None = None) -> bytes:
    """Chat completion as JSON; before_tools as in chat_object(). choices: JSON that is there already."""
    listed = Raw(choices) if choices is not None else _choices(completion, before_tools=before_tools)
    return encode(_chat(completion, listed))


def chat_object(completion: pb.Completion, *, before_tools: bool) -> dict[str, Any]:
    """Chat completion object.

    before_tools: the caller declared `functions`, so calls go back as `function_call`.
    """
    return _chat(completion, _choices(completion, before_tools=before_tools))


def _choices(completion: pb.Completion, *, before_tools: bool) -> list[dict[str, Any]]:
    return [
        {
            "index": choice.index,
            "message": _message(choice.message, before_tools),
            "logprobs": logprobs(choice.logprobs) if choice.HasField("logprobs") else None,
            "finish_reason": finish(choice.finish_reason, before_tools=before_tools),
        }
        for choice in completion.choices[:]
    ]


def _chat(completion: pb.Completion, choices: object) -> dict[str, Any]:
    return {
        "id": answer_id(completion.id, "chatcmpl-"),
        "object": "chat.completion",
        "created": completion.create_time.seconds,
        "model": completion.model,
        "choices": choices,
        "usage": usage(completion.usage, completion.cost),
        **_provenance(completion),
    }


def text(completions: Sequence[pb.Completion], prefixes: Sequence[str]) -> bytes:
    """Text completion object of all prompts.

    prefixes: texts that `echo` puts before each prompt's answers.
    """
    first = completions[0]
    choices: list[dict[str, Any]] = []
    for prefix, completion in zip(prefixes, completions, strict=True):
        for choice in completion.choices:
            choices.append(
                {
                    "text": prefix + text_of(choice.message),
                    "index": len(choices),
                    "logprobs": text_logprobs(choice.logprobs) if choice.HasField("logprobs") else None,
                    "finish_reason": finish(choice.finish_reason),
                }
            )
    total, cost = summed(completions)
    return encode(
        {
            "id": answer_id(first.id, "cmpl-"),
            "object": "text_completion",
            "created": first.create_time.seconds,
            "model": first.model,
            "choices": choices,
            "usage": usage(total, cost),
            **_provenance(first),
        }
    )


def native(completion: pb.Completion) -> bytes:
    """Completion in the older service's own shape."""
    message = completion.choices[0].message
    counts = completion.usage
    return encode(
        {
            "id": completion.id,
            "content": text_of(message),
            "model": completion.model,
            "provider": completion.provider,
            "usage": {
                "input_tokens": counts.input_tokens,
                "output_tokens": counts.output_tokens,
                "total_tokens": counts.total_tokens,
            },
            "cost_usd": completion.cost.cost_usd,
            "latency_ms": completion.latency_ms,
            "request_id": completion.request_id,
            "execution_id": completion.execution_id,
            **warnings(completion.warnings),
        }
    )


def embeddings(
    response: pb.CreateEmbeddingsResponse, *, as_base64: bool, vectors: bytes | None = None
) -> bytes:
    """Embedding list, as floats or base64 of float32. vectors: its entries, as JSON that is there already."""
    data: object = Raw(b"[%b]" % vectors) if vectors is not None else _vectors(response, as_base64=as_base64)
    counts = {"prompt_tokens": response.usage.input_tokens, "total_tokens": response.usage.total_tokens}
    return encode(
        {
            "object": "list",
            "data": data,
            "model": response.model,
            "usage": counts,
            "request_id": response.request_id,
            "execution_id": response.execution_id,
            "cost_usd": response.cost.cost_usd,
        }
    )


def _vectors(response: pb.CreateEmbeddingsResponse, *, as_base64: bool) -> list[dict[str, Any]]:
    return [
        {
            "object": "embedding",
            "index": entry.index,
            "embedding": _float32_le(entry.values) if as_base64 else _nine_digits(entry.values),
        }
        for entry in response.embeddings
    ]


def usage(counts: usage_pb2.Usage, cost: usage_pb2.Cost) -> dict[str, Any]:
    """Usage: prompt_tokens include cached ones, completion_tokens include reasoning, as OpenAI counts."""
    return {
        "prompt_tokens": counts.input_tokens,
        "completion_tokens": counts.output_tokens,
        "total_tokens": counts.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": counts.cache_read_tokens,
            "audio_tokens": counts.audio_input_tokens,
            "cache_write_tokens": counts.cache_write_5m_tokens + counts.cache_write_1h_tokens,
            "text_tokens": counts.uncached_input_tokens + counts.cache_read_tokens,
            "image_tokens": counts.image_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning_tokens,
            "audio_tokens": counts.audio_output_tokens,
            "accepted_prediction_tokens": counts.accepted_prediction_tokens,
            "rejected_prediction_tokens": counts.rejected_prediction_tokens,
        },
        "cost_usd": cost.cost_usd,
        "price_known": cost.price_known,
        "provenance": PROVENANCES[counts.output_provenance],
    }


def text_of(message: message_pb2.Message) -> str:
    """Text of a message."""
    return "".join([part.text for part in message.content])


def _message(message: message_pb2.Message, before_tools: bool) -> dict[str, Any]:
    parts = message.content[:]
    refusal = "".join([part.refusal for part in parts]) or None
    words = "".join([part.text for part in parts])
    body: dict[str, Any] = {
        "role": "assistant",
        "content": None if not words and (message.tool_calls or refusal) else words,
        "refusal": refusal,
        "annotations": Raw(message.annotations_json.encode()) if message.HasField("annotations_json") else [],
    }
    if message.HasField("reasoning"):
        body["reasoning_content"] = message.reasoning
    if message.reasoning_state_json:
        body |= state(message.reasoning_state_json)
    if message.tool_calls and before_tools:
        called = message.tool_calls[0].function
        body["function_call"] = {"name": called.name, "arguments": called.arguments_json}
    elif message.tool_calls:
        body["tool_calls"] = [tool_call(call) for call in message.tool_calls]
    return body


def state(state_json: str) -> dict[str, Any]:
    """Reasoning state that the provider wants back: reasoning_details, and Gemini's extra_content."""
    details, extra = reasoning_state.details(state_json), reasoning_state.extra_content(state_json)
    shown: dict[str, Any] = {"reasoning_details": details} if details else {}
    return shown | ({"extra_content": extra} if extra is not None else {})


def tool_call(call: message_pb2.ToolCall) -> dict[str, Any]:
    """Tool call of a message."""
    own = call.provider_state_json
    more = {"extra_content": Raw(own.encode())} if own else {}
    if call.HasField("custom"):
        custom = {"name": call.custom.name, "input": call.custom.input}
        return {"id": call.id, "type": "custom", "custom": custom} | more
    function = {"name": call.function.name, "arguments": call.function.arguments_json}
    return {"id": call.id, "type": "function", "function": function} | more


def logprobs(given: pb.Logprobs) -> dict[str, Any]:
    """Log probabilities of a chat choice."""
    return {
        "content": [_token(token) for token in given.content],
        "refusal": [_token(token) for token in given.refusal] or None,
    }


def text_logprobs(given: pb.Logprobs) -> dict[str, Any]:
    """Log probabilities of a text choice, in the older parallel lists."""
    return {
        "tokens": [token.token for token in given.content],
        "token_logprobs": [token.logprob for token in given.content],
        "top_logprobs": [
            {other.token: other.logprob for other in token.top_logprobs} for token in given.content
        ],
        "text_offset": [],
    }


def _token(token: pb.TokenLogprob) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": list(token.token_bytes) if token.HasField("token_bytes") else None,
        "top_logprobs": [
            {name: value for name, value in _token(other).items() if name != "top_logprobs"}
            for other in token.top_logprobs
        ],
    }


def _provenance(completion: pb.Completion) -> dict[str, Any]:
    """Fields of ours beside OpenAI's: ids and warnings."""
    found = {
        "system_fingerprint": completion.system_fingerprint or None,
        "service_tier": completion.service_tier or None,
        "provider": completion.provider,
        "request_id": completion.request_id,
        "execution_id": completion.execution_id,
    }
    return found | warnings(completion.warnings) if completion.warnings else found


def warnings(found: Iterable[OptionWarning]) -> dict[str, Any]:
    """Field `warnings` of an answer: options that were dropped or mapped; no field without any."""
    listed = [
        {
            "option": warning.option,
            "action": OptionWarning.Action.Name(warning.action).removeprefix("ACTION_").lower(),
            "value_used": warning.value_used if warning.HasField("value_used") else None,
            "reason": warning.reason,
        }
        for warning in found
    ]
    return {"warnings": listed} if listed else {}


def _float32_le(values: Sequence[float]) -> str:
    """Little-endian float32 bytes."""
    vector = array("f", values)
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


def _nine_digits(values: Sequence[float]) -> Raw | list[float]:
    """float32 values in as many digits as lead back to each of them: half of what a double takes.

    All are written by one format, a third of the time that numbers take which are rounded and encoded.
    """
    text = f"[{'%.9g,' * len(values)}".rstrip(",") % tuple(values) + "]"
    if "n" in text:  # nan and inf, which JSON does not have
        return [float(f"{value:.9g}") for value in values]
    return Raw(text.encode())

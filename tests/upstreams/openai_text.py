"""Answers of POST /v1/completions and POST /v1/embeddings.

Shapes: https://platform.openai.com/docs/api-reference/completions and .../embeddings (2026-11-21).
"""

import base64
import itertools
import json
import struct
from collections.abc import Iterator
from typing import Any

from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.openai_chat import framer, head_json, usage_json, whole_answer
from tests.upstreams.reply import Content, Reply
from tests.upstreams.samples import count_tokens, vector
from tests.upstreams.speech import Limits, Speech, Tally, speak

DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536
DEFAULT_MAX_TOKENS = 16  # of the real API; its answers are short unless told otherwise


def completion_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    prompts = listed(body.get("prompt"))
    asked = [prompt for prompt in prompts for _ in range(body.get("n") or 1)]
    contents = itertools.cycle(reply.choices or [reply])
    speeches = [_speech(body, prompt, content) for prompt, content in zip(asked, contents, strict=False)]
    usage = usage_json(reply, sum(tokens_of(prompt) for prompt in prompts), speeches)
    head = head_json("text_completion", "cmpl", body, reply, entry)
    if body.get("stream"):
        events = list(_events(head, speeches, body, reply, usage))
        return Answer(events, "text/event-stream; charset=utf-8", framer(reply), usage["prompt_tokens"])
    choices = [_choice(index, speech, body) for index, speech in enumerate(speeches)]
    whole = {**head, "choices": choices, **({} if reply.omit_usage else {"usage": usage})}
    return whole_answer(whole, usage, reply)


def _speech(body: dict[str, Any], prompt: Any, content: Content) -> Speech:
    stop = body.get("stop") or []
    max_tokens = DEFAULT_MAX_TOKENS if body.get("max_tokens") is None else body["max_tokens"]
    limits = Limits([stop] if isinstance(stop, str) else stop, max_tokens)
    speech = speak(content, Content(f"You said: {shown(prompt)}"), limits)
    if body.get("echo"):
        speech.text.insert(0, shown(prompt))
    return speech


def _choice(index: int, speech: Speech, body: dict[str, Any]) -> dict[str, Any]:
    logprobs = None if body.get("logprobs") is None else _logprobs(speech.text)
    text = "".join(speech.text)
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": speech.finish_reason}


def _logprobs(tokens: list[str]) -> dict[str, Any]:
    starts = itertools.accumulate((len(token) for token in tokens), initial=0)
    return {
        "tokens": tokens,
        "token_logprobs": [-0.25] * len(tokens),
        "top_logprobs": [{token: -0.25} for token in tokens],
        "text_offset": list(starts)[: len(tokens)],
    }


def _events(
    head: dict[str, Any], speeches: list[Speech], body: dict[str, Any], reply: Reply, usage: dict[str, Any]
) -> Iterator[Event]:
    frame, tally, sent = framer(reply), Tally(), 0
    include = (body.get("stream_options") or {}).get("include_usage") and not reply.omit_usage
    told = {"usage": None} if include else {}
    steps = [[*((text, None) for text in speech.text), ("", speech.finish_reason)] for speech in speeches]
    for rank in itertools.zip_longest(*steps):
        for index, step in enumerate(rank):
            if step is None:
                continue
            sent += 1
            tally.add(index, "text", step[0])
            choice = {"text": step[0], "index": index, "logprobs": None, "finish_reason": step[1]}
            yield Event(frame({**head, "choices": [choice], **told, **reply.extra}), tally.total, sent)
    if include:
        sent += 1
        yield Event(frame({**head, "choices": [], "usage": usage}), usage["completion_tokens"], sent)
    yield Event(frame("[DONE]"), usage["completion_tokens"], sent)


def listed(value: Any) -> list[Any]:
    """The inputs of a request: a string, strings, a list of token ids, or lists of token ids."""
    if isinstance(value, list) and not (value and isinstance(value[0], int)):
        return value
    return [value]


def tokens_of(value: Any) -> int:
    return len(value) if isinstance(value, list) else count_tokens(value or "")


def shown(value: Any) -> str:
    return " ".join(str(token) for token in value) if isinstance(value, list) else value or ""


def embedding_answer(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    inputs = listed(body["input"])
    size = body.get("dimensions") or DIMENSIONS.get(body["model"], DEFAULT_DIMENSIONS)
    data = []
    for index, item in enumerate(inputs):
        values: Any = vector(shown(item), size)
        if body.get("encoding_format") == "base64":
            values = base64.b64encode(struct.pack(f"<{size}f", *values)).decode()
        data.append({"object": "embedding", "index": index, "embedding": values})
    told = reply.usage.prompt_tokens
    tokens = sum(tokens_of(item) for item in inputs) if told is None else told
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    whole = {"object": "list", "data": data, "model": reply.model or body["model"], **reply.extra}
    if not reply.omit_usage:
        whole["usage"] = usage
    return Answer([Event(json.dumps(whole).encode())], prompt_tokens=tokens)

"""A simulated Ollama server with its native API.

Fields, their order and what is left out when zero: github.com/ollama/ollama api/types.go, docs/api.md
(read 2026-11-21) and docs.ollama.com/openapi.yaml (2026-11-28); prompt_eval_cached_count since its version
of 2026 and only when scripted.
As a process: python -m tests.upstreams.ollama [--port N] [--chunks 200 --interval-ms 5]
"""

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import uvloop
from aiohttp import web

from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.ollama_rules import (
    check_chat,
    check_embed,
    check_generate,
    check_pull,
    model_not_found,
    refusal,
)
from tests.upstreams.reply import Content, Reply, ToolCall
from tests.upstreams.samples import count_tokens, echo, prompt_tokens, sample, vector
from tests.upstreams.server import Refused, Upstream, arguments, default_reply, serve
from tests.upstreams.speech import Limits, Speech, Tally, speak

VERSION = "0.40.0"
DIMENSIONS = 768
DEFAULT_CONTEXT = 4096
TRAINED = 131072
TOO_LONG = "the input length exceeds the context length"
PER_CUT = 8  # tokens that a cut message takes besides its text
LAYER = 5_000_000_000  # bytes of the part that is pulled
PULL_PARTS = 4  # steps in which it comes
MODIFIED = "2026-10-01T12:00:00.123456789Z"
JSON_TYPE = "application/json; charset=utf-8"
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
}


class OllamaUpstream(Upstream):
    """Takes any model name that is not in unknown_models.

    `models` is what /api/tags shows, each with its capabilities, which are enforced; a model that is not
    listed there can do everything. A model is loaded with the num_ctx of the request, else that of its
    Modelfile (`contexts`), else `default_context`, and at most TRAINED; what is longer is cut silently, or
    refused where the request says `truncate: false`.
    """

    def __init__(self, **options: Any) -> None:
        """options: see Upstream."""
        super().__init__(**options)
        self.models = {
            "llama3.2:latest": ["completion", "tools"],
            "qwen3:8b": ["completion", "tools", "thinking"],
            "llava:7b": ["completion", "vision"],
            "nomic-embed-text:latest": ["embedding"],
        }

        self.contexts: dict[str, int] = {}  # num_ctx of Modelfiles
        self.default_context = DEFAULT_CONTEXT
        self.loaded: dict[str, int] = {}  # to the context that it was loaded with
        self.pulled: set[str] = set()  # since the start; they go with reset()

    def reset(self) -> None:
        super().reset()
        for name in self.pulled:
            self.models.pop(name, None)
        self.pulled.clear()
        self.contexts.clear()
        self.loaded.clear()
        self.default_context = DEFAULT_CONTEXT

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/chat", self.endpoint(self.chat_answer, check_chat)),
            web.post("/api/generate", self.endpoint(self._generate, check_generate)),
            web.post("/api/embed", self.endpoint(self._embed, check_embed)),
            web.post("/api/show", self.endpoint(self._show)),
            web.post("/api/pull", self.endpoint(self._pull, check_pull)),
            web.get("/api/ps", self.endpoint(self._ps)),
            web.get("/api/tags", self.endpoint(self._tags)),
            web.get("/api/version", self.endpoint(lambda *_: _whole({"version": VERSION}))),
            web.get("/", self.endpoint(lambda *_: Answer([Event(b"Ollama is running")], "text/plain"))),
        ]

    def check(self, entry: Entry) -> None:
        if entry.method != "POST":
            return
        if not isinstance(entry.body, dict):
            problem = "invalid character in the request body" if entry.raw else "missing request body"
            raise refusal(400, problem)
        if not entry.model:
            raise refusal(400, "model is required")
        if entry.model in self.unknown_models and entry.path != "/api/pull":
            raise Refused(model_not_found(entry.model))

    def _can(self, name: str, capability: str) -> bool:
        tagged = name if ":" in name else f"{name}:latest"
        return tagged not in self.models or capability in self.models[tagged]

    def _check_capabilities(self, body: dict[str, Any], does: str) -> None:
        name = body["model"]
        if not self._can(name, "completion"):
            raise refusal(400, f'"{name}" does not support {does}')
        if body.get("tools") and not self._can(name, "tools"):
            raise refusal(400, f"registry.ollama.ai/library/{name} does not support tools")
        if body.get("think") and not self._can(name, "thinking"):
            raise refusal(400, f'"{name}" does not support thinking')

    def chat_answer(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        self._check_capabilities(body, "chat")
        messages = body.get("messages") or []
        if not messages:
            return _whole({**_head(body), "message": {"role": "assistant", "content": ""}, **_loaded(body)})
        messages = self._fitted(body, messages)
        speech = speak(_thinking(body, reply), _unscripted(body, messages), _limits(body))
        return _spoken(body, reply, entry, (speech, prompt_tokens(messages)))

    def _fitted(self, body: dict[str, Any], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Messages that the context takes: the oldest go, instructions and the last one stay, cut at its
        beginning (server/prompt.go and the runner, 2026-11-29).
        """
        context = self._load(body)
        if prompt_tokens(messages) <= context:
            return messages
        if body.get("truncate") is False:
            raise refusal(400, TOO_LONG)
        kept = [message for message in messages[:-1] if message.get("role") == "system"]
        last = messages[-1]
        room = max(1, context - prompt_tokens(kept) - PER_CUT)
        return [*kept, {**last, "content": (last.get("content") or "")[-room:]}]

    def _load(self, body: dict[str, Any]) -> int:
        name = body["model"] if ":" in body["model"] else f"{body['model']}:latest"
        asked = (body.get("options") or {}).get("num_ctx")
        context = min(int(asked or self.contexts.get(name) or self.default_context), TRAINED)
        self.loaded[name] = context
        return context

    def _ps(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        running = [_tag(name) | {"context_length": context} for name, context in self.loaded.items()]
        return _whole({"models": running})

    def _generate(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        self._check_capabilities(body, "generate")
        prompt = {"role": "user", "content": body.get("prompt") or "", "images": body.get("images")}
        if not prompt["content"]:
            return _whole({**_head(body), "response": "", **_loaded(body)})
        speech = speak(_thinking(body, reply), _unscripted(body, [prompt]), _limits(body))
        asked = prompt_tokens([prompt, {"content": body.get("system") or ""}])
        return _spoken(body, reply, entry, (speech, asked))

    def _embed(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        given = body.get("input")
        inputs = ([given] if given else []) if isinstance(given, str) else given or []
        context = self._load(body)
        if any(count_tokens(text) > context for text in inputs):
            if body.get("truncate") is False:
                raise refusal(400, TOO_LONG)
            inputs = [text[:context] for text in inputs]
        size = min(body.get("dimensions") or DIMENSIONS, DIMENSIONS)
        told = reply.usage.prompt_tokens
        tokens = sum(count_tokens(text) for text in inputs) if told is None else told
        whole: dict[str, Any] = {
            "model": body["model"],
            "embeddings": [vector(text, size) for text in inputs],
        }
        if inputs:
            whole |= {"total_duration": 14_143_917, "load_duration": 1_019_500}
        if tokens and not reply.omit_usage:
            whole["prompt_eval_count"] = tokens
        return _whole({**whole, **reply.extra}, prompt=tokens)

    def _tags(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        return _whole({"models": [_tag(name) for name in self.models]})

    def _pull(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        """reply.extra["steps"]: the lines to send in place of the usual ones."""
        name = body["model"]
        layer = hashlib.sha256(name.encode()).hexdigest()
        at = {"status": f"pulling {layer[:12]}", "digest": f"sha256:{layer}", "total": LAYER}
        usual: list[dict[str, Any]] = [{"status": "pulling manifest"}, at]
        usual += [at | {"completed": LAYER * part // PULL_PARTS} for part in range(1, PULL_PARTS + 1)]
        usual += [{"status": "verifying sha256 digest"}, {"status": "writing manifest"}]
        if name in self.unknown_models:
            usual = [usual[0], {"error": "pull model manifest: file does not exist"}]
        else:
            usual.append({"status": "success"})
            tagged = name if ":" in name else f"{name}:latest"
            if tagged not in self.models:
                self.models[tagged] = ["completion"]
                self.pulled.add(tagged)
        steps = reply.extra.get("steps", usual)
        if body.get("stream") is False:
            return _whole(steps[-1])
        events = [Event(_line(step), 0, number) for number, step in enumerate(steps, 1)]
        return Answer(events, "application/x-ndjson", _line)

    def _show(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        name = body["model"]
        tagged = name if ":" in name else f"{name}:latest"
        if tagged not in self.models:
            raise Refused(model_not_found(name))
        info = {"general.architecture": "llama", "llama.context_length": TRAINED}
        own = self.contexts.get(tagged)
        parameters = (
            f'num_ctx                        {own}\nstop                           "</s>"' if own else ""
        )
        shown: dict[str, Any] = {"license": "", "modelfile": f"FROM {tagged}", "parameters": parameters}
        shown |= {"template": "{{ .Prompt }}", "details": DETAILS, "model_info": info}
        return _whole(shown | {"capabilities": self.models[tagged], "modified_at": MODIFIED})


def _tag(name: str) -> dict[str, Any]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    head = {"name": name, "model": name, "modified_at": MODIFIED, "size": 2019393189}
    return {**head, "digest": digest, "details": DETAILS}


def _limits(body: dict[str, Any]) -> Limits:
    options = body.get("options") or {}
    predict = options.get("num_predict")
    return Limits(options.get("stop") or (), None if predict is None or predict < 0 else int(predict))


def _thinking(body: dict[str, Any], reply: Reply) -> Content:
    """think: false silences scripted reasoning."""
    content = reply.choices[0] if reply.choices else reply
    if body.get("think") is not False:
        return content
    return Content(content.text, content.tool_calls, "", content.refusal, content.finish_reason)


def _unscripted(body: dict[str, Any], messages: list[dict[str, Any]]) -> Content:
    if isinstance(body.get("format"), dict):
        return Content(json.dumps(sample(body["format"])))
    text = echo(messages)
    return Content(json.dumps({"answer": text}) if body.get("format") == "json" else text)


def _spoken(body: dict[str, Any], reply: Reply, entry: Entry, said: tuple[Speech, int]) -> Answer:
    """said: the speech, and the counted tokens of the prompt."""
    speech, counted = said
    asked = counted if reply.usage.prompt_tokens is None else reply.usage.prompt_tokens
    answered = speech.tokens if reply.usage.completion_tokens is None else reply.usage.completion_tokens
    final = _final(speech, reply, asked, answered)
    if body.get("stream") is False:
        message = _part(body, "".join(speech.text), "".join(speech.reasoning), _calls(speech, entry))
        logprobs = _logprobs(body, speech.text)
        return _whole({**_head(body), **message, **final, **logprobs}, asked, answered)
    events = list(_events(body, reply, entry, (speech, {**final, **_context(body)}, answered)))
    return Answer(events, "application/x-ndjson", _line, asked)


def _events(
    body: dict[str, Any], reply: Reply, entry: Entry, said: tuple[Speech, dict[str, Any], int]
) -> Iterator[Event]:
    """said: the speech, the fields of the last line, the tokens reported in it."""
    speech, final, answered = said
    tally, steps = Tally(), []
    steps += [("reasoning", text, _part(body, "", text)) for text in speech.reasoning]
    steps += [("text", text, _part(body, text)) for text in speech.text]
    for call, shown in zip(speech.tool_calls, _calls(speech, entry), strict=True):
        steps.append(
            (f"tool{shown['id']}", call.name + "".join(call.arguments), _part(body, "", "", [shown]))
        )
    for sent, (channel, text, part) in enumerate(steps, 1):
        logprobs = _logprobs(body, [text]) if channel == "text" else {}
        line = {**_head(body), **part, "done": False, **logprobs, **reply.extra}
        yield Event(_line(line), tally.add(0, channel, text), sent)
    last = {**_head(body), **_part(body, ""), **final, **reply.extra}
    yield Event(_line(last), answered, len(steps) + 1)


def _head(body: dict[str, Any]) -> dict[str, Any]:
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    # Go leaves out the zeros at the end of the fraction.
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return {"model": body["model"], "created_at": f"{stamp}{fraction}Z"}


def _part(
    body: dict[str, Any], text: str, thinking: str = "", calls: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The model's words: in `message` for a chat, in `response` for a prompt."""
    thought = {"thinking": thinking} if thinking else {}
    called = {"tool_calls": calls} if calls else {}
    if "messages" in body:
        return {"message": {"role": "assistant", "content": text, **thought, **called}}
    return {"response": text, **thought, **called}


def _logprobs(body: dict[str, Any], tokens: list[str]) -> dict[str, Any]:
    if not body.get("logprobs"):
        return {}
    ones = [{"token": token, "logprob": -0.25, "bytes": list(token.encode())} for token in tokens]
    return {"logprobs": [one | ({"top_logprobs": [one]} if body.get("top_logprobs") else {}) for one in ones]}


def _calls(speech: Speech, entry: Entry) -> list[dict[str, Any]]:
    return [_call(index, call, entry) for index, call in enumerate(speech.tool_calls)]


def _call(index: int, call: ToolCall, entry: Entry) -> dict[str, Any]:
    function = {"index": index, "name": call.name, "arguments": json.loads("".join(call.arguments))}
    return {"id": call.id or f"call_{entry.number}_{index}", "function": function}


def _final(speech: Speech, reply: Reply, asked: int, answered: int) -> dict[str, Any]:
    reason = "stop" if speech.finish_reason == "tool_calls" else speech.finish_reason
    final: dict[str, Any] = {"done": True, "done_reason": reason}
    final |= {"total_duration": 487_912_345, "load_duration": 41_234_567}
    counts: dict[str, int | None] = {
        "prompt_eval_count": asked or None,
        "prompt_eval_cached_count": reply.usage.cached_tokens,
        "prompt_eval_duration": 28_901_234,
        "eval_count": answered or None,
        "eval_duration": 401_234_567,
    }
    if reply.omit_usage:
        return final
    return final | {name: value for name, value in counts.items() if value is not None}


def _context(body: dict[str, Any]) -> dict[str, Any]:
    return {} if "messages" in body or body.get("raw") else {"context": [1, 2, 3]}


def _loaded(body: dict[str, Any]) -> dict[str, Any]:
    """A request without a prompt only loads the model, or unloads it."""
    return {"done": True, "done_reason": "unload" if body.get("keep_alive") == 0 else "load"}


def _dump(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Go escapes these in JSON strings.
    for character, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escaped)
    return text.encode()


def _line(value: Any) -> bytes:
    return _dump(value) + b"\n"


def _whole(value: dict[str, Any], prompt: int = 0, completion: int = 0) -> Answer:
    return Answer([Event(_dump(value), completion)], JSON_TYPE, prompt_tokens=prompt)


def main() -> None:
    options = arguments("ollama").parse_args()
    upstream = OllamaUpstream(strict=not options.lenient, port=options.port, default=default_reply(options))
    uvloop.run(serve(upstream))


if __name__ == "__main__":
    main()

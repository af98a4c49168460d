"""Public reports of odd answers, each as a case: what the upstream sends, and what a caller is to get.

Answers are read as the official SDK reads them: strictly, and a stream put together by its own state.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.service.running import Posted, Running
from tests.upstreams.reply import Reply

COUNTS = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("weather", "clock")
]
OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'
OWN = "an id of our own"

Call = tuple[str, str, str]  # id, name, arguments


@dataclass(frozen=True, slots=True)
class Read:
    """What a caller has of an answer; a field that a case does not name is not compared."""

    text: str | None = None
    reasoning: str | None = None
    calls: tuple[Call, ...] | None = None
    finish: str | None = None
    tokens: tuple[int, int] | None = None  # of the prompt, of the answer
    logprobs: tuple[str, ...] | None = None
    error: str | None = None  # part of its message


@dataclass(frozen=True, slots=True)
class Report:
    """id: as in the list of cases; reports: where it was reported; fields: of the request."""

    id: str
    reports: str
    reply: Reply
    read: Read
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def param(self) -> Any:
        return pytest.param(self, id=f"{self.id} {self.reports}")


def reported(id: str, names: str) -> Any:
    """The mark of a test: id and reports of its case, as they stand in the test's name."""
    return pytest.mark.parametrize("report", [pytest.param(names, id=f"{id} {names}")])


def chunk(finish: str | None = None, logprobs: Any = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    choice |= {"logprobs": {"content": logprobs}} if logprobs else {}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def calling(*pieces: dict[str, Any]) -> dict[str, Any]:
    return chunk(tool_calls=list(pieces))


def piece(arguments: Any = None, index: int | None = 0, **fields: Any) -> dict[str, Any]:
    """One piece of a call. fields: id and name, where it has them."""
    function = {"name": fields.pop("name")} if "name" in fields else {}
    head = {} if index is None else {"index": index}
    return {**head, **fields, "type": "function", "function": {**function, "arguments": arguments}}


def counted(choices: Any = ()) -> dict[str, Any]:
    return {"id": "x", "choices": choices if choices is None else list(choices), "usage": COUNTS}


def event(value: Any) -> str:
    return f"data: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}\n\n"


def stream(*values: Any, done: bool = True, **options: Any) -> Reply:
    body = "".join(event(value) for value in (*values, *(["[DONE]"] if done else [])))
    return sent(body, **options)


def sent(body: str, **options: Any) -> Reply:
    """A stream of exactly these characters."""
    return Reply(body=body, content_type="text/event-stream", **options)


def whole(finish: str | None = "stop", **message: Any) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Reply(body={"id": "x", "created": 1, "model": "m", "choices": [choice], "usage": COUNTS})


def read(posted: Posted, streamed: bool) -> Read:
    if posted.error is not None:
        return Read(error=posted.problem["message"])
    if not streamed:
        answer = ChatCompletion.model_validate(posted.json, strict=True)
        return _read(answer)
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    *events, last = posted.events
    for each in events:
        assert "error" not in each, "an event behind the error"
        state.handle_chunk(ChatCompletionChunk.model_validate(each, strict=True))
    if last != "[DONE]":
        return Read(error=last["error"]["message"])
    return _read(state.current_completion_snapshot)


def _read(answer: Any) -> Read:
    [choice] = answer.choices
    said = choice.message
    calls = tuple((call.id, call.function.name, call.function.arguments) for call in said.tool_calls or ())
    logprobs = choice.logprobs.content or () if choice.logprobs else ()
    usage = answer.usage
    return Read(
        text=said.content or "",
        reasoning=getattr(said, "reasoning_content", None) or "",
        calls=calls,
        finish=choice.finish_reason,
        tokens=(usage.prompt_tokens, usage.completion_tokens) if usage else None,
        logprobs=tuple(token.token for token in logprobs),
    )


def check(found: Read, wanted: Read) -> None:
    if wanted.error is not None:
        assert found.error is not None, found
        assert wanted.error in found.error
        return
    assert found.error is None, found.error
    for name in ("text", "reasoning", "finish", "tokens", "logprobs"):
        value = getattr(wanted, name)
        assert value is None or getattr(found, name) == value, name
    if wanted.calls is not None:
        assert found.calls is not None
        assert [call[1:] for call in found.calls] == [call[1:] for call in wanted.calls]
        ids = [call_id for call_id, _, _ in found.calls]
        assert all(ids)
        assert len(set(ids)) == len(ids)
        for call_id, (asked, _, _) in zip(ids, wanted.calls, strict=True):
            assert asked in (OWN, call_id)


async def answer_of(service: Running, report: Report, *, streamed: bool, **fields: Any) -> Posted:
    """The answer of a request that the upstream answers as reported."""
    asked = dict(report.fields) | fields
    if streamed:
        asked["stream_options"] = {"include_usage": True}
    return await service.chat(stream=streamed, **asked)

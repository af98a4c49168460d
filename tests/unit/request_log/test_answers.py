"""Answers: streams as what they said, sound as its size and digest."""

from hashlib import sha256

import msgspec
from google.api.httpbody_pb2 import HttpBody

from genai_spine.request_log.answers import KEPT_BYTES, Answer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import prompt_service_pb2 as prompts


def answer(*messages) -> Answer:
    found = Answer()
    for message in messages:
        found.add(message)
    return found


def event(**fields) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def test_nothing_went_out() -> None:
    assert answer().tree() is None


def test_chunks_are_one_completion() -> None:
    chunks = [pb.CompletionChunk(id="1", choices=[pb.ChoiceDelta(content=part)]) for part in ("Hel", "lo")]
    tree = answer(*chunks).tree()
    assert tree["id"] == "1"
    assert tree["choices"][0]["message"]["content"] == [{"text": "Hello"}]


def test_events_of_a_prompt_are_text_and_result() -> None:
    events = [prompts.PromptEvent(text="Hel"), prompts.PromptEvent(text="lo")]
    events.append(prompts.PromptEvent(result=prompts.ExecutePromptResponse(request_id="r")))
    assert answer(*events).tree() == {"text": "Hello", "result": {"request_id": "r"}}


def test_server_sent_events_are_one_object() -> None:
    def choice(index: int, **delta) -> dict:
        return {"index": index, "delta": delta, "finish_reason": None}

    def call(text: str, **more) -> dict:
        return {"index": 0, "function": {"arguments": text}, **more}

    data = [
        event(id="1", choices=[choice(0, role="assistant", content="Hel")]),
        event(id="1", choices=[choice(1, content="Ho"), choice(0, content="lo")]),
        event(id="1", choices=[choice(0, tool_calls=[call('{"a"', id="c", type="function")])]),
        event(id="1", choices=[choice(0, tool_calls=[call(": 1}")])]),
        event(id="1", choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        event(id="1", choices=[], usage={"total_tokens": 5}),
        b": comment\n\ndata: [DONE]\n\n",
    ]
    first, *others = data
    kind = "text/event-stream; charset=utf-8|x-request-id=1"
    tree = answer(HttpBody(data=first, content_type=kind), *(HttpBody(data=one) for one in others)).tree()
    delta = {
        "role": "assistant",
        "content": "Hello",
        "tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1}'}, "id": "c", "type": "function"}],
    }
    assert tree["usage"] == {"total_tokens": 5}
    assert tree["choices"] == [
        {"index": 0, "delta": delta, "finish_reason": "stop"},
        {"index": 1, "delta": {"content": "Ho"}, "finish_reason": None},
    ]


def test_sound_is_its_size_and_digest() -> None:
    parts = [b"ab", b"cde"]
    seal = f"[audio/mpeg, 5 bytes, sha256 {sha256(b'abcde').hexdigest()}]"
    bodies = [HttpBody(data=parts[0], content_type="audio/mpeg|x=y"), HttpBody(data=parts[1])]
    assert answer(*bodies).tree() == {"data": seal}
    chunks = [media.SpeechChunk(data=part, media_type="audio/mpeg") for part in parts]
    tree = answer(*chunks, media.SpeechChunk(model="tts-1")).tree()
    assert tree == {"data": seal, "model": "tts-1"}


def test_endless_stream_is_not_kept() -> None:
    found = Answer()
    for _ in range(100):
        found.add(pb.CompletionChunk(choices=[pb.ChoiceDelta(content="x" * (KEPT_BYTES // 10))]))
    found.add(pb.CompletionChunk(model="last"))
    assert found.is_cut
    assert found.size_bytes > 9 * KEPT_BYTES
    tree = found.tree()
    assert tree["model"] == "last"
    assert len(tree["choices"][0]["message"]["content"][0]["text"]) <= KEPT_BYTES

"""Tokens put back in answers: in whole ones, and in chunks, where a token may be cut between two."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from genai_spine.privacy.token_stream import TokenStream, restored_json
from genai_spine.privacy.tokens import TokenMapping, restored
from genai_spine.v1 import completion_service_pb2 as pb

# Opaque to callers, and signed by some providers: they get back what they wrote.
KEPT = frozenset(("reasoning_state_json", "provider_state_json", "logprobs"))
TEXTS = ("content", "reasoning", "refusal")


def restore(answer: Message, mapping: TokenMapping, *, is_json: bool, in_content: bool = False) -> None:
    """Puts the values of all tokens into the texts of an answer, in place. is_json: its text is JSON."""
    for field, value in answer.ListFields():
        if field.name in KEPT:
            continue
        is_text = in_content or field.name == "content"
        kind = field.message_type
        if kind is not None and not kind.GetOptions().map_entry:
            for entry in value if field.is_repeated else (value,):
                restore(entry, mapping, is_json=is_json, in_content=is_text)
        elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            escapes = field.name.endswith("_json") or (is_json and is_text)
            text = restored_json(value, mapping) if escapes else restored(value, mapping)
            setattr(answer, field.name, text)


class AnswerRestorer:
    """Restorer of a streamed answer: one TokenStream for each text of each choice."""

    def __init__(self, mapping: TokenMapping, *, is_json: bool) -> None:
        self._mapping, self._is_json = mapping, is_json
        self._texts: dict[tuple[int, str], TokenStream] = {}
        self._last = pb.CompletionChunk()

    def feed(self, chunk: pb.CompletionChunk) -> pb.CompletionChunk | None:
        """Copy of a chunk with what is certain by now; None: all of it is held back."""
        found = pb.CompletionChunk()
        found.CopyFrom(chunk)
        for delta in found.choices:
            self._feed(delta)
            if delta.finish_reason:
                self._end(delta)
        self._last = found
        is_held = found.choices and not any(_says_something(delta) for delta in found.choices)
        is_only_text = not (found.HasField("usage") or found.HasField("error") or found.HasField("cost"))
        return None if is_held and is_only_text and found != chunk else found

    def end(self) -> pb.CompletionChunk | None:
        """Chunk of what was held back to the end, of choices without an end; None: nothing."""
        last = pb.CompletionChunk(id=self._last.id, model=self._last.model, provider=self._last.provider)
        last.request_id, last.execution_id = self._last.request_id, self._last.execution_id
        for index in sorted({index for index, _ in self._texts}):
            delta = pb.ChoiceDelta(index=index)
            self._end(delta)
            if _says_something(delta):
                last.choices.append(delta)
        return last if last.choices else None

    def _feed(self, delta: Any) -> None:
        for name in TEXTS:
            if piece := getattr(delta, name):
                is_json = self._is_json and name == "content"
                setattr(delta, name, self._text(delta.index, name, is_json=is_json).feed(piece))
        for call in delta.tool_calls:
            if call.arguments:
                is_json = not call.is_custom
                call.arguments = self._text(delta.index, f"tool {call.index}", is_json=is_json).feed(
                    call.arguments
                )
        for name in ("annotations_json", "parsed_json"):
            if text := getattr(delta, name):
                setattr(delta, name, restored_json(text, self._mapping))

    def _end(self, delta: Any) -> None:
        """Puts what is held back of a choice behind what the delta has."""
        for (index, name), text in self._texts.items():
            if index != delta.index or not (rest := text.end()):
                continue
            if name in TEXTS:
                setattr(delta, name, getattr(delta, name) + rest)
                continue
            number = int(name.removeprefix("tool "))
            call = next((one for one in delta.tool_calls if one.index == number), None)
            if call is None:
                call = delta.tool_calls.add(index=number)
            call.arguments = "".join((call.arguments, rest))

    def _text(self, index: int, name: str, *, is_json: bool) -> TokenStream:
        key = (index, name)
        if key not in self._texts:
            self._texts[key] = TokenStream(self._mapping, is_json=is_json)
        return self._texts[key]


def _says_something(delta: pb.ChoiceDelta) -> bool:
    if any(call.arguments or call.id or call.name for call in delta.tool_calls):
        return True
    return any(field.name not in ("index", "tool_calls") for field, _ in delta.ListFields())

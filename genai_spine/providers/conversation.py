"""Conversation as upstreams demand it: calls of tools with ids of their own, each followed by its result.

Callers bring histories of other providers, cut by windows and joined from several rounds: the same id twice,
results in another place, or missing. Every upstream refuses some of that with 400. Nothing is lost here:
results move behind their calls, a call without one gets a result that says so, and a result without a call
becomes what the user says. What is in order goes through as it is.

The ids that go out depend only on what stands before them, so a conversation that grows keeps its beginning,
and with it the upstream's prompt cache.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from genai_spine.v1 import message_pb2

NO_RESULT = "(no result)"
ORPHAN = "Result of a tool call that is no longer part of this conversation:"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RESULTS = frozenset((message_pb2.ROLE_TOOL, message_pb2.ROLE_FUNCTION))
DIGEST_CHARS = 8


@dataclass(frozen=True, slots=True)
class CallRules:
    """Rules of an upstream for calls of tools and their results.

    An id that it refuses is changed: letters to "_", too long ones to their beginning, and, where all ids
    have one length, to a digest. One that was used before gets a number, or a digest, at its end.
    """

    letters: str | None = None  # class of a regular expression; None: every letter
    max_chars: int = 64  # of an id
    one_length: bool = False  # every id has max_chars letters and digits
    bare_functions: bool = False  # results of functions may stand without a call


class Entry(NamedTuple):
    """Message at its place in the conversation that goes out, with the ids that its calls have there."""

    number: int  # of the message in the request; -1: it is not among them
    message: message_pb2.Message
    call_ids: Sequence[str] = ()  # of message.tool_calls, in their order
    result_of: str = ""  # id of the call that this is the result of
    name: str = ""  # of what was called, for a result

    @property
    def path(self) -> str:
        """Field of the request, for errors."""
        return f"messages[{self.number}]"


@dataclass(slots=True)
class CallSlot:
    """Call of a tool, and the results that were found for it."""

    call_id: str  # as it goes out
    name: str
    results: list[tuple[int, message_pb2.Message]] = field(default_factory=list)


def arrange(messages: Sequence[message_pb2.Message], rules: CallRules) -> list[Entry]:
    """Messages in the order in which they go out."""
    if not any(message.tool_calls or message.role in RESULTS for message in messages):
        return [Entry(number, message) for number, message in enumerate(messages)]
    return _Arrangement(rules).entries(messages)


def called_names(messages: Sequence[message_pb2.Message]) -> list[str]:
    """Names of the tools that were called in the conversation, each once."""
    return list({name_of(call): None for message in messages for call in message.tool_calls[:]})


def name_of(call: message_pb2.ToolCall) -> str:
    """Name of the function or custom tool that is called."""
    return call.custom.name if call.HasField("custom") else call.function.name


class CallIds:
    """Ids of one conversation's calls, in the order in which they are asked for: no two are equal."""

    def __init__(self, rules: CallRules) -> None:
        self._rules = rules
        self._used: set[str] = set()
        self._unnamed = 0

    def of(self, call_id: str) -> str:
        """Id for the next call; of a call without one, a number."""
        if not call_id:
            self._unnamed += 1
            call_id = f"call_{self._unnamed}"
        fitted, count = fit(call_id, self._rules), 1
        while fitted in self._used:
            count += 1
            fitted = fit(call_id, self._rules, count)
        self._used.add(fitted)
        return fitted


@lru_cache(1024)
def fit(call_id: str, rules: CallRules, count: int = 1) -> str:
    """Id in the letters and the length that the upstream takes; the same for the same id and count.

    count: which call it is of those whose ids came out as the same.
    """
    if rules.one_length:
        is_fit = len(call_id) == rules.max_chars and call_id.isascii() and call_id.isalnum()
        numbered = call_id if count == 1 else f"{call_id}\0{count}"
        return call_id if is_fit and count == 1 else _digest(numbered, rules.max_chars)
    fitted = re.sub(f"[^{rules.letters}]", "_", call_id) if rules.letters else call_id
    if count == 1:
        return fitted[: rules.max_chars]
    if len(f"{fitted}_{count}") <= rules.max_chars:
        return f"{fitted}_{count}"
    return f"{fitted[: rules.max_chars - DIGEST_CHARS - 1]}_{_digest(f'{call_id}_{count}', DIGEST_CHARS)}"


def _digest(text: str, length: int) -> str:
    """Letters and digits of a text's SHA-256."""
    number, letters = int.from_bytes(sha256(text.encode("utf-8", "surrogatepass")).digest(), "big"), []
    for _ in range(length):
        number, remainder = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[remainder])
    return "".join(letters)


class _Arrangement:
    """Arrangement of one conversation: calls by their ids, and the messages in order."""

    def __init__(self, rules: CallRules) -> None:
        self._rules = rules
        self._ids = CallIds(rules)
        self._rounds: list[dict[int, CallSlot]] = []
        self._by_id: dict[str, list[list[CallSlot]]] = {}  # of each round that has the id
        # Messages, each with the calls that it made; of a result without a call there are none yet.
        self._items: list[tuple[Entry, list[CallSlot]]] = []

    def entries(self, messages: Sequence[message_pb2.Message]) -> list[Entry]:
        for number, message in enumerate(messages):
            if message.role not in RESULTS:
                slots = self._begin(message)
                self._items.append((Entry(number, message, [slot.call_id for slot in slots]), slots))
            elif slot := self._slot(message):
                slot.results.append((number, message))
            else:
                self._items.append((Entry(number, message), []))
        return [entry for item in self._items for entry in self._written(*item)]

    def _begin(self, message: message_pb2.Message) -> list[CallSlot]:
        """Calls of a message, known by their ids from here on."""
        slots = []
        of_round: dict[str, list[CallSlot]] = {}
        for call in message.tool_calls:
            slot = CallSlot(self._ids.of(call.id), name_of(call))
            slots.append(slot)
            of_round.setdefault(call.id, []).append(slot)
        for call_id, same in of_round.items():
            self._by_id.setdefault(call_id, []).append(same)
        if slots:
            self._rounds.append(dict(enumerate(slots)))
        return slots

    def _slot(self, message: message_pb2.Message) -> CallSlot | None:
        """Call that a result answers: of its id, in the newest round that has one without a result."""
        if message.role == message_pb2.ROLE_TOOL and message.tool_call_id:
            rounds = self._by_id.get(message.tool_call_id, [])
        else:  # it knows the name of its function, or nothing
            rounds = [[*slots.values()] for slots in self._rounds]
            if message.name:
                rounds = [[slot for slot in slots if slot.name == message.name] for slots in rounds]
        open_slots = (slot for slots in reversed(rounds) for slot in slots if not slot.results)
        answered = rounds[-1][-1] if rounds and rounds[-1] and message.tool_call_id else None
        return next(open_slots, answered)

    def _written(self, entry: Entry, slots: Sequence[CallSlot]) -> Iterator[Entry]:
        """Message, and the results of its calls behind it."""
        if entry.message.role in RESULTS:
            yield from self._orphan(entry)
            return
        yield entry
        answered = [slot for slot in slots if slot.results]
        yield from map(_result, sorted(answered, key=lambda slot: slot.results[0][0]))
        yield from (_result(slot) for slot in slots if not slot.results)

    def _orphan(self, entry: Entry) -> Iterator[Entry]:
        """Result that came before its call, which has it by now, or that has none."""
        message = entry.message
        later = (slot for same in self._by_id.get(message.tool_call_id, ()) for slot in same)
        if message.tool_call_id and (found := next((slot for slot in later if not slot.results), None)):
            found.results.append((entry.number, message))
        elif message.role == message_pb2.ROLE_FUNCTION and self._rules.bare_functions:
            yield entry
        else:
            told = message_pb2.Message(role=message_pb2.ROLE_USER, content=[_text(ORPHAN), *message.content])
            yield Entry(entry.number, told)


def _result(slot: CallSlot) -> Entry:
    """Result of a call; of several, their content together."""
    if not slot.results:
        none = message_pb2.Message(role=message_pb2.ROLE_TOOL, content=[_text(NO_RESULT)])
        return Entry(-1, none, result_of=slot.call_id, name=slot.name)
    number, message = slot.results[0]
    if len(slot.results) > 1:
        joined = message_pb2.Message()
        joined.CopyFrom(message)
        for _, further in slot.results[1:]:
            joined.content.extend(further.content)
        message = joined
    return Entry(number, message, result_of=slot.call_id, name=slot.name)


def _text(text: str) -> message_pb2.ContentPart:
    return message_pb2.ContentPart(text=text)

"""Reasoning state: what reasoning_state_json of a message holds, for whichever provider takes it back.

It is a JSON array of the blocks, items or details in which a provider proves its own thinking. Each kind is
known by its shape, and a provider takes back its own kind only:

    {"type": "thinking" | "redacted_thinking", ...}        Anthropic
    {"reasoningContent": {...}}                            Bedrock
    {"type": "reasoning", ...} and places of other items   OpenAI's Responses API
    {"type": "reasoning.text" | ".summary" | ".encrypted"} OpenRouter
    {"extra_content": {...}}                               Gemini, of the message itself

Claude's signatures hold on every platform that serves it, so Anthropic and Bedrock take each other's
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking, 2026-11-28). Callers of OpenAI's
path see all of it but extra_content in OpenRouter's form, `reasoning_details`, and send that back:
https://openrouter.ai/docs/guides/best-practices/reasoning-tokens, 2026-11-28.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.errors import InvalidFields

CLAUDE, RESPONSES = "anthropic-claude-v1", "openai-responses-v1"  # formats of details, in OpenRouter's words
TEXT, SUMMARY, ENCRYPTED = "reasoning.text", "reasoning.summary", "reasoning.encrypted"
DETAILS = frozenset((TEXT, SUMMARY, ENCRYPTED))


class ReasoningText(Struct):
    """Bedrock's readable thinking."""

    text: str = ""
    signature: str | None = None


class ReasoningContent(Struct, rename="camel"):
    """Bedrock's block of thinking; redacted bytes are base64."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class SummaryPart(Struct):
    """Part of a summary of the Responses API."""

    text: str = ""


class StateEntry(Struct):
    """Entry of a state, with the fields of every kind."""

    type: Any = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    text: str | None = None
    summary: str | list[SummaryPart] | None = None
    id: str | None = None
    format: str | None = None
    encrypted_content: str | None = None
    reasoning_content: ReasoningContent | None = msgspec.field(name="reasoningContent", default=None)
    extra_content: Raw | UnsetType = UNSET


class Thought(NamedTuple):
    """Block of Claude's thinking: text with its signature, or redacted; raw: as Anthropic sent it."""

    text: str
    signature: str
    redacted: str | None = None
    raw: Raw | None = None


ENTRIES = msgspec.json.Decoder(list[Raw])
ENTRY = msgspec.json.Decoder(StateEntry)


def entries(state_json: str, path: str = "") -> list[tuple[Raw, StateEntry]]:
    """Entries of a state. path: field of the message, for errors. Errors: InvalidFields."""
    if not state_json:
        return []
    try:
        return [(raw, _entry(raw)) for raw in ENTRIES.decode(state_json)]
    except (msgspec.DecodeError, RecursionError) as error:
        problem = f"must be a JSON array of objects: {error}"
        raise InvalidFields([(f"{path}.reasoning_state_json".lstrip("."), problem)]) from error


def _entry(raw: Raw) -> StateEntry:
    """Entry, as far as it is of a known shape."""
    try:
        return ENTRY.decode(raw)
    except msgspec.ValidationError:
        msgspec.json.decode(raw, type=dict[str, Raw])  # something else than an object is an error
        return StateEntry()


def thoughts(state_json: str, path: str = "") -> list[Thought]:
    """Blocks of Claude's thinking, whichever platform it came from. Errors: InvalidFields."""
    return [thought for raw, entry in entries(state_json, path) if (thought := _thought(raw, entry))]


def _thought(raw: Raw, entry: StateEntry) -> Thought | None:
    """Thought of an entry; None for what another model thought, or what nothing proves."""
    if entry.type in ("thinking", "redacted_thinking"):
        redacted = (entry.data or "") if entry.type == "redacted_thinking" else None
        return Thought(entry.thinking or "", entry.signature or "", redacted, raw)
    if block := entry.reasoning_content:
        if block.redacted_content:
            return Thought("", "", block.redacted_content)
        text = block.reasoning_text or ReasoningText()
        return Thought(text.text, text.signature) if text.signature else None
    of_claude = entry.format is None or entry.format.startswith("anthropic")
    if entry.type == TEXT and entry.signature and of_claude:
        return Thought(entry.text or "", entry.signature)
    if entry.type == ENCRYPTED and entry.format is not None and of_claude and entry.data:
        return Thought("", "", entry.data)
    return None


def responses_items(state_json: str, path: str = "") -> list[Raw]:
    """Items and places of the Responses API; [] for the state of another provider.

    Errors: InvalidFields.
    """
    items: list[Raw] = []
    found = entries(state_json, path)
    for key, group in groupby(found, lambda pair: _responses_id(pair[1])):
        pairs = list(group)
        if key is None:
            items += [raw for raw, entry in pairs if _is_of_responses(entry)]
        else:
            items.append(_reasoning_item(key, [entry for _, entry in pairs]))
    return items


def _responses_id(entry: StateEntry) -> str | None:
    """Id of the reasoning item that a detail is a part of."""
    of_responses = entry.type in (SUMMARY, ENCRYPTED) and (entry.format or "").endswith(RESPONSES)
    return entry.id or "" if of_responses else None


def _is_of_responses(entry: StateEntry) -> bool:
    """Whether an entry is an item of the Responses API, or the place of one."""
    of_others = entry.type in DETAILS or entry.type in ("thinking", "redacted_thinking")
    return isinstance(entry.type, str) and not of_others


def _reasoning_item(item_id: str, parts: Sequence[StateEntry]) -> Raw:
    """Reasoning item that details were made of."""
    summary = [{"type": "summary_text", "text": part.summary} for part in parts if part.type == SUMMARY]
    encrypted = "".join(part.data or "" for part in parts if part.type == ENCRYPTED)
    item: dict[str, Any] = {"type": "reasoning", "id": item_id, "summary": summary}
    return Raw(msgspec.json.encode(item | ({"encrypted_content": encrypted} if encrypted else {})))


def details(state_json: str) -> list[Raw]:
    """State in OpenRouter's form, without what belongs to the message (extra_content)."""
    written: list[Raw] = []
    for index, (raw, entry) in enumerate(entries(state_json)):
        if entry.extra_content is UNSET:
            written += [raw] if (shown := _details(raw, entry, index)) is None else map(_raw, shown)
    return written


def _details(raw: Raw, entry: StateEntry, index: int) -> list[dict[str, Any]] | None:
    """Details of one entry; None: it goes out as it is."""
    if entry.type in DETAILS:
        return None
    if thought := _thought(raw, entry):
        head = {"format": CLAUDE, "index": index}
        if thought.redacted is not None:
            return [{"type": ENCRYPTED, "data": thought.redacted} | head]
        return [{"type": TEXT, "text": thought.text, "signature": thought.signature} | head]
    if entry.type == "reasoning" and isinstance(entry.summary, list) and entry.encrypted_content:
        head = {"id": entry.id, "format": RESPONSES, "index": index}
        summaries = [{"type": SUMMARY, "summary": part.text} | head for part in entry.summary]
        return [*summaries, {"type": ENCRYPTED, "data": entry.encrypted_content} | head]
    return None


def _raw(value: Mapping[str, Any]) -> Raw:
    return Raw(msgspec.json.encode(value))


def extra_content(state_json: str) -> Raw | None:
    """Gemini's state of the message itself: an object by vendor."""
    found = (entry.extra_content for _, entry in entries(state_json))
    return next((extra for extra in found if isinstance(extra, Raw)), None)


def join(parts: Sequence[Raw], extra: Raw | None = None) -> str:
    """State of entries, and of what belongs to the message, as reasoning_state_json."""
    last = [Raw(b'{"extra_content":%b}' % bytes(extra))] if extra is not None else []
    return msgspec.json.encode([*parts, *last]).decode()


def _decoded(value: Raw | UnsetType, kind: Any) -> Any:
    """Value of the kind; an empty one where there is none, another, or one that cannot be decoded."""
    try:
        found = msgspec.json.decode(value) if isinstance(value, Raw) else None
    except (msgspec.DecodeError, RecursionError):  # a number out of range, a level too deep
        found = None
    return found if isinstance(found, kind) else kind()


def _is_piece(detail: Mapping[str, Any], field: str) -> bool:
    """Whether text can be joined to that of a detail."""
    return detail.get(field) is None or isinstance(detail[field], str)


class StateReader:
    """Reader of a message's state while it streams: details piece by piece, and extra_content.

    Pieces of one detail have its index and type; text and summaries are joined, a signature comes last.
    """

    def __init__(self) -> None:
        self._details: list[dict[str, Any]] = []
        self._pieces: list[str] = []  # of the last detail, behind what it has
        self._extra: dict[str, Any] = {}

    def add(self, parts: Raw | UnsetType, extra: Raw | UnsetType = UNSET) -> None:
        """Adds what one delta, or a whole message, has of it; what is of another shape is passed over."""
        for detail in _decoded(parts, list):
            if isinstance(detail, dict):
                self._add(detail)
        for vendor, fields in _decoded(extra, dict).items():
            if isinstance(fields, dict):  # "thought" tells of one delta what it is
                own = {name: value for name, value in fields.items() if name != "thought"}
                self._extra.setdefault(vendor, {}).update(own)

    def _add(self, detail: dict[str, Any]) -> None:
        last = self._details[-1] if self._details else {}
        field = {TEXT: "text", SUMMARY: "summary"}.get(str(detail.get("type")))
        same = last.get("type") == detail.get("type") and last.get("index") == detail.get("index")
        joins = field and same and _is_piece(last, field) and _is_piece(detail, field)
        if field is None or not joins or (last.get("signature") and detail.get(field)):
            self._join()
            self._details.append(detail)
        else:
            self._pieces.append(detail.get(field) or "")
            last |= {name: value for name, value in detail.items() if value is not None and name != field}

    def _join(self) -> None:
        """Gives the last detail its pieces."""
        if self._pieces:
            last = self._details[-1]
            field = "text" if last["type"] == TEXT else "summary"
            last[field] = "".join([last.get(field) or "", *self._pieces])
            self._pieces.clear()

    @property
    def state_json(self) -> str:
        """State as it is by now; empty where there is none."""
        self._join()
        extra = {vendor: fields for vendor, fields in self._extra.items() if fields}
        if not (self._details or extra):
            return ""
        return join([*map(_raw, self._details)], _raw(extra) if extra else None)

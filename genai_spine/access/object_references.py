"""References among a provider's own options: to files, answers, conversations, stores, and to models.

Options travel to the provider as they are, and all tenants share its account. So whatever they name is looked
for, wherever it stands, under each name that a field of such an id has.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from genai_spine.errors import InvalidFields

MODEL = "model"  # kind of what is no stored object: a model to fall back to, or of a tool
# Field, in small letters because some providers do not tell these from others, -> kind of what it names.
FIELDS = {
    **dict.fromkeys(("file_id", "file_ids", "input_file_id", "image_file_id"), "file"),
    "batch_id": "batch",
    **dict.fromkeys(("previous_response_id", "response_id"), "response"),
    **dict.fromkeys(("conversation", "conversation_id"), "conversation"),
    **dict.fromkeys(("vector_store_id", "vector_store_ids"), "vector store"),
    **dict.fromkeys(("container", "container_id"), "container"),
    **dict.fromkeys(("collection_id", "collection_ids"), "collection"),
    **dict.fromkeys(("cached_content", "cachedcontent"), "cached content"),
    **dict.fromkeys(("thread_id", "assistant_id"), "thread"),
    **dict.fromkeys(("model", "models", "fallbacks", "fallback_models"), MODEL),
}
# How ids begin of a kind whose field means something else elsewhere, such as the container of sound.
PREFIXES = {"container": ("cntr_", "container_")}
OPAQUE = frozenset(
    {"metadata", "parameters", "input_schema", "json_schema", "schema"}
)  # hold names of callers


class Reference(NamedTuple):
    """Object or model that options name."""

    kind: str
    id: str


class Pairs(list[tuple[str, Any]]):
    """Fields of a JSON object, those that stand twice included: nobody knows which one a provider takes."""


def references(options_json: str) -> set[Reference]:
    """References in the JSON of a provider's own options. Errors: InvalidFields."""
    if not options_json:
        return set()
    try:
        options = json.loads(options_json, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        raise InvalidFields([("provider_options_json", "is no JSON, or nested too deeply")]) from None
    return set(_references(options))


def _references(options: Any) -> Iterator[Reference]:
    waiting = [options]
    while waiting:
        value = waiting.pop()
        if not isinstance(value, Pairs):
            waiting += value if isinstance(value, list) else ()
            continue
        for name, inner in value:
            if kind := FIELDS.get(name.lower()):
                yield from (
                    Reference(kind, id) for id in _ids(inner) if id.startswith(PREFIXES.get(kind, ""))
                )
            if name.lower() not in OPAQUE:
                waiting.append(inner)


def _ids(value: Any) -> Iterator[str]:
    """Ids in the value of a field: one, a list of them, or objects with one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Pairs):
        yield from (id for name, id in value if name.lower() == "id" and isinstance(id, str))
    elif isinstance(value, list):
        for one in value:
            yield from _ids(one)

"""Citations in a text, such as [2] or [a, b], resolved against the documents that they are of."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.text.quotes import Quotes
from genai_spine.v1.capability_service_pb2 import Citation, SourceDocument

BRACKETS = re.compile(r"\[([^\[\]\n]{1,1000})\](?!\()")  # not a link of Markdown
PREFIX = re.compile(r"^(?:document|doc|source)?\s*(?:id)?\s*[:=#]?\s*", re.IGNORECASE)
# What a document's id looks like in brackets, other than a word as in [sic].
LIKE_ID = re.compile(r"(?=.*[\d_:/#.-])[:/#.-]*\w[\w:/#.-]*")

Documents = Sequence[SourceDocument]


def resolved(text: str, quotes: Mapping[str, str], documents: Documents) -> tuple[list[Citation], list[str]]:
    """The cited documents in the order of the first citation, and ids that no document has.

    quotes: passages, by the ids of their documents.
    """
    by_id = {document.id: document for document in documents}
    found: dict[str, Citation] = {}
    unknown: dict[str, None] = {}
    for cited in _cited(text, by_id):
        document = by_id.get(cited)
        if document is None:
            unknown[cited] = None
            continue
        if cited not in found:
            title = document.title if document.HasField("title") else None
            found[cited] = Citation(document_id=cited, title=title, quote=quotes.get(cited))
        found[cited].count += 1
    return list(found.values()), list(unknown)


def quotes(listed: list[Any], documents: Documents) -> dict[str, str]:
    """First passage of each document that the model names and that stands in it, verbatim."""
    by_id = {document.id: document for document in documents}
    found: dict[str, str] = {}
    for item in (item for item in listed if isinstance(item, dict)):
        named = answer_parsing.text_of(item, "id", "document_id", "document", "source")
        document = by_id.get(_id(named, by_id) or "")
        cited = answer_parsing.text_of(item, "quote", "passage", "text", "evidence")
        if document is None or not cited or document.id in found:
            continue
        place = Quotes(TextChunk(document.content)).find(cited)
        if place:
            found[document.id] = place.text
    return found


def _cited(text: str, ids: Mapping[str, Any]) -> Iterator[str]:
    """Ids in the brackets of a text; those of no document as they stand there."""
    for brackets in BRACKETS.finditer(text):
        whole = _id(brackets[1], ids)
        if whole is not None:
            yield whole
            continue
        parts = [part.strip() for part in re.split(r"[,;]", brackets[1]) if part.strip()]
        known = [_id(part, ids) for part in parts]
        for part, known_id in zip(parts, known, strict=True):
            if known_id is not None or LIKE_ID.fullmatch(part):
                yield known_id or part


def _id(cited: str, ids: Mapping[str, Any]) -> str | None:
    """The id that is meant, whatever its case, and also as in [document 2]."""
    cited = cited.strip()
    for name in (cited, PREFIX.sub("", cited)):
        if name in ids:
            return name
        if close := answer_parsing.known(name, ids):
            return close
    return None

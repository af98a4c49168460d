"""Multiple documents as one content: each with its id, truncated in fair shares, or a few per chunk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genai_spine.text import chunking
from genai_spine.text.chunking import MAX_CHUNKS, TextChunk, TokenBudget
from genai_spine.text.packing import SEPARATOR, SEPARATOR_TOKENS, grouped
from genai_spine.v1.capability_service_pb2 import SourceDocument

RESERVED = '[]"\n'  # in ids: they end an id where it is shown or cited

Documents = Sequence[SourceDocument]


@dataclass(frozen=True, slots=True)
class DocumentsText(TextChunk):
    """Concatenation of documents, which is cut between them and within each."""

    documents: Documents = ()


def joined(documents: Documents) -> DocumentsText:
    """Full text of all documents."""
    return DocumentsText(SEPARATOR.join(map(formatted, documents)), documents=documents)


def assign_ids(documents: Documents) -> list[tuple[str, str]]:
    """Ids for documents that have none, in place. Returns problems as (path, problem)."""
    problems: list[tuple[str, str]] = []
    ids: set[str] = set()
    for number, document in enumerate(documents):
        path = f"documents[{number}]"
        document.id = document.id.strip() or str(number + 1)
        if any(mark in document.id for mark in RESERVED):
            problems.append((f"{path}.id", "must hold no brackets, quotation marks or line breaks"))
        if document.id in ids:
            problems.append((f"{path}.id", f"is the id of an earlier document: {document.id!r}"))
        if not document.content.strip():
            problems.append((f"{path}.content", "is required"))
        ids.add(document.id)
    return problems


def formatted(document: SourceDocument, content: str | None = None) -> str:
    """Document as the model gets it, in a tag with id and title. content: part of it; None: all."""
    title = " ".join(document.title.replace('"', "'").split())
    head = f'<document id="{document.id}"' + (f' title="{title}"' if title else "") + ">"
    return f"{head}\n{document.content if content is None else content}\n</document>"


def shortened(documents: Documents, budget: TokenBudget) -> TextChunk:
    """Concatenation in which long documents are truncated to a fair share; short ones stay as they are."""
    heads = [budget.measure.count(formatted(document, "")) + SEPARATOR_TOKENS for document in documents]
    sizes = [budget.measure.count(document.content) for document in documents]
    share = _share(sizes, budget.tokens - sum(heads))
    texts, omitted = [], 0
    for document, size in zip(documents, sizes, strict=True):
        part = TextChunk(document.content)
        if size > share:
            part = chunking.shortened(document.content, TokenBudget(share, budget.measure))
        texts.append(formatted(document, part.text))
        omitted += part.omitted
    return TextChunk(SEPARATOR.join(texts), omitted=omitted)


def _share(sizes: Iterable[int], tokens: int) -> int:
    """Most tokens of a document so that all have room: what short ones leave goes to the long ones."""
    left = sorted(sizes)
    while left and left[0] * len(left) <= tokens:
        tokens -= left.pop(0)
    return max(0, tokens) // len(left) if left else tokens


def split(documents: Documents, budget: TokenBudget) -> list[TextChunk]:
    """Chunks with as many documents as fit; a document that is too long is split by itself.

    Raises ValueError above MAX_CHUNKS.
    """
    texts = [text for document in documents for text in _texts(document, budget)]
    groups = grouped(texts, budget)
    if len(groups) > MAX_CHUNKS:
        raise ValueError(f"it would take more than {MAX_CHUNKS} chunks")
    return [
        TextChunk(SEPARATOR.join(group), number=number, total=len(groups))
        for number, group in enumerate(groups, 1)
    ]


def _texts(document: SourceDocument, budget: TokenBudget) -> list[str]:
    joined = formatted(document)
    if budget.has(joined):
        return [joined]
    head = budget.measure.count(formatted(document, "")) + SEPARATOR_TOKENS
    inner = TokenBudget(max(1, budget.tokens - head), budget.measure)
    return [formatted(document, part.text) for part in chunking.split(document.content, inner)]

"""Sources of documents: what a request may hold, beyond the rules of its fields."""

from collections.abc import Sequence

from genai_spine.errors import InvalidFields
from genai_spine.v1.rag_pb2 import RagDocumentSource

MAX_BYTES = 16 << 20  # of all texts and bytes of a request
CONTENTS = ("text", "data", "file_id", "url")


def check(documents: Sequence[RagDocumentSource]) -> None:
    """Checks that each document has one content and a name of its own. Errors: InvalidFields."""
    problems, names = [], set()
    for place, source in enumerate(documents):
        given = [name for name in CONTENTS if source.HasField(name)]
        if len(given) != 1:
            problems.append(
                (f"documents[{place}].text", "must be set, or data, file_id or url, and only one of them")
            )
        if source.name in names:
            problems.append((f"documents[{place}].name", "another document of the request has it"))
        names.add(source.name)
    if sum(len(source.text.encode()) + len(source.data) for source in documents) > MAX_BYTES:
        problem = f"have more than {MAX_BYTES >> 20} MiB; upload files, and name them by file_id"
        problems.append(("documents", problem))
    if problems:
        raise InvalidFields(problems[:20])

"""Diff of two prompt versions, field by field, with a unified diff of long texts."""

from difflib import unified_diff

from genai_spine.prompts.editor import VERSIONED, field_text
from genai_spine.v1 import prompt_service_pb2 as pb

MAX_LINES = 1000  # of one text; with more, the comparison of hostile texts takes minutes


def compared(old: pb.PromptVersion, late: pb.PromptVersion) -> pb.DiffPromptVersionsResponse:
    """Changed fields from old to late, the newer version."""
    response = pb.DiffPromptVersionsResponse(from_version=old.version, to_version=late.version)
    for name in VERSIONED:
        before, after = field_text(old, name), field_text(late, name)
        if before != after:
            unified = _unified(before or "", after or "")
            response.fields.add(field=name, before=before, after=after, unified=unified)
    return response


def _unified(before: str, after: str) -> str | None:
    """Unified diff. None: neither text has several lines, or one has more than MAX_LINES."""
    old, late = before.splitlines(), after.splitlines()
    if not 1 < max(len(old), len(late)) <= MAX_LINES:
        return None
    return "\n".join(unified_diff(old, late, "before", "after", lineterm=""))

"""GenerateCommit: a commit message for changed files, and what the files are about."""

import re
from typing import Any

from genai_spine.capabilities.base import Capability
from genai_spine.capabilities.context import Answer
from genai_spine.errors import InvalidFields
from genai_spine.text import answer_parsing, git_diff
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb

MAX_LISTED_FILES = 50
MAX_CHAT_LINES, MAX_CHAT_CHARS = 10, 200
MAX_DIFFS, MAX_DIFF_CHARS = 5, 500
SCOPED = re.compile(r"\A(?P<type>[\w-]+)\((?P<scope>[^()\n]*)\)(?P<rest>!?: )")


class GenerateCommit(Capability[pb.GenerateCommitRequest, pb.GenerateCommitResponse]):
    """Commit message generation from changed files, diffs and a conversation."""

    NAME = "generate-commit"
    METHOD = "GenerateCommit"
    REQUEST = pb.GenerateCommitRequest
    RESPONSE = pb.GenerateCommitResponse
    TEMPERATURE = 0.4

    def apply_defaults(self, request: pb.GenerateCommitRequest) -> None:
        """The files, with their diffs as far as they are known."""
        if not request.files:
            request.files.extend(request.files_changed)
        of_diff = git_diff.files_of(request.diff)
        if not request.files:
            request.files.extend(of_diff)
        if not request.files and not request.diff.strip():
            raise InvalidFields([("files", "is required unless diff is set")])
        diffs = {file.path: file.diff for file in of_diff}
        for file in request.files:
            file.status = file.status or "modified"
            file.diff = file.diff or diffs.get(file.path, "")
        request.context = request.context or request.diff_summary
        request.style = request.style or "conventional"
        request.max_length = request.max_length or 500

    def variables(self, request: pb.GenerateCommitRequest, chunk: TextChunk) -> dict[str, Any]:
        listed = request.files[:MAX_LISTED_FILES]
        shown = [file for file in request.files if file.diff][:MAX_DIFFS]
        diffs = [f"{file.path}:\n{file.diff[:MAX_DIFF_CHARS]}" for file in shown]
        if not request.files:  # the diff names none
            diffs = [request.diff[: MAX_DIFFS * MAX_DIFF_CHARS]]
        return {
            "files": "\n".join(f"- {file.path} ({file.status})" for file in listed),
            "more_files": len(request.files) - len(listed),
            "chat_context": "\n".join(_chat(request)),
            "diffs": "\n\n".join(diffs),
            "style": request.style,
            "include_scope": _wants_scope(request),
            "scopes": ", ".join(group.scope for group in git_diff.groups(request.files)[:MAX_LISTED_FILES]),
            "max_length": request.max_length,
        }

    def read(
        self, answer: Answer, request: pb.GenerateCommitRequest, chunk: TextChunk
    ) -> pb.GenerateCommitResponse:
        message = answer_parsing.unfenced(answer_parsing.plain(answer.text)).strip().strip("`").strip()
        if len(message) > 1 and message[0] == message[-1] == '"':
            message = message[1:-1].strip()
        if not _wants_scope(request):
            message = SCOPED.sub(r"\g<type>\g<rest>", message)
        message = _capped(message, request.max_length)
        if not message:
            raise answer_parsing.UnreadableAnswer("the answer holds no commit message")
        return pb.GenerateCommitResponse(
            commit_message=message,
            message=message,
            feature_groups=git_diff.groups(request.files),
            suggested_tags=git_diff.tags((file.path for file in request.files), message),
            files_analyzed=len(request.files),
        )


def _wants_scope(request: pb.GenerateCommitRequest) -> bool:
    return request.include_scope or not request.HasField("include_scope")


def _chat(request: pb.GenerateCommitRequest) -> list[str]:
    """The last lines of the conversation; a context counts as its last line."""
    lines = [(line.role, line.content) for line in request.chat_context]
    if request.context.strip():
        lines.append(("user", request.context))
    return [
        f"{role or 'user'}: {' '.join(content[:MAX_CHAT_CHARS].split())}"
        for role, content in lines[-MAX_CHAT_LINES:]
    ]


def _capped(message: str, most: int) -> str:
    """Text of at most `most` characters, ended at a line, else between words."""
    if len(message) <= most:
        return message
    cut = message[: most + 1]
    end = max(cut.rfind("\n", most // 2), 0) or max(cut.rfind(" "), 0) or most
    return message[:end].rstrip()

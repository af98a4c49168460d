"""Error of an idempotent call as its row has it, for those who ask again."""

import msgspec

from genai_spine.call import Call
from genai_spine.errors import SpineError, revived


class StoredError(msgspec.Struct):
    """JSON of the error column."""

    reason: str  # ErrorReason without its prefix
    message: str
    metadata: dict[str, str]
    billed: list[str]  # provider calls that may have been paid


def stored_error(error: SpineError, call: Call) -> bytes:
    """JSON of an error. call: the one that it ended."""
    message = str(error).replace("\0", "\ufffd")  # PostgreSQL holds no NUL
    return msgspec.json.encode(StoredError(error.reason_name, message, error.metadata, sorted(call.billed)))


def revived_error(stored: bytes, call: Call) -> SpineError:
    """The error again, for a call that makes no attempt of its own."""
    found = msgspec.json.decode(stored, type=StoredError)
    error = revived(found.reason, found.message, found.metadata)
    error.are_attempts_spent = True
    call.billed.update(found.billed)
    return error

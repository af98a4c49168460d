"""Page tokens: where the next page of a list begins, bound to the list and to its filters.

    after = page_tokens.place(request, str)  # None: the first page
    response.next_page_token = page_tokens.token(request, last.id)

A token holds the place and a mark of the list and the filters that it was made for. It is no secret, and
whoever makes one up gets the rows that the filters let through, and no others.
"""

import base64
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, TypeVar

import msgspec
from google.protobuf.message import Message

from genai_spine.errors import InvalidFields

HEADER = "x-next-page-token"  # of an answer over REST that is an array and has no room for the token
PAGING = ("page_size", "page_token", "limit", "offset")  # fields that choose a page, not rows
MARK_BYTES = 6
M = TypeVar("M", bound=Message)
# Values of places, besides texts.
TIME = Annotated[datetime, msgspec.Meta(tz=True)]
NUMBER = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


def size(request: Any, default: int) -> int:
    """Page size of a request, by either of its names."""
    return int(request.page_size or getattr(request, "limit", 0) or default)


def token(request: Message, *place: object) -> str:
    """Token of the page that begins behind a place of this list."""
    return base64.urlsafe_b64encode(msgspec.json.encode((_mark(request), *place))).decode()


def place(request: Any, *kinds: Any) -> tuple[Any, ...] | None:
    """Place in a request's page token, by the kinds of its values; None: the first page.

    Errors: InvalidFields, also for a token of another list, or of this one with other filters.
    """
    if not request.page_token:
        return None
    values_of: Any = tuple.__class_getitem__((str, *kinds))
    try:
        data = base64.b64decode(request.page_token, "-_", validate=True)
        mark, *values = (_in_utc(value) for value in msgspec.json.decode(data, type=values_of))
    except (ValueError, OverflowError):  # a time beyond the calendar
        raise InvalidFields([("page_token", "is no token of this list")]) from None
    if mark != _mark(request) or any(isinstance(value, str) and "\0" in value for value in values):
        raise InvalidFields([("page_token", "is no token of this list with these filters")])
    return tuple(values)


def with_cursor(request: M) -> M:
    """A copy for a provider that pages by itself: its page token is the provider's own.

    Errors: InvalidFields.
    """
    own = type(request)()
    own.CopyFrom(request)
    (own.page_token,) = place(request, str) or ("",)  # type: ignore[attr-defined]
    return own


def _in_utc(value: object) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _mark(request: Message) -> str:
    """Digest of the list's name and of its filters."""
    filters = type(request)()
    filters.CopyFrom(request)
    for name in PAGING:
        if name in request.DESCRIPTOR.fields_by_name:
            filters.ClearField(name)
    data = request.DESCRIPTOR.full_name.encode() + b"\0" + filters.SerializeToString(deterministic=True)
    return base64.b85encode(sha256(data).digest()[:MARK_BYTES]).decode()

"""Preconditions of HTTP (RFC 9110, section 13.1.1): If-Match becomes the etag of a request that has one.

A client that sends it believes that nobody's change is overwritten, so it is never passed over in silence.
"""

from typing import Any

from google.protobuf.message import Message

from genai_spine.errors import InvalidRequest

FIELD = "if-match"


def read(request: Message, if_match: str) -> None:
    """Etag of a request, or of the resource in it, set from the header's one entity tag.

    `*` asks for what has to be there anyway. A weak tag never matches. Errors: InvalidRequest (several tags,
    or another etag in the request).
    """
    holder = _holder(request)
    tag = if_match.strip()
    if holder is None or tag == "*":
        return
    etag = tag[1:-1] if len(tag) > 1 and tag[0] == tag[-1] == '"' else tag
    if '"' in etag and "," in etag:
        raise InvalidRequest(field=FIELD, problem="must be one entity tag")
    if holder.HasField("etag") and holder.etag != etag:
        raise InvalidRequest(field=FIELD, problem="contradicts the etag of the request")
    holder.etag = etag


def _holder(request: Any) -> Any:
    """The message that has the etag: the request, or the resource in it. None: neither has one."""
    fields = request.DESCRIPTOR.fields_by_name
    if "etag" in fields:
        return request
    for name, field in fields.items():
        if field.message_type and not field.is_repeated and "etag" in field.message_type.fields_by_name:
            return getattr(request, name)
    return None

"""Posting of a message to a webhook: signed, to an address that may be connected to, and not redirected."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from genai_spine.errors import InvalidRequest
from genai_spine.security.fetch import Fetcher, FetchFailed, Limits
from genai_spine.security.webhook_signature import signed_headers

MAX_ANSWER_BYTES = 1 << 20  # of a webhook, whose answer nobody reads


class WebhookFailed(Exception):
    """The webhook was not told, or did not say that it was."""


@dataclass(frozen=True, slots=True)
class Posting:
    """Message to post.

    name: setting or field that errors name. secrets: that it is signed with; none: it is not.
    """

    id: str
    url: str = field(repr=False)  # which may be a secret
    body: bytes
    name: str
    secrets: Sequence[bytes] = field(default=(), repr=False)


async def post(fetcher: Fetcher, posting: Posting) -> None:
    """Posts a message. Errors: WebhookFailed."""
    signed = signed_headers(posting.secrets, posting.id, int(time.time()), posting.body)
    headers = {"content-type": "application/json", **signed}
    try:
        answer = await fetcher.post(posting.url, posting.body, headers, name=posting.name)
    except (FetchFailed, InvalidRequest) as error:
        raise WebhookFailed(str(error)) from None
    if not 200 <= answer.status < 300:
        raise WebhookFailed(f"{posting.name}: answers with HTTP status {answer.status}")


def limits(*, is_private: bool) -> Limits:
    """Limits of a webhook. is_private: it may be in a private network, and http is enough."""
    return Limits(
        max_bytes=MAX_ANSWER_BYTES,
        schemes=("https", "http") if is_private else ("https",),
        ports=range(1, 65_536),
        is_public_only=not is_private,
    )

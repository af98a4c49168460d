"""Signatures of webhooks, as the Standard Webhooks specification has them (version 1, symmetric).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from hashlib import sha256

SECRET_PREFIX = "whsec_"


def signed_headers(secrets: Sequence[bytes], id: str, time_s: int, body: bytes) -> dict[str, str]:
    """Headers with a message's id and time, and the HMAC-SHA256 of `id.time.body` by each secret.

    secrets: several while one is rotated; none: it is not signed.
    """
    headers = {"webhook-id": id, "webhook-timestamp": str(time_s)}
    signed = f"{id}.{time_s}.".encode() + body
    digests = [base64.b64encode(hmac.digest(secret, signed, sha256)).decode() for secret in secrets]
    if digests:
        headers["webhook-signature"] = " ".join(f"v1,{digest}" for digest in digests)
    return headers


def secret_bytes(text: str) -> bytes:
    """Bytes that are signed with: of `whsec_...` those of the base64 behind it, else the text's own.

    Errors: ValueError.
    """
    if not text.startswith(SECRET_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ must be base64") from None

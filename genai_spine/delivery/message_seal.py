"""Seal of kept messages: answers of calls that hide personal data, encrypted for their tenant (AES-256-GCM).

A repeat with the same idempotency key gets them back; who reads the database gets nothing.
"""

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from genai_spine.errors import InternalError, InvalidRequest

MARK = b"\0genai-spine sealed 1\0"  # no message of the contract, no JSON and no event begins with a NUL
NONCE_BYTES = 12

KeysOf = Callable[[str], Sequence[bytes]]  # of a tenant, 32 bytes each; the first one makes, all of them open
Messages = AsyncGenerator[bytes]
Numbered = AsyncGenerator[tuple[int, bytes]]


class MessageSeal:
    """Seals and opens messages with the keys of a tenant."""

    def __init__(self, keys_of: KeysOf | None) -> None:
        """keys_of: None where there is no root secret: then nothing can be sealed."""
        self._keys_of = keys_of

    def check(self) -> None:
        """Checks that messages can be sealed. Errors: InvalidRequest."""
        if self._keys_of is None:
            problem = (
                "needs GENAI_SECRET_KEY where personal data is hidden, because its answer is kept sealed"
            )
            raise InvalidRequest(field="idempotency_key", problem=problem)

    async def sealed(self, messages: Messages, tenant_id: str) -> Messages:
        """Messages as they are kept."""
        cipher = self._ciphers(tenant_id)[0]
        async with aclosing(messages):
            async for message in messages:
                nonce = os.urandom(NONCE_BYTES)
                yield MARK + nonce + cipher.encrypt(nonce, message, tenant_id.encode())

    async def opened(self, messages: Numbered, tenant_id: str) -> Numbered:
        """Messages as they were, with their numbers; those that are not sealed as they are."""
        async with aclosing(messages):
            async for number, message in messages:
                is_sealed = message.startswith(MARK)
                yield number, self._opened(message, tenant_id) if is_sealed else message

    def _opened(self, message: bytes, tenant_id: str) -> bytes:
        """Errors: InternalError, where no key of now opens it."""
        from cryptography.exceptions import InvalidTag

        start = len(MARK) + NONCE_BYTES
        for cipher in self._ciphers(tenant_id):
            try:
                opened: bytes = cipher.decrypt(
                    message[len(MARK) : start], message[start:], tenant_id.encode()
                )
                return opened
            except InvalidTag:
                continue
        raise InternalError

    def _ciphers(self, tenant_id: str) -> list[Any]:
        # Few calls are sealed, and the library is a tenth of a server's start.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return [] if self._keys_of is None else [AESGCM(key) for key in self._keys_of(tenant_id)]

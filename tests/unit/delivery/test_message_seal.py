"""Seal of kept messages: only the tenant's keys open them."""

from collections.abc import AsyncGenerator
from typing import TypeVar

import pytest

from genai_spine.access.secrets import RootSecret, of_stored_answers
from genai_spine.delivery.message_seal import MARK, MessageSeal
from genai_spine.errors import InternalError, InvalidRequest

T = TypeVar("T")
OLD, NEW = bytes(32), bytes(range(32))


def seal(*secrets: bytes) -> MessageSeal:
    root = RootSecret(secrets)
    return MessageSeal(lambda tenant: of_stored_answers(root, tenant))


async def each(*values: T) -> AsyncGenerator[T]:
    for value in values:
        yield value


async def kept(maker: MessageSeal, *messages: bytes) -> list[bytes]:
    return [message async for message in maker.sealed(each(*messages), "a")]


async def opened(reader: MessageSeal, tenant: str, *messages: bytes) -> list[bytes]:
    return [message async for _, message in reader.opened(each(*enumerate(messages)), tenant)]


async def test_tenant_gets_its_messages_back_and_they_show_nothing() -> None:
    messages = [b"", b"ann@example.org", b"\x0a\x05hello" * 1000]
    found = await kept(seal(OLD), *messages)
    assert all(message.startswith(MARK) and b"ann@" not in message for message in found)
    assert len(set(await kept(seal(OLD), b"same", b"same"))) == 2
    assert await opened(seal(OLD), "a", *found) == messages
    assert await opened(seal(NEW, OLD), "a", *found, b"plain") == [*messages, b"plain"]


async def test_other_tenants_other_secrets_and_changed_messages_are_refused() -> None:
    [message] = await kept(seal(OLD), b"ann@example.org")
    changed = message[:-1] + bytes([message[-1] ^ 1])
    for reader, tenant, found in (
        (seal(OLD), "b", message),
        (seal(NEW), "a", message),
        (seal(OLD), "a", changed),
    ):
        with pytest.raises(InternalError):
            await opened(reader, tenant, found)


async def test_without_a_secret_nothing_is_sealed() -> None:
    seal(OLD).check()
    with pytest.raises(InvalidRequest, match="GENAI_SECRET_KEY"):
        MessageSeal(None).check()
    assert await opened(MessageSeal(None), "a", b"plain") == [b"plain"]

"""How a stream over REST says that an error ended it: its status is gone, and the edge drops gRPC's.

A message that has an `error` says it in the body. Bytes, of sound or of a file, have no place for one: they
end with a message that is none, at which Envoy resets the stream, so that nobody takes a part for the whole.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.errors import ServiceUnavailable, SpineError

NO_MESSAGE = b"\xff"  # begins no protobuf message of any type


def last_message(before: Message, sent: int, error: SpineError, call: Call) -> Message | bytes:
    """before: the message sent last, which says of what type they are; sent: how many there were."""
    kind = type(before)
    names = kind.DESCRIPTOR.fields_by_name
    if "error" not in names:
        return NO_MESSAGE
    number = {"sequence": sent} if "sequence" in names else {}
    return kind(error=http_answer.error_body(error, call, openai=False)["error"], **number)


class RunningStreams:
    """Streams that a server which stops ends itself, with the reason: grpc would only end them with a
    status, which Envoy passes on to REST callers as the proper end of the body."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._are_cut = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around a stream, in its task. Errors: ServiceUnavailable once the streams are cut."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._are_cut:
                raise
            task.uncancel()
            raise ServiceUnavailable(cause="it is stopping") from None
        finally:
            self._tasks.discard(task)

    def cut(self) -> None:
        self._are_cut = True
        for task in self._tasks:
            task.cancel()

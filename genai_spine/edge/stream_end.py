"""Stream errors over REST: how a stream says that an error ended it, when its status has gone out.

A message type with an `error` field says it in the body. Bytes, of sound or of a file, have no place for one:
they end with an invalid message, at which Envoy resets the stream, so that nobody takes a part for the whole.
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
    """Last message of a failed stream. before: the message sent last, for its type.

    Sent: number of messages.
    """
    kind = type(before)
    names = kind.DESCRIPTOR.fields_by_name
    if "error" not in names:
        return NO_MESSAGE
    number = {"sequence": sent} if "sequence" in names else {}
    return kind(error=http_answer.error_body(error, call, openai=False)["error"], **number)


class RunningStreams:
    """Registry of running streams that a stopping server ends itself, with the reason.

    grpc would end them with a status only, which Envoy passes on to REST callers as a proper end of the body.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._are_cut = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Registration of a stream, around it in its task.

        Errors: ServiceUnavailable once the streams are cut.
        """
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

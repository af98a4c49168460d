"""Stream errors over REST: how a stream says that an error ended it, when its status has gone out.

A message type with an `error` field says it in the body. Bytes, of sound or of a file, have no place for one:
they end with an invalid message, at which Envoy resets the stream, so that nobody takes a part for the whole.
"""

from google.protobuf.message import Message

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.errors import SpineError

NO_MESSAGE = b"\xff"  # begins no protobuf message of any type


def last_message(before: Message, sent: int, error: SpineError, call: Call) -> Message | bytes:
    """Last message of a failed stream. before: the message sent last. sent: number of messages so far."""
    kind = type(before)
    names = kind.DESCRIPTOR.fields_by_name
    if "error" not in names:
        return NO_MESSAGE
    number = {"sequence": call.first_sequence + sent} if "sequence" in names else {}
    return kind(error=http_answer.error_body(error, call, openai=False)["error"], **number)

"""Admission of requests made of a body: what the service interceptor does with those that come typed, and
what makes two bodies equal under an idempotency key.
"""

from hashlib import sha256
from typing import Any

import msgspec
from google.api.httpbody_pb2 import HttpBody

from genai_spine import validation
from genai_spine.call import Call
from genai_spine.errors import InvalidRequest
from genai_spine.openai_api import multipart

KEY = "idempotency_key"
_KEY = b'"idempotency_key"'  # in JSON, and in a form
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def key_of(body: HttpBody) -> str | None:
    """Key that a body names. Errors: InvalidRequest."""
    if _KEY not in body.data:
        return None
    if body.content_type.startswith("multipart/"):
        texts = multipart.parse(body.data, body.content_type).texts.get(KEY)
        return texts[-1] if texts else None
    try:
        given = _object.decode(body.data).get(KEY)
        return None if given is None or bytes(given) == b"null" else _text.decode(given)
    except msgspec.ValidationError:
        raise InvalidRequest(field=KEY, problem="must be a text") from None
    except msgspec.DecodeError:  # which is told of the whole body
        return None


def canonical(body: HttpBody) -> bytes:
    """The same bytes for equal requests: JSON with sorted fields, and forms without their boundary."""
    if body.content_type.startswith("multipart/"):
        form = multipart.parse(body.data, body.content_type)
        files = {name: (file.name, sha256(file.data).hexdigest()) for name, file in form.files.items()}
        return bytes(msgspec.json.encode((sorted(form.texts.items()), sorted(files.items()))))
    try:
        fields = _object.decode(body.data)
    except msgspec.DecodeError:
        return bytes(body.data)
    fields.pop(KEY, None)
    return msgspec.json.encode(sorted(fields.items()))


def admit(request: Any, call: Call) -> None:
    """Check of a message against its field rules; its cost labels become the call's.

    Errors: InvalidFields.
    """
    validation.check(request)
    admitted(request, call)


def admitted(request: Any, call: Call) -> None:
    """The same of a message that is known to be valid."""
    if request.cost_labels:
        call.cost_labels = dict(request.cost_labels)

"""Bodies of the type multipart/form-data, read with the standard library's parser of mail."""

import base64
from email import message_from_bytes
from email.policy import HTTP
from typing import Any


def read(content_type: str, raw: bytes) -> dict[str, Any] | None:
    """The fields of a form as plain JSON; None when it is none. A field whose name ends in [] is a list.

    A file is {"filename", "base64"}.
    """
    if not content_type.startswith("multipart/form-data"):
        return None
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + raw, policy=HTTP)
    fields: dict[str, Any] = {}
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        filename = part.get_filename()
        if filename is not None:
            fields[name] = {"filename": filename, "base64": base64.b64encode(data).decode()}
        elif name.endswith("[]"):
            fields.setdefault(name, []).append(data.decode())
        else:
            fields[name] = data.decode()
    return fields


def data_of(file: dict[str, Any]) -> bytes:
    return base64.b64decode(file["base64"])

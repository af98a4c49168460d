"""Trees: messages and bodies as JSON values, without their bytes.

A tree is what `msgspec.json` encodes: objects, lists, texts, numbers. In the place of bytes stands their size
and their SHA-256, by which a file is known again that somebody still has.
"""

import re
from binascii import Error, a2b_base64
from hashlib import sha256
from typing import Any

import msgspec
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MAX_DEPTH = 60  # of objects and lists in each other
DEEPER = "[deeper]"
BOUNDARY = re.compile(rb'boundary="?([^";,\s]{1,200})')
PART_NAME = re.compile(rb'[;\s]name="([^"]{0,200})"')
PART_FILE = re.compile(rb'[;\s]filename="([^"]{0,500})"')


def of_message(message: Message, depth: int = 0) -> Any:
    """Tree of a message by the names of its fields; of a body, see of_body()."""
    if isinstance(message, HttpBody):
        return of_body(message.data, message.content_type)
    if (
        message.DESCRIPTOR.file.package == "google.protobuf"
    ):  # times, masks and free JSON have a form of their own
        return json_format.MessageToDict(message)
    if depth > MAX_DEPTH:
        return DEEPER
    tree: dict[str, Any] = {}
    for field, value in message.ListFields():
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            inner = kind.fields_by_name["value"]
            tree[field.name] = {str(key): _value(inner, value[key], depth) for key in value}
        elif field.is_repeated:
            tree[field.name] = [_value(field, one, depth) for one in value]
        else:
            tree[field.name] = _value(field, value, depth)
    return tree


def of_body(data: bytes, content_type: str) -> Any:
    """Tree of a body: its JSON, the fields of its form, or its text; otherwise its size and digest."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data" and (boundary := BOUNDARY.search(content_type.encode())):
        return _form(data, boundary[1])
    if kind in ("", "application/json") or kind.endswith("+json"):
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {"text": data.decode("utf-8", "replace")}
    if kind.startswith("text/"):
        return {"text": data.decode("utf-8", "replace")}
    return digest(data, kind)


def digest(data: bytes, kind: str = "") -> str:
    """Digest that stands in the place of bytes: `[image/png, 68 bytes, sha256 ...]`."""
    return seal(len(data), sha256(data).hexdigest(), kind)


def seal(size: int, hexadecimal: str, kind: str = "") -> str:
    return f"[{kind + ', ' if kind else ''}{size} bytes, sha256 {hexadecimal}]"


def digest_of_base64(text: str, kind: str = "") -> str | None:
    """The same of bytes that are written in base64; None: it is none."""
    try:
        data = a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), strict_mode=True)
    except (Error, ValueError):
        return None
    return digest(data, kind)


def _value(field: FieldDescriptor, value: Any, depth: int) -> Any:
    if field.message_type is not None:
        return of_message(value, depth + 1)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return digest(value) if isinstance(value, bytes) else value


def _form(data: bytes, boundary: bytes) -> dict[str, Any]:
    """Fields of a form: texts as they are; of a file its name, size and digest."""
    tree: dict[str, Any] = {}
    for part in data.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        if not (name := PART_NAME.search(head)):
            continue
        value: Any = content.decode("utf-8", "replace")
        if file := PART_FILE.search(head):
            value = {"filename": file[1].decode("utf-8", "replace"), "data": digest(content)}
        key = name[1].decode("utf-8", "replace")
        tree[key] = [tree[key], value] if key in tree else value
    return tree

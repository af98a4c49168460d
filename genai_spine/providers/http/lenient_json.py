"""Lenient decoding of an upstream's JSON: what the strict decoder refused is read as far as it says anything.

Whatever has another type than the Struct wants is turned into it where that is plain (numbers as text, one
object in the place of a list, null in the place of an empty list), and left out where it is not. A Struct
whose fields come in further forms has a classmethod `mended`, which is given the fields as they came.

Nothing here runs for an answer that is well-formed: HttpClient.decode calls it after the strict decoder.
"""

import json
import math
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec import inspect as kinds

T = TypeVar("T")

ABSENT = object()  # what cannot be read; the field keeps its default
# Texts of which a stream brings pieces: half of a character at the end of one may go on in the next.
PIECES = frozenset(
    {"content", "reasoning_content", "reasoning", "refusal", "text", "thinking"}
    | {"arguments", "input", "partial_json", "delta"}
)
_LONE_HALVES = re.compile("[\ud800-\udfff]")
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def read(body: bytes, kind: type[T]) -> T:
    """The body as the kind of a strict decoder. Raises ValueError, RecursionError."""
    value = _fitted(_parsed(body.decode("utf-8", "replace")), kinds.type_info(kind))
    if value is ABSENT:
        raise ValueError(f"no {kind}")
    return value  # type: ignore[no-any-return]


def fields(body: bytes) -> dict[str, Any]:
    """Fields of a body that is a JSON object, or a list of one; none where it is neither."""
    try:
        value = _parsed(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else {}


def member(body: bytes, name: str, kind: type[T]) -> T | None:
    """Last object of that name in a body, which need not be complete JSON; None where there is none."""
    text = body.decode("utf-8", "replace")
    for found in reversed(list(re.finditer(rf'"{name}"\s*:\s*(?=\{{)', text))):
        try:
            value, _ = _DECODER.raw_decode(text, found.end())
        except (ValueError, RecursionError):
            continue
        fitted = _fitted(value, kinds.type_info(kind))
        return None if fitted is ABSENT else fitted
    return None


def text(value: object) -> str:
    """JSON text of a value that has been decoded; halves of characters are U+FFFD."""
    return _ENCODER.encode(_clean(value)).decode()


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=lambda _: None, strict=False)


def _parsed(body: str) -> Any:
    return _DECODER.decode(body.lstrip("\ufeff").strip(" \t\r\n\0"))


def _clean(value: Any) -> Any:
    """Value without halves of characters, and without numbers that JSON has no form for."""
    if isinstance(value, str):
        return _LONE_HALVES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


def _fitted(value: Any, kind: kinds.Type, name: str = "") -> Any:
    """Value of the kind, or ABSENT. name: of the field that holds it."""
    if isinstance(kind, kinds.UnionType):
        return _one_of(value, kind, name)
    if isinstance(kind, kinds.RawType):
        return Raw(text(value).encode())
    if isinstance(kind, kinds.AnyType):
        return _clean(value)
    if value is None:
        return ABSENT
    if isinstance(kind, kinds.StructType):
        return _struct(value, kind.cls)
    if isinstance(kind, kinds.ListType):
        return _list(value, kind.item_type, name)
    if isinstance(kind, kinds.DictType):
        return _dict(value, kind.value_type)
    fit = SCALARS.get(type(kind))
    # Of times, there are no further forms.
    return _converted(value, kind) if fit is None else fit(value, kind, name)


def _one_of(value: Any, kind: kinds.UnionType, name: str) -> Any:
    if value is None and kind.includes_none:
        return None
    for option in kind.types:
        if not isinstance(option, kinds.NoneType) and (fit := _fitted(value, option, name)) is not ABSENT:
            return fit
    return ABSENT


def _struct(value: Any, kind: type[Struct]) -> Any:
    """Struct of a JSON object; ABSENT where a field is missing that has no default."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return ABSENT
    mended: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(kind, "mended", None)
    if mended is not None:
        value = mended(value)
    found = {}
    for field in _fields(kind):
        fit = ABSENT
        if field.encode_name in value:
            fit = _fitted(value[field.encode_name], field.type, field.name)
        if fit is not ABSENT:
            found[field.name] = fit
        elif field.required:
            return ABSENT
    return kind(**found)


@lru_cache(maxsize=256)
def _fields(kind: type[Struct]) -> tuple[kinds.Field, ...]:
    info = kinds.type_info(kind)
    return tuple(info.fields) if isinstance(info, kinds.StructType) else ()


def _list(value: Any, kind: kinds.Type, name: str) -> Any:
    """List of what fits; a single value in its place is a list of one.

    Objects that do not fit are left out; where one of several texts or numbers does not fit, the list is
    ABSENT, because their places count.
    """
    items = value if isinstance(value, list) else [value]
    found = [_fitted(item, kind, name) for item in items]
    if any(fit is ABSENT for fit in found) and not isinstance(kind, kinds.StructType):
        return ABSENT
    found = [fit for fit in found if fit is not ABSENT]
    return found if found or not items else ABSENT


def _dict(value: Any, kind: kinds.Type) -> Any:
    if not isinstance(value, Mapping):
        return ABSENT
    fitted = {_clean(name): _fitted(item, kind) for name, item in value.items()}
    return {name: item for name, item in fitted.items() if item is not ABSENT}


def _str(value: Any, kind: kinds.StrType, name: str) -> Any:
    if isinstance(value, str):
        return value if name in PIECES else _clean(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return ABSENT
    return str(value)


def _number(value: Any) -> float | int | None:
    """Number that a value is, or spells out; None where it is none."""
    if isinstance(value, str):
        try:
            value = Decimal(value.strip())
        except ArithmeticError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, int):
        return value
    if not value.is_finite() or value.adjusted() > 400:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _int(value: Any, kind: kinds.IntType, name: str) -> Any:
    number = _number(value)
    if number is None:
        return ABSENT
    whole = int(number)
    too_small = kind.ge is not None and whole < kind.ge
    too_large = kind.le is not None and whole > kind.le
    return ABSENT if too_small or too_large else whole


def _float(value: Any, kind: kinds.FloatType, name: str) -> Any:
    number = _number(value)
    try:
        return ABSENT if number is None or not math.isfinite(float(number)) else float(number)
    except OverflowError:
        return ABSENT


def _bool(value: Any, kind: kinds.BoolType, name: str) -> Any:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower(), ABSENT)


def _bytes(value: Any, kind: kinds.BytesType, name: str) -> Any:
    try:
        return b64decode(value, validate=True) if isinstance(value, str) else ABSENT
    except (NotBase64, ValueError):
        return ABSENT


def _converted(value: Any, kind: kinds.Type) -> Any:
    """Time of a text, where the strict decoder reads it."""
    try:
        return msgspec.convert(value, datetime) if isinstance(kind, kinds.DateTimeType) else ABSENT
    except msgspec.ValidationError:
        return ABSENT


SCALARS: dict[type[kinds.Type], Callable[[Any, Any, str], Any]] = {
    kinds.StrType: _str,
    kinds.IntType: _int,
    kinds.FloatType: _float,
    kinds.BoolType: _bool,
    kinds.BytesType: _bytes,
}

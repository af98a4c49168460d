"""What the strict decoder refuses is read as far as it says anything, and nothing is made up."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from genai_spine.providers.http import lenient_json


class Inner(Struct, rename="camel"):
    text: str = ""
    long_name: int = 0


class Outer(Struct):
    count: Annotated[int, Meta(ge=0, le=100)] | None = None
    share: float | None = None
    name: str | None = None
    flag: bool = False
    inner: Inner | None = None
    inners: list[Inner] = []
    numbers: list[float] = []
    weights: dict[str, float] = {}
    raw: Raw | UnsetType = UNSET
    anything: Any = None
    data: bytes | None = None
    at: datetime | None = None


class Needed(Struct):
    id: str


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ('{"count":"7"}', "count", 7),
        ('{"count":7.0}', "count", 7),
        ('{"count":"7.9"}', "count", 7),
        ('{"count":101}', "count", None),
        ('{"count":true}', "count", None),
        ('{"count":"many"}', "count", None),
        ('{"count":1e999}', "count", None),
        ('{"share":"0.5"}', "share", 0.5),
        ('{"share":NaN}', "share", None),
        ('{"share":1e5000,"x":tru}', "share", ValueError),
        ('{"name":7}', "name", "7"),
        ('{"name":1.50}', "name", "1.50"),
        ('{"name":false}', "name", None),
        ('{"name":{"a":1}}', "name", None),
        ('{"name":"a\\ud83d"}', "name", "a\ufffd"),
        ('{"name":"\\ud83d\\ude80","count":"1"}', "name", "\U0001f680"),
        ('{"flag":"true"}', "flag", True),
        ('{"flag":0}', "flag", False),
        ('{"flag":"perhaps"}', "flag", False),
        ('{"inner":[{"text":"a","longName":"3"}]}', "inner", Inner("a", 3)),
        ('{"inner":"text"}', "inner", None),
        ('{"inner":{"text":"a\\ud83d"}}', "inner", Inner("a\ud83d")),  # it may go on in the next event
        ('{"inners":{"text":"a"}}', "inners", [Inner("a")]),
        ('{"inners":[null,{"text":"a"},7]}', "inners", [Inner("a")]),
        ('{"inners":null}', "inners", []),
        ('{"inners":7}', "inners", []),
        ('{"numbers":["1",2]}', "numbers", [1.0, 2.0]),
        ('{"numbers":[1,null]}', "numbers", []),  # places count
        ('{"numbers":[1,NaN]}', "numbers", []),
        ('{"weights":{"a":"1","b":null}}', "weights", {"a": 1.0}),
        ('{"weights":[1]}', "weights", {}),
        ('{"anything":{"a":["\\ud83d",1.5]},"count":""}', "anything", {"a": ["\ufffd", 1.5]}),
        ('{"data":"aGk=","count":"1"}', "data", b"hi"),
        ('{"data":"*","count":"1"}', "data", None),
        ('{"at":"2026-01-01T00:00:00Z","count":"1"}', "at", datetime.fromisoformat("2026-01-01T00:00:00Z")),
        ('{"at":"now"}', "at", None),
        ('{"count":1,"count":"2"}', "count", 2),
        ('\ufeff {"count":"2"}\0\n', "count", 2),
        ('{"name":"a\tb\nc"}', "name", "a\tb\nc"),
    ],
)
def test_field_is_read_or_left_out(body: str, field: str, value: Any) -> None:
    if value is ValueError:
        with pytest.raises(ValueError, match="Expecting value"):
            lenient_json.read(body.encode(), Outer)
        return
    assert getattr(lenient_json.read(body.encode(), Outer), field) == value


def test_raw_json_keeps_its_order_and_its_digits() -> None:
    body = b'{"raw":{"z":1.10,"a":12345678901234567890123,"e":1E+5,"h":"\\ud83d"},"count":"1"}'
    raw = lenient_json.read(body, Outer).raw
    assert isinstance(raw, Raw)
    assert bytes(raw) == '{"z":1.10,"a":12345678901234567890123,"e":1E+5,"h":"\ufffd"}'.encode()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"id":null}', b'{"id":{}}', b"\xff"])
def test_what_says_nothing_is_unreadable(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        lenient_json.read(body, Needed)


@pytest.mark.parametrize("body", [b'{"a":' * 100_000, b"[" * 100_000, b'{"id":' + b"9" * 10_000 + b"}"])
def test_hostile_json_is_unreadable(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        lenient_json.read(body, Needed)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"usage":{"count":3},"text":"cut off', 3),
        (b'{"usage":{"count":1}}{"usage" : {"count":"3"}', 3),
        (b'{"usage":null}', None),
        (b'{"usage":{"count":3', None),
        (b"", None),
    ],
)
def test_object_of_a_name_is_found_in_broken_json(body: bytes, count: int | None) -> None:
    found = lenient_json.member(body, "usage", Outer)
    assert (found and found.count) == count


def test_strict_and_lenient_agree_where_both_can_read() -> None:
    body = b'{"count":3,"inner":{"text":"a"},"numbers":[1.5],"data":"aGk=","flag":true}'
    assert lenient_json.read(body, Outer) == msgspec.json.decode(body, type=Outer)

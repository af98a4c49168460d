"""Usage objects as they came, and the calls of upstreams' own tools."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.providers import raw_usage
from genai_spine.providers.raw_usage import RawUsage, last_object, tool_calls
from genai_spine.v1 import usage_pb2

USAGE = {"prompt_tokens": 3, "details": {"cached_tokens": 0, "more": {"x": None}}, "cost": 0.000123}
VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner))


def report(*bodies: bytes, place: str = "") -> str | None:
    told = RawUsage()
    for body in bodies:
        told.add(body, place)
    return told.json


def test_object_is_kept_letter_by_letter() -> None:
    for spelled in (json.dumps(USAGE), json.dumps(USAGE, indent=2)):
        assert report(b'{"id":"x","usage":%b,"tier":"flex"}' % spelled.encode()) == spelled
        for place in ("message", "metadata", "response", "x_groq"):
            body = b'{"type":"t","%b":{"usage":%b}}' % (place.encode(), spelled.encode())
            assert report(body, place=place) == spelled


@pytest.mark.parametrize("body", [b"{}", b'{"usage":null}', b'{"usage":7}', b"[]", b"", b'{"usage":{"a":'])
def test_body_without_usage_has_none(body: bytes) -> None:
    usage = usage_pb2.Usage()
    raw_usage.attach(body, usage)
    assert report(body) is None
    assert not usage.HasField("reported_json")


def test_fields_of_later_events_count_and_what_they_leave_out_stays() -> None:
    begun = b'{"message":{"usage":{"input_tokens":3,"output_tokens":1,"speed":"fast","geo":null}}}'
    told = RawUsage()
    told.add(begun, "message")
    told.add(b'{"usage":{"output_tokens":9,"input_tokens":null,"server_tool_use":{"web_search_requests":2}}}')
    assert json.loads(told.json or "") == {
        "input_tokens": 3,
        "output_tokens": 9,
        "speed": "fast",
        "server_tool_use": {"web_search_requests": 2},
    }


def test_text_that_speaks_of_usage_is_no_usage() -> None:
    said = json.dumps({"content": 'so {"usage":{"a":1}}', "usage": {"b": 2}, "last": '"usage": {"c": 3}'})
    assert last_object(said.encode()) == b'{"b": 2}'


def test_broken_body_still_tells_its_usage() -> None:
    assert report(b'{"choices":[{"text":"cut \xff"}],"usage": {"a":{"b":1}},"x":') == '{"a":{"b":1}}'
    assert report(b'{"usage":{"a":1},"then":[{"usage":null}],broken') == '{"a":1}'


@given(st.dictionaries(st.text(), VALUES, min_size=1), st.dictionaries(st.text(), VALUES))
def test_whatever_the_object_holds_it_is_the_same_json(usage: dict, other: dict) -> None:
    other.pop("usage", None)
    body = json.dumps({**other, "usage": usage}).encode()
    assert json.loads(report(body) or "null") == usage


def test_tools_have_one_name_whoever_counts_them() -> None:
    assert tool_calls({"web_search_requests": 2, "web_fetch_requests": 0}, {"web_search_calls": 3}) == {
        "web_search": 3
    }
    assert tool_calls(None, {"x_search": None, "of_tomorrow": 1, "absurd": 2**40, "negative": -1}) == {
        "of_tomorrow": 1
    }

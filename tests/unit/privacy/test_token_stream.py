"""Tokens put back in texts that are cut anywhere, and in JSON."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from genai_spine.privacy.token_stream import TokenStream, restored_json
from genai_spine.privacy.tokens import TokenMapping, restored

MAPPING = TokenMapping({"<EMAIL_ADDRESS_1>": "ann@example.org", "<OWN_22>": 'a "quoted" \\ value\n<OWN_22>'})
PARTS = [
    "<EMAIL_ADDRESS_1>",
    "<OWN_22>",
    "<",
    ">",
    "<<",
    "<OWN_",
    "22>",
    "<A_1>",
    "x",
    "\\",
    "\\u003c",
    "\\u003e",
    "é",
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


def fed(text: str, cuts: list[int], *, is_json: bool) -> str:
    stream = TokenStream(MAPPING, is_json=is_json)
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = [stream.feed(text[start:end]) for start, end in pairwise(places)]
    return "".join(pieces) + stream.end()


@given(TEXTS, st.lists(st.integers(0, 200)))
def test_pieces_come_back_as_the_whole_text_does(text: str, cuts: list[int]) -> None:
    assert fed(text, cuts, is_json=False) == restored(text, MAPPING)
    assert fed(text, cuts, is_json=True) == restored_json(text, MAPPING)


def test_no_more_than_a_token_is_held_back() -> None:
    stream = TokenStream(MAPPING)
    assert stream.feed("1 < 2, 3 ") == "1 < 2, 3 "
    assert stream.feed("<" + "A" * 200) == "<" + "A" * 200
    assert stream.feed("<OWN") == ""
    assert stream.feed("ER") == ""
    assert stream.feed(" ") == "<OWNER "


def test_values_are_escaped_in_json() -> None:
    for text in ('{"to": "<OWN_22>"}', '{"to": "\\u003cOWN_22\\u003E"}'):
        assert json.loads(restored_json(text, MAPPING)) == {"to": MAPPING.values["<OWN_22>"]}

"""Forms as clients send them, and as nobody should."""

import string
from contextlib import suppress

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.errors import InvalidRequest
from genai_spine.openai_api import multipart
from tests.upstreams import forms

KIND = "multipart/form-data; boundary=XX"
NAMES = st.text(string.ascii_letters + string.digits + "_[].", min_size=1, max_size=20)


def part(head: str, data: bytes) -> bytes:
    return f"--XX\r\n{head}\r\n\r\n".encode() + data + b"\r\n"


def field(name: str, data: bytes = b"x") -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', data)


def file(name: str, filename: str, data: bytes) -> bytes:
    return part(f'content-disposition: form-data; name="{name}"; filename="{filename}"', data)


END = b"--XX--\r\n"


async def encoded(form: aiohttp.FormData) -> tuple[bytes, str]:
    payload = form()
    assert isinstance(payload, aiohttp.MultipartWriter)
    return await payload.as_bytes(), str(payload.headers["content-type"])


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(st.tuples(NAMES, st.text(max_size=200)), max_size=8),
    content=st.binary(min_size=1, max_size=3000),
)
async def test_what_a_client_wrote_is_what_is_read(texts: list[tuple[str, str]], content: bytes) -> None:
    form = aiohttp.FormData(default_to_multipart=True, quote_fields=False)
    for name, text in texts:
        form.add_field(name, text)
    form.add_field("file", content, filename="a b.wav", content_type="audio/wav")
    body, kind = await encoded(form)
    found = multipart.parse(body, kind)
    assert found.file("file") == multipart.FormFile("a b.wav", content)
    for name in {name for name, _ in texts if name != "file"}:
        assert found.texts[name] == [text for other, text in texts if other == name]


@settings(deadline=None, max_examples=100)
@given(
    st.binary(max_size=600),
    st.sampled_from([KIND, "multipart/form-data", "", "text/plain", "é;=,\0", "\u20ac", KIND + "\u20ac"]),
)
def test_any_bytes_are_a_form_or_a_typed_error(body: bytes, kind: str) -> None:
    with suppress(InvalidRequest):
        assert isinstance(multipart.parse(body, kind), multipart.Form)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 300))
def test_a_form_that_is_cut_anywhere_is_refused(cut: int) -> None:
    whole = field("model", b"whisper-1") + file("file", "a.wav", bytes(range(100))) + b"--XX--"
    if cut < len(whole):
        with pytest.raises(InvalidRequest, match="body: not a multipart body"):
            multipart.parse(whole[:cut], KIND)


def test_the_standard_librarys_parser_finds_the_same() -> None:
    body = (
        field("a", b"1") + field("b[]", b"2") + field("b[]", b"3") + file("file", "x.wav", b"\r\n--X\0\xff")
    )
    ours, theirs = multipart.parse(body + END, KIND), forms.read(KIND, body + END)
    assert theirs is not None
    assert (ours.text("a"), ours.texts["b[]"]) == (theirs["a"], theirs["b[]"])
    assert ours.file("file") == multipart.FormFile("x.wav", forms.data_of(theirs["file"]))


@pytest.mark.parametrize(
    ("body", "named", "said"),
    [
        (END, "file", "is required"),
        (field("file"), "file", "must be a file, with a filename"),
        (file("file", "a.wav", b""), "file", "the file is empty"),
        (field("model", b"\xff"), "model", "is not UTF-8"),
        (field("model", b"x" * (multipart.MAX_TEXT_BYTES + 1)), "model", "must have at most 1048576 bytes"),
        (field("x") * 201, "body", "has more than 200 parts"),
        (part("Content-Type: text/plain", b"x"), "body", "part 1 has no name"),
        (part("X-Long: " + "x" * 20_000, b"x"), "body", "Maximum header size exceeded"),
    ],
    ids=range(8),
)
def test_what_is_wrong_is_named(body: bytes, named: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        multipart.parse(body if body.endswith(END) else body + END, KIND).file("file")
    assert refused.value.violations[0][0] == named
    assert said in str(refused.value)


def test_empty_text_is_no_text() -> None:
    found = multipart.parse(field("language", b"") + field("model") + END, KIND)
    assert (found.text("language"), found.text("model"), found.text("prompt")) == (None, "x", None)


@pytest.mark.parametrize("boundary", ["x" * 257, "x" * 5000, '"' + "x" * 300 + '"'])
def test_a_boundary_that_is_too_long_is_a_bad_request(boundary: str) -> None:
    with pytest.raises(InvalidRequest, match="not a multipart body"):
        multipart.parse(b"--x--", f"multipart/form-data; boundary={boundary}")

"""Media types and data: URLs as callers write them, in the one form that upstreams take."""

from base64 import b64encode

import pytest

from genai_spine.media import media_types

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200, 256))
JPEG = b"\xff\xd8\xff\xe0" + bytes(50)
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(40)
PDF = b"%PDF-1.7\n" + bytes(40)


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def lines(text: str) -> str:
    return "\r\n".join(text[at : at + 20] for at in range(0, len(text), 20))


def of_urls(text: str) -> str:
    return text.replace("+", "-").replace("/", "_").rstrip("=")


@pytest.mark.parametrize(
    ("url", "media_type", "content"),
    [
        (f"data:image/png;base64,{base64(PNG)}", "image/png", PNG),
        (f"data:image/jpg;base64,{base64(JPEG)}", "image/jpeg", JPEG),
        (f"data:IMAGE/JPG;BASE64,{base64(JPEG)}", "image/jpeg", JPEG),
        (f"DATA:Image/Png;charset=utf-8;name=a.png;base64,{base64(PNG)}", "image/png", PNG),
        (f"data:image/png; base64,{base64(PNG)}", "image/png", PNG),
        (f"data:;base64,{base64(WEBP)}", "image/webp", WEBP),
        (f"data:application/octet-stream;base64,{base64(PDF)}", "application/pdf", PDF),
        (f"data:image/*;base64,{base64(JPEG)}", "image/jpeg", JPEG),
        (f"data:image/png;base64,{base64(JPEG)}", "image/jpeg", JPEG),
        (f"data:image/png;base64,{lines(base64(PNG))}", "image/png", PNG),
        (f"data:image/png;base64,{of_urls(base64(PNG))}", "image/png", PNG),
        (f"data:image/png;base64,{base64(PNG).replace('+', '%2B').replace('/', '%2F')}", "image/png", PNG),
        (f"data:application/x-pdf;base64,{base64(PDF)}", "application/pdf", PDF),
        ("data:text/plain;charset=utf-8,h%C3%A9", "text/plain", "hé".encode()),
        ("data:,hi", "text/plain", b"hi"),
        (base64(PNG), "image/png", PNG),
        (base64(PDF), "application/pdf", PDF),
    ],
)
def test_a_data_url_has_one_form(url: str, media_type: str, content: bytes) -> None:
    expected = media_types.DataUrl(media_type, base64(content))
    assert media_types.parse(url) == expected
    assert media_types.normalized(url) == expected.url


@pytest.mark.parametrize("url", ["https://example.com/a.png", "data:image/png;base64", "hello", "eA=="])
def test_what_is_no_content_stays_as_it_is(url: str) -> None:
    assert media_types.parse(url) is None
    assert media_types.normalized(url) == url


def test_a_url_in_its_usual_form_is_not_copied() -> None:
    url = f"data:image/png;base64,{base64(PNG)}"
    assert media_types.normalized(url) is url


@pytest.mark.parametrize(
    ("declared", "data", "expected"),
    [
        ("wav", b"", "wav"),
        ("MP3", b"", "mp3"),
        ("audio/mpeg", b"", "mp3"),
        ("audio/x-wav; rate=16000", b"", "wav"),
        (".wav", b"", "wav"),
        ("", b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        ("", b"ID3\x04", "mp3"),
        ("opus", b"", "opus"),
    ],
)
def test_a_sound_has_a_short_name(declared: str, data: bytes, expected: str) -> None:
    assert media_types.audio_format(declared, data) == expected

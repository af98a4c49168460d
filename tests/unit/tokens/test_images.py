"""Images cost what OpenAI's guide says, and their size is read from the head of the file."""

import base64
import struct
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.tokens import images
from genai_spine.tokens.images import count, size
from genai_spine.v1 import message_pb2

HIGH, LOW = message_pb2.IMAGE_DETAIL_HIGH, message_pb2.IMAGE_DETAIL_LOW


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x06\x00\x00\x00"


def jpeg(width: int, height: int) -> bytes:
    application = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\x00" + bytes(9)
    tables = b"\xff\xff\xc4" + struct.pack(">H", 4) + b"\xff\xc0"  # a byte that fills; bytes like a marker
    return b"\xff\xd8" + application + tables + b"\xff\xc2" + struct.pack(">HBHH", 11, 8, height, width)


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + bytes(4) + b"WEBP" + kind + bytes(4) + body


FILES: Mapping[str, bytes] = {
    "png": png(640, 480),
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480),
    "jpeg": jpeg(640, 480),
    "webp, lossy": webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 640, 480 | 0x4000)),
    "webp, lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 639 | 479 << 14)),
    "webp, extended": webp(b"VP8X", bytes(4) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
}


def image(data: bytes, detail: message_pb2.ImageDetail = HIGH) -> message_pb2.ImagePart:
    return message_pb2.ImagePart(data=data, media_type="image/png", detail=detail)


@pytest.mark.parametrize("kind", FILES)
def test_the_size_of_an_image_is_read(kind: str) -> None:
    url = "data:image/png;base64," + base64.b64encode(FILES[kind]).decode()
    assert size(image(FILES[kind])) == size(message_pb2.ImagePart(url=url)) == (640, 480)
    assert size(image(FILES[kind] + bytes(200_000))) == (640, 480)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_ends_early_has_no_size(kind: str) -> None:
    whole = FILES[kind]
    assert not [end for end in range(len(whole) - 5) if size(image(whole[:end])) not in (None, (640, 480))]
    assert size(image(whole[:-5] if kind == "png" else whole[:12])) in (None, (640, 480))


@given(st.binary(max_size=64), st.sampled_from(sorted(FILES)), st.integers(0, 30))
def test_no_bytes_break_the_reader(noise: bytes, kind: str, at: int) -> None:
    found = size(image(FILES[kind][:at] + noise))
    assert found is None or min(found) > 0


@pytest.mark.parametrize(
    "url", ["https://example.org/a.png", "data:image/png,abc", "data:image/png;base64,@@@@", "data:"]
)
def test_an_image_that_is_elsewhere_is_taken_for_one_of_a_megapixel(url: str) -> None:
    assert size(message_pb2.ImagePart(url=url)) is None
    assert count(message_pb2.ImagePart(url=url, detail=HIGH), "gpt-4o") == (765, False)


@pytest.mark.parametrize(
    ("model", "width", "height", "tokens"),
    [
        ("gpt-4o", 1024, 1024, 765),  # the guide's examples
        ("gpt-4o", 2048, 4096, 1105),
        ("openai/gpt-4o", 1024, 1024, 765),
        ("gpt-4.1", 512, 512, 255),
        ("gpt-4o-mini", 1024, 1024, 2833 + 4 * 5667),
        ("o3", 1024, 1024, 75 + 4 * 150),
        ("gpt-5", 1024, 1024, 70 + 4 * 140),
        ("gpt-4.1-mini", 1024, 1024, 1659),  # 1024 patches
        ("gpt-4.1-mini", 1800, 2400, 2353),  # 1452 patches
        ("gpt-4.1-nano", 128, 64, 20),
        ("o4-mini", 128, 64, 14),
        ("gpt-5-mini", 1, 100_000, 2489),
    ],
)
def test_an_image_costs_what_the_guide_says(model: str, width: int, height: int, tokens: int) -> None:
    assert count(image(png(width, height)), model) == (tokens, True)


def test_low_detail_costs_the_same_for_every_size() -> None:
    assert count(message_pb2.ImagePart(url="https://example.org/a.png", detail=LOW), "gpt-4o") == (85, True)
    assert count(image(png(4096, 8192), LOW), "gpt-4o") == (85, True)


def test_where_the_provider_chooses_the_detail_the_count_is_not_certain() -> None:
    assert count(image(png(1024, 1024), message_pb2.IMAGE_DETAIL_AUTO), "gpt-4o") == (765, False)
    assert count(image(png(1024, 1024), message_pb2.IMAGE_DETAIL_UNSPECIFIED), "gpt-4o") == (765, False)


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_no_image_has_more_patches_than_the_most(width: int, height: int) -> None:
    assert 1 <= images._patches(width, height) <= images.MAX_PATCHES
    assert 1 <= images._tiles(width, height) <= 16

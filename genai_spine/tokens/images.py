"""Tokens of images by OpenAI's rules, and how large an image is by the head of its file.

Rules: https://platform.openai.com/docs/guides/images-vision#calculating-costs (2026-11-28). Tiles: the image
is fitted into 2048 x 2048, its shorter side brought down to 768, and 512-pixel tiles are counted. Patches:
32-pixel patches, at most 1536, times a factor.
"""

import base64
import math
import struct
from collections.abc import Callable

from genai_spine.v1 import message_pb2

# (beginning of a model's name, tokens of any image, tokens of a tile); the first that fits counts.
TILES = (
    ("gpt-4o-mini", 2833, 5667),
    ("gpt-5", 70, 140),
    ("o1", 75, 150),
    ("o3", 75, 150),
    ("", 85, 170),
)
PATCHES = (
    ("gpt-4.1-mini", 1.62),
    ("gpt-4.1-nano", 2.46),
    ("gpt-5-mini", 1.62),
    ("gpt-5-nano", 2.46),
    ("o4-mini", 1.72),
)
MAX_PATCHES = 1536
PATCH, TILE, SHORT_SIDE, LONG_SIDE = 32, 512, 768, 2048  # pixels
UNKNOWN = (1024, 1024)  # assumed of an image that only the provider will fetch
HEAD = 64 << 10  # bytes of a file in which its size is looked for; a JPEG may have a thumbnail before it

Size = tuple[int, int]  # width and height in pixels


def count(image: message_pb2.ImagePart, model: str) -> tuple[int, bool]:
    """Tokens of an image, and whether its size and detail were known."""
    name = model.lower().rpartition("/")[2]
    found = size(image)
    known = found is not None and image.detail in (
        message_pb2.IMAGE_DETAIL_HIGH,
        message_pb2.IMAGE_DETAIL_LOW,
    )
    width, height = found or UNKNOWN
    for start, factor in PATCHES:
        if name.startswith(start):
            return math.ceil(_patches(width, height) * factor), known
    base, each = next((base, tile) for start, base, tile in TILES if name.startswith(start))
    if image.detail == message_pb2.IMAGE_DETAIL_LOW:
        return base, True
    return base + each * _tiles(width, height), known


def size(image: message_pb2.ImagePart) -> Size | None:
    """Of a PNG, GIF, JPEG or WebP that is in the request; None: not there, or not to be read."""
    data = image.data[:HEAD] if image.HasField("data") else _from_url(image.url)
    for read in READERS:
        try:
            found = read(data)
        except (struct.error, IndexError):  # the file ends too early
            continue
        if found and min(found) > 0:
            return found
    return None


def _from_url(url: str) -> bytes:
    head, comma, body = url[: HEAD * 4 // 3].partition(",")
    if not (comma and head.lower().startswith("data:") and head.lower().endswith(";base64")):
        return b""
    try:
        return base64.b64decode(body[: len(body) // 4 * 4])
    except ValueError:
        return b""


def _tiles(width: float, height: float) -> int:
    scale = min(1.0, LONG_SIDE / max(width, height))
    scale *= min(1.0, SHORT_SIDE / (min(width, height) * scale))
    return math.ceil(width * scale / TILE) * math.ceil(height * scale / TILE)


def _patches(width: float, height: float) -> int:
    """Patches of the image, shrunk so far that at most MOST_PATCHES cover it."""
    if math.ceil(width / PATCH) * math.ceil(height / PATCH) <= MAX_PATCHES:
        return math.ceil(width / PATCH) * math.ceil(height / PATCH)
    scale = math.sqrt(MAX_PATCHES * PATCH**2 / (width * height))
    across, down = width * scale / PATCH, height * scale / PATCH
    scale *= min(math.floor(across) / across, math.floor(down) / down) if min(across, down) >= 1 else 1.0
    return min(MAX_PATCHES, math.ceil(width * scale / PATCH) * math.ceil(height * scale / PATCH))


def _png(data: bytes) -> Size | None:
    """W3C PNG, section 11.2.1: IHDR is the first chunk."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> Size | None:
    if data[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _jpeg(data: bytes) -> Size | None:
    """ITU T.81: segments until the start of a frame."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a byte that only fills
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp(data: bytes) -> Size | None:
    """RFC 9649: one of three kinds of chunks comes first."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


READERS: tuple[Callable[[bytes], Size | None], ...] = (_png, _gif, _jpeg, _webp)

"""Media types of images, documents and sound: what a data: URL declares, and what the first bytes say.

Callers write them in many ways (image/jpg, IMAGE/PNG, parameters, none at all, base64 with line ends or in
the letters of URLs), upstreams take one. RFC 2397 for data: URLs, RFC 4648 for base64; signatures of files:
https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern, 2026-11-28.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/jpe": "image/jpeg",
    "image/x-jpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-webp": "image/webp",
    "image/x-gif": "image/gif",
    "application/x-pdf": "application/pdf",
    "application/acrobat": "application/pdf",
    "text/pdf": "application/pdf",
    "text/x-markdown": "text/markdown",
}
UNTYPED = frozenset({"", "application/octet-stream", "binary/octet-stream", "image/*", "*/*", "image"})
SIGNATURES = (  # beginning of a file, and its type
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}  # by the bytes 8 to 12
FTYP = {b"heic": "image/heic", b"mif1": "image/heif", b"avif": "image/avif", b"M4A ": "audio/mp4"}
AUDIO_FORMATS = {
    "mpeg": "mp3",
    "mpeg3": "mp3",
    "mpga": "mp3",
    "x-mp3": "mp3",
    "x-mpeg": "mp3",
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "x-pn-wav": "wav",
    "x-flac": "flac",
    "mp4": "m4a",
    "x-m4a": "m4a",
}
BARE = ("iVBORw", "/9j/", "R0lGOD", "UklGR", "JVBER")  # base64 of the beginnings of files
HEAD_CHARS = 64  # of base64, whose bytes are enough for a signature
PLAIN = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,")
ODD = ("\n", "\r", " ", "\t", "-", "_", "%")  # what base64 has beyond its own letters


class DataUrl(NamedTuple):
    """Content of a data: URL: media type in lower case without parameters, and base64 as RFC 4648 has it."""

    media_type: str
    data: str

    @property
    def url(self) -> str:
        """The same as a data: URL without parameters."""
        return f"data:{self.media_type};base64,{self.data}"


def sniffed(data: bytes) -> str | None:
    """Media type that the first bytes tell; None: unknown."""
    for signature, media_type in SIGNATURES:
        if data.startswith(signature):
            return media_type
    if data[:4] == b"RIFF":
        return RIFF.get(data[8:12])
    return FTYP.get(data[8:12]) if data[4:8] == b"ftyp" else None


def canonical(declared: str, data: bytes) -> str:
    """Media type of content: the declared one in its usual form. What the bytes say wins where nothing is
    declared, and among images, because upstreams compare the two.
    """
    media_type = declared.partition(";")[0].strip().lower()
    if media_type in ALIASES:
        return ALIASES[media_type]
    if media_type in UNTYPED:
        return sniffed(data) or media_type
    if media_type.startswith("image/"):
        found = sniffed(data)
        return found if found and found.startswith("image/") else media_type
    return media_type


def is_data_url(url: str) -> bool:
    return url[:5].lower() == "data:"


def parse(url: str) -> DataUrl | None:
    """Content of a data: URL, or of base64 alone where its first letters tell what it is. None: neither."""
    if not is_data_url(url):
        return _bare(url)
    head, comma, payload = url.partition(",")
    if not comma:
        return None
    declared, *parameters = head[5:].split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        content = unquote_to_bytes(payload)
        return DataUrl(canonical(declared or "text/plain", content), b64encode(content).decode())
    data = clean_base64(payload)
    return DataUrl(canonical(declared, _beginning(data)), data)


def normalized(url: str) -> str:
    """URL with its media type and base64 in their usual form; any other as it is."""
    if not is_data_url(url):
        found = _bare(url)
        return found.url if found else url
    if plain := PLAIN.match(url):
        data = url[plain.end() :]
        is_plain = len(data) % 4 == 0 and not any(letter in data for letter in ODD)
        if is_plain and canonical(plain[1], _beginning(data)) == plain[1]:
            return url
    found = parse(url)
    return found.url if found else url


def clean_base64(text: str) -> str:
    """Base64 in its own letters: without white space and escapes, with padding."""
    if "%" in text:
        text = unquote_to_bytes(text).decode("ascii", "replace")
    if any(space in text for space in "\n\r \t"):
        text = "".join(text.split())
    if "-" in text or "_" in text:
        text = text.replace("-", "+").replace("_", "/")
    return text if len(text) % 4 == 0 else text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)


def audio_format(declared: str, data: bytes) -> str:
    """Short name of a sound's encoding, such as wav or mp3; of what is not declared, by its first bytes."""
    name = declared.strip().lower().partition(";")[0].removeprefix("audio/").lstrip(".")
    name = name or (sniffed(data) or "").removeprefix("audio/")
    return AUDIO_FORMATS.get(name, name)


def _bare(text: str) -> DataUrl | None:
    """Content of base64 that stands without the beginning of a data: URL."""
    if not text.startswith(BARE):
        return None
    data = clean_base64(text)
    media_type = sniffed(_beginning(data))
    return DataUrl(media_type, data) if media_type else None


def _beginning(data: str) -> bytes:
    """First bytes of base64; empty where it is none."""
    try:
        return b64decode(data[:HEAD_CHARS])
    except (Base64Error, ValueError):
        return b""

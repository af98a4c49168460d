"""Content as it is logged: a tree without secrets and bytes, as JSON of a limited size."""

import re
from typing import Any

import msgspec

from genai_spine.chunks import with_whole_characters
from genai_spine.request_log.redaction import REDACTED, Redactor, is_secret
from genai_spine.request_log.trees import DEEPER, MAX_DEPTH, digest_of_base64

CUT = "…[cut]"  # stands where something was left out
MARGIN = 4096  # characters behind a cut that are read, so that a secret which begins before it is seen whole
MAX_NODES = 20_000  # values of a tree that are read
READ_TIMES = 4  # characters of all texts together that are read, as a multiple of what is kept
# Members that hold bytes in base64, as APIs name them.
BYTES = frozenset(("data", "b64_json", "file_data", "bytes", "audio", "image", "embedding"))
MIN_BASE64 = 64  # characters; less than that is shown
DATA_URL = re.compile(
    r"data:([\w.+-]{1,80}/[\w.+-]{1,80})?(?:;[\w=.+-]{1,80}){0,8};base64,([A-Za-z0-9+/_=-]*)"
)
# Most characters of a text and most entries of a list or an object, tried until everything fits.
SIZES = ((16_384, 2_000), (4_096, 500), (1_024, 100), (256, 40), (64, 15), (16, 5))


class Content:
    """How trees become JSON: redacted, and cut to a size."""

    def __init__(self, redactor: Redactor, max_bytes: int) -> None:
        self._redactor = redactor
        self._max_bytes = max_bytes

    def json(self, tree: Any) -> tuple[str, bool]:
        """JSON of a tree, at most max_bytes of UTF-8, and whether something is left out."""
        walk = _Walk(self._redactor, self._max_bytes)
        clean = walk.value(tree)
        text = _encoded(clean)
        if len(text) <= self._max_bytes:
            return text.decode(), walk.is_cut
        for length, count in SIZES:
            text = _encoded(_shortened(clean, length, count))
            if len(text) <= self._max_bytes:
                return text.decode(), True
        beginning = _encoded(clean).decode()[: self._max_bytes // 8]  # a character takes 6 bytes at most
        return _encoded({"beginning": beginning + CUT}).decode(), True

    def text(self, text: str, longest: int) -> str:
        """Text of a column: at most so many characters, without secrets, NUL and halves of characters."""
        found = self._redactor.text(text[: longest + MARGIN])
        return with_whole_characters(found[:longest]).replace("\0", "\ufffd")


class _Walk:
    """One way through a tree."""

    def __init__(self, redactor: Redactor, longest: int) -> None:
        self._redactor = redactor
        self._longest = longest
        self._left = MAX_NODES
        self._readable = READ_TIMES * longest
        self.is_cut = False

    def value(self, value: Any, name: str = "", depth: int = 0) -> Any:
        self._left -= 1
        if isinstance(value, str):
            return self._text(value, name)
        if not isinstance(value, dict | list):
            return value
        if depth > MAX_DEPTH:
            self.is_cut = True
            return DEEPER
        if isinstance(value, list):
            return self._list(value, name, depth)
        found: dict[str, Any] = {}
        for key, one in value.items():
            if self._left <= 0:
                self.is_cut = True
                found[CUT] = CUT
                break
            hidden = is_secret(key, value) and isinstance(one, str | int | float | list)
            found[self._text(key, "")] = REDACTED if hidden else self.value(one, key, depth + 1)
        return found

    def _list(self, value: list[Any], name: str, depth: int) -> list[Any]:
        found: list[Any] = []
        for one in value:
            if self._left <= 0:
                self.is_cut = True
                return [*found, CUT]
            found.append(self.value(one, name, depth + 1))
        return found

    def _text(self, text: str, name: str) -> str:
        if name in BYTES and len(text) >= MIN_BASE64 and (found := digest_of_base64(text)):
            return found
        if self._readable <= 0 and text:
            self.is_cut = True
            return CUT
        text, whole = _without_data_urls(text, self._longest + MARGIN)
        self._readable -= len(text)
        text = self._redactor.text(text)
        if whole and len(text) <= self._longest:
            return text
        self.is_cut = True
        return text[: self._longest] + CUT


def _without_data_urls(text: str, longest: int) -> tuple[str, bool]:
    """Beginning of a text with digests in the place of its data: URLs, and whether it is all of it."""
    parts, length, at = [], 0, 0
    while length < longest:
        begin = text.find("data:", at, at + longest - length)
        end = begin if begin >= 0 else at + longest - length
        parts.append(text[at:end])
        length, at = length + len(parts[-1]), end
        if begin < 0:
            break
        found = DATA_URL.match(text, begin)
        seen = found and digest_of_base64(found[2], found[1] or "text/plain")
        parts.append(seen or text[begin : begin + 5])
        length, at = length + len(parts[-1]), found.end() if found and seen else begin + 5
    return "".join(parts), at >= len(text)


def _shortened(value: Any, length: int, count: int) -> Any:
    """Tree with shorter texts, and with the first entries of its lists and objects."""
    if isinstance(value, str):
        return value if len(value) <= length + len(CUT) else value[:length] + CUT
    if isinstance(value, list):
        found = [_shortened(one, length, count) for one in value[:count]]
        return found if len(value) <= count else [*found, CUT]
    if isinstance(value, dict):
        pairs = list(value.items())
        some = {_shortened(key, length, count): _shortened(one, length, count) for key, one in pairs[:count]}
        return some if len(pairs) <= count else some | {CUT: CUT}
    return value


def _encoded(tree: Any) -> bytes:
    try:
        return msgspec.json.encode(tree)
    except UnicodeEncodeError:  # halves of characters, which no UTF-8 has
        return msgspec.json.encode(_mended(tree))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return with_whole_characters(value)
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return value

"""Content codings: answers that come compressed although `accept-encoding: identity` was sent.

gzip, deflate, with zlib's header or raw as some servers send it, and br, in any order and number that the
header names (RFC 9110, section 8.4). What comes out is given out in pieces, so that a small body cannot fill
the memory; the limit on the whole is its reader's.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import brotli

MAX_PIECE_BYTES = 1 << 18  # bytes decoded at a time
MAX_CODINGS = 3  # on top of each other; nobody means more
PLAIN = frozenset(b'{["<:deir \t\r\n\xef')  # first bytes of JSON, HTML and events; none begins a gzip
GZIP, ZLIB, RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


class UndecodableBody(Exception):
    """The answer's body is not what its content-encoding says, or that is not known here."""


class Layer(Protocol):
    """Decoder of one coding."""

    complete: bool  # nothing is missing; true of an empty body

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decoded bytes of what arrived, at most MAX_PIECE_BYTES at a time. Raises UndecodableBody."""


class Inflater:
    """One layer of compression: members of gzip one after another, or one of deflate."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream: Any = zlib.decompressobj(GZIP) if gzip else None
        self._begun = b""  # of deflate, until its header can be told
        self._plain: bool | None = None if gzip else False  # None: nothing has come yet
        self.complete = True  # nothing is missing; true of an empty body

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decoded bytes of what arrived, at most MAX_PIECE_BYTES at a time. Raises UndecodableBody.

        Gateways that decode an answer and leave its header send it plain.
        """
        if self._plain is None and data:
            self._plain = data[0] in PLAIN
        if self._plain:
            yield data
            return
        if self._stream is None:
            data = self._begun = self._begun + data
            self.complete = not data
            if len(data) < 2:
                return
            self._stream = zlib.decompressobj(ZLIB if _has_zlib_header(data) else RAW)
        try:
            yield from self._inflated(data)
        except zlib.error as error:
            raise UndecodableBody(f"the compressed body is broken: {error}") from error

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream.eof:
                if not self._gzip or not data.startswith(b"\x1f"):
                    return  # padding; whatever else it is, the answer was complete before it
                self._stream = zlib.decompressobj(GZIP)
            self.complete = False
            piece = self._stream.decompress(data, MAX_PIECE_BYTES)
            while piece or self._stream.unconsumed_tail:
                yield piece
                piece = self._stream.decompress(self._stream.unconsumed_tail, MAX_PIECE_BYTES)
            self.complete = self._stream.eof
            data = self._stream.unused_data.lstrip(b"\0")


class Brotli:
    """One layer of br (RFC 7932)."""

    def __init__(self) -> None:
        self._stream: Any = brotli.Decompressor()
        self._begun = self._plain = False
        self.complete = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decoded bytes of what arrived, at most MAX_PIECE_BYTES at a time. Raises UndecodableBody.

        A body that was decoded on its way is told by its first bytes, as far as they are no br.
        """
        if self._plain or (self._begun and self.complete):
            yield data if self._plain else b""  # padding, as after a gzip
            return
        try:
            for piece in self._inflated(data):
                self._begun = self._begun or bool(piece)
                yield piece
        except brotli.error as error:
            if self._begun or data[0] not in PLAIN:
                raise UndecodableBody(f"the compressed body is broken: {error}") from error
            self._plain = self.complete = True
            yield data
        self._begun = True

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        # The package fills blocks that grow, the last of them past the limit: by less than as much again.
        limit = MAX_PIECE_BYTES // 2
        self.complete = False
        piece = self._stream.process(data, output_buffer_limit=limit)
        while piece or not self._stream.can_accept_more_data():
            yield piece
            piece = self._stream.process(b"", output_buffer_limit=limit)
        self.complete = self._stream.is_finished()


class Unknown:
    """A layer that nobody here can take off. A body that is empty needs no decoder."""

    complete = True

    def __init__(self, content_encoding: str) -> None:
        self._name = content_encoding[:80]

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Raises UndecodableBody, always."""
        raise UndecodableBody(f"content-encoding {self._name!r} cannot be decoded here")


CODINGS: dict[str, Callable[[], Layer]] = {
    "gzip": partial(Inflater, gzip=True),
    "x-gzip": partial(Inflater, gzip=True),
    "deflate": partial(Inflater, gzip=False),
    "br": Brotli,
}


class ContentDecoder:
    """Decoder of one body, with a layer for each coding that its header names."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        """layers: the last applied first."""
        self._layers = layers

    @staticmethod
    def of(content_encoding: str) -> "ContentDecoder | None":
        """Decoder of a header's value; None where nothing is encoded."""
        names = [name for part in content_encoding.lower().split(",") if (name := part.strip())]
        names = [name for name in names if name not in ("identity", "none")]
        if len(names) > MAX_CODINGS or not CODINGS.keys() >= set(names):
            return ContentDecoder([Unknown(content_encoding)])
        return ContentDecoder([CODINGS[name]() for name in reversed(names)]) if names else None

    @property
    def complete(self) -> bool:
        """Whether the compressed body ended where it said that it would."""
        return all(layer.complete for layer in self._layers)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decoded bytes of what arrived, in pieces that are not empty. Raises UndecodableBody."""
        found: Iterator[bytes] = iter((data,))
        for layer in self._layers:
            found = _through(layer, found)
        return filter(None, found)


def _through(layer: Layer, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from layer.pieces(piece)


def _has_zlib_header(data: bytes) -> bool:
    """Whether two bytes begin a zlib stream (RFC 1950, 2.2), as those of raw deflate hardly ever do."""
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0

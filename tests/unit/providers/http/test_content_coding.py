"""Content codings: what a server compressed unasked is read as if it had not."""

import gzip
import zlib
from functools import partial

import brotli
import pytest

from genai_spine.providers.http import content_coding
from genai_spine.providers.http.content_coding import ContentDecoder, UndecodableBody

gzipped = partial(gzip.compress, mtime=0)  # equal bytes for equal text, at any time
WORDS = b'data: {"choices": []}\n\n' * 50


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


def decoded(coding: str, *parts: bytes) -> tuple[bytes, bool]:
    """The bytes, and whether the body ended where it said."""
    decoder = ContentDecoder.of(coding)
    assert decoder is not None
    found = b"".join(piece for part in parts for piece in decoder.pieces(part))
    return found, decoder.complete


def members(*data: bytes) -> bytes:
    return b"".join(map(gzipped, data))


class TestContentDecoder:
    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            ("gzip", gzipped(WORDS)),
            ("GZip", gzipped(WORDS)),
            ("x-gzip", gzipped(WORDS)),
            ("deflate", zlib.compress(WORDS)),
            ("deflate", raw_deflate(WORDS)),
            ("deflate", zlib.compress(WORDS, 0)),
            ("deflate, gzip", gzipped(zlib.compress(WORDS))),
            ("gzip, deflate", raw_deflate(gzipped(WORDS))),
            ("identity, gzip", gzipped(WORDS)),
            ("gzip", members(WORDS[:7], b"", WORDS[7:])),
            ("gzip", members(WORDS) + b"\0" * 512),
            ("gzip", members(WORDS) + b"padding"),
            ("gzip", members(WORDS[:9]) + b"\0\0" + members(WORDS[9:])),
            ("br", brotli.compress(WORDS)),
            ("br, gzip", gzipped(brotli.compress(WORDS))),
            ("gzip, br", brotli.compress(gzipped(WORDS))),
            ("gzip", WORDS),  # of a gateway that decoded it and left the header
        ],
    )
    def test_body_is_the_same_however_it_was_compressed_and_cut(self, coding: str, body: bytes) -> None:
        assert decoded(coding, body) == (WORDS, True)
        assert decoded(coding, *(body[at : at + 1] for at in range(len(body)))) == (WORDS, True)

    @pytest.mark.parametrize("coding", ["", "identity", "identity, identity", "none", " , "])
    def test_body_that_is_not_encoded_has_no_decoder(self, coding: str) -> None:
        assert ContentDecoder.of(coding) is None

    @pytest.mark.parametrize("wbits", [31, 15, -15], ids=["gzip", "zlib", "raw"])
    def test_what_was_flushed_is_there_before_the_rest(self, wbits: int) -> None:
        decoder = ContentDecoder.of("gzip" if wbits == 31 else "deflate")
        assert decoder is not None
        press = zlib.compressobj(wbits=wbits)
        for number in range(5):
            event = b"data: %d\n\n" % number
            flushed = press.compress(event) + press.flush(zlib.Z_SYNC_FLUSH)
            assert b"".join(decoder.pieces(flushed)) == event
            assert not decoder.complete

    def test_what_brotli_flushed_is_there_before_the_rest(self) -> None:
        decoder, press = ContentDecoder.of("br"), brotli.Compressor()
        assert decoder is not None
        for number in range(5):
            event = b"data: %d\n\n" % number
            assert b"".join(decoder.pieces(press.process(event) + press.flush())) == event
            assert not decoder.complete
        assert b"".join(decoder.pieces(press.finish())) == b""
        assert decoder.complete
        assert b"".join(decoder.pieces(b"padding")) == b""

    @pytest.mark.parametrize("body", [b'{"choices": []}', b'[{"id": "m"}]', b"<html>", WORDS])
    def test_body_that_was_decoded_on_its_way_is_read_though_its_header_says_br(self, body: bytes) -> None:
        assert decoded("br", body) == (body, True)
        assert decoded("br", body, WORDS) == (body + WORDS, True)

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
    @pytest.mark.parametrize("cut", [1, 2, 5, 20])
    def test_body_that_ends_early_is_known(self, coding: str, cut: int) -> None:
        compress = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}[coding]
        body = compress(WORDS)
        assert decoded(coding, body[:-cut])[1] is False
        assert decoded(coding, body[:cut])[1] is False

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
    def test_body_of_nothing_is_complete(self, coding: str) -> None:
        assert decoded(coding) == (b"", True)

    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            ("gzip", gzipped(WORDS)[:-8] + b"\0" * 8),
            ("gzip", zlib.compress(WORDS)),
            ("gzip", b"\x1f\x8b\xff\xff"),
            ("deflate", gzipped(WORDS)),
            ("deflate, gzip", gzipped(b"words")),
            ("br", gzipped(WORDS)),
            ("br", brotli.compress(WORDS)[:9] + b"\xff" * 40),
        ],
    )
    def test_body_that_is_something_else_is_refused(self, coding: str, body: bytes) -> None:
        with pytest.raises(UndecodableBody, match="the compressed body is broken"):
            decoded(coding, body)

    @pytest.mark.parametrize("coding", ["zstd", "compress", "gzip, zstd", "gzip, gzip, gzip, gzip"])
    def test_coding_that_nobody_knows_is_named(self, coding: str) -> None:
        with pytest.raises(UndecodableBody, match=f"content-encoding '{coding}' cannot be decoded here"):
            decoded(coding, b"\x1b\x00")

    @pytest.mark.parametrize("layers", [1, 2, 3])
    def test_bomb_comes_out_in_pieces(self, layers: int) -> None:
        bomb = b"\0" * (64 << 20)
        for _ in range(layers):
            bomb = gzipped(bomb, 9)
        decoder = ContentDecoder.of(", ".join(["gzip"] * layers))
        assert decoder is not None
        sizes = [len(piece) for piece in decoder.pieces(bomb)]
        assert sum(sizes) == 64 << 20
        assert max(sizes) <= content_coding.MAX_PIECE_BYTES

    def test_bomb_of_brotli_comes_out_in_pieces(self) -> None:
        decoder = ContentDecoder.of("br")
        assert decoder is not None
        sizes = [len(piece) for piece in decoder.pieces(brotli.compress(b"\0" * (64 << 20), quality=5))]
        assert sum(sizes) == 64 << 20
        assert max(sizes) <= content_coding.MAX_PIECE_BYTES

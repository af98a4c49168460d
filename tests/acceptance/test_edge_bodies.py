"""Bodies that a caller compressed: taken off at the edge, bounded by what they become, or refused by name."""

import asyncio
import gzip
import json
import random
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.edge import CHAT, CREATE, MIB, POSTS, Edge, check_both_shapes
from tests.acceptance.node import NODE

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT = 32 * MIB
WORDS = [f"word{number}" for number in range(3000)]
TOO_LARGE = "the request body is larger than 33554432 bytes"


def zstd_frame(*blocks: tuple[int, int, bytes], size: int | None = None) -> bytes:
    """A frame of RFC 8878, section 3.1.1. blocks: type (0: raw, 1: one byte repeated), size, content."""
    head = bytes([0xA0 if size is not None else 0])
    head += struct.pack("<I", size) if size is not None else b"\x38"  # window of 128 KiB
    *first, last = blocks
    headers = [2 * kind + 8 * length for kind, length, _ in first] + [1 + 2 * last[0] + 8 * last[1]]
    parts = [struct.pack("<I", word)[:3] + block[2] for word, block in zip(headers, blocks, strict=True)]
    return b"\x28\xb5\x2f\xfd" + head + b"".join(parts)


def zstd(data: bytes) -> bytes:
    """Blocks as they are, which every encoder may write."""
    parts = [data[at : at + 100_000] for at in range(0, len(data), 100_000)] or [b""]
    return zstd_frame(*((0, len(part), part) for part in parts))


def zstd_of_zeros(blocks: int) -> bytes:
    return zstd_frame(*[(1, 128 * 1024, b"0")] * blocks)


SKIPPABLE = b"\x53\x2a\x4d\x18" + struct.pack("<I", 5) + b"12345"
CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "deflate, raw": lambda data: zlib.compress(data, wbits=-15),
    "deflate, least": lambda data: zlib.compress(data, 0),
    "zstd": zstd,
    "zstd, sized": lambda data: zstd_frame((0, len(data), data), size=len(data)),
    "zstd, several": lambda data: SKIPPABLE + zstd(data[:9]) + SKIPPABLE + zstd(data[9:]) + SKIPPABLE,
    "identity": bytes,
}


async def sent(edge: Edge, coding: str, data: bytes, path: str = CHAT, **more: Any) -> Any:
    headers = {"content-encoding": coding.partition(",")[0], **more}
    return await edge.call("POST", path, data=BytesIO(data), headers=headers)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("path", POSTS)
async def test_compressed_body_is_the_body(edge: Edge, coding: str, path: str) -> None:
    answer = await sent(edge, coding, CODINGS[coding](b'{"model": "named"}'), path)
    assert answer.status == 200
    if path == CHAT:
        assert answer.json["body"] == '{"model": "named"}'
        assert "content-encoding" not in answer.json["metadata"]
    if path == CREATE:
        assert answer.json["created"] == len("named") + 2


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate, raw", "zstd"])
@pytest.mark.parametrize("size", [1_000, 70_000, 140_000, 5_000_000])
async def test_body_of_any_size_arrives_whole_in_any_pieces(edge: Edge, coding: str, size: int) -> None:
    words = random.Random(size).choices(WORDS, k=size // 8)
    data = CODINGS[coding](json.dumps({"x": " ".join(words)}).encode())

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, 40, 1):
            yield data[at : at + 1]
        for at in range(40, len(data), 60_000):
            yield data[at : at + 60_000]

    whole = await sent(edge, coding, data)
    headers = {"content-encoding": coding.partition(",")[0]}
    cut = await edge.call("POST", CHAT, data=pieces(), headers=headers)
    expected = len(json.dumps({"x": " ".join(words)}))
    for answer in (whole, cut):
        body = answer.json["body"]
        assert (len(body) if isinstance(body, str) else body) == expected


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
async def test_body_of_equal_bytes_arrives_whole(edge: Edge, coding: str) -> None:
    made = zstd_of_zeros(160) if coding == "zstd" else CODINGS[coding](b"0" * (160 * 128 * 1024))
    assert (await sent(edge, coding, made)).json["body"] == 160 * 128 * 1024


async def test_zstd_of_a_real_encoder_is_read(edge: Edge) -> None:
    script = "process.stdout.write(require('zlib').zstdCompressSync(JSON.stringify({x: 'yz'.repeat(2e6)})))"
    process = await asyncio.create_subprocess_exec(NODE, "-e", script, stdout=asyncio.subprocess.PIPE)
    made, _ = await process.communicate()
    assert (await sent(edge, "zstd", made)).json["body"] == 4_000_008


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", lambda: gzip.compress(b" " * (LIMIT + 1))),
        ("gzip", lambda: gzip.compress(b" " * 300_000_000)),
        ("deflate", lambda: zlib.compress(b" " * 300_000_000)),
        ("zstd", lambda: zstd_of_zeros(257)),
        ("zstd", lambda: zstd_of_zeros(1000)),
        ("zstd", lambda: zstd_of_zeros(8000)),
        ("zstd", lambda: zstd_of_zeros(200_000)),
        ("zstd", lambda: zstd_of_zeros(100) * 100),
    ],
)
async def test_limit_is_on_what_a_body_becomes(edge: Edge, coding: str, packed: Callable[[], bytes]) -> None:
    answer = await sent(edge, coding, await asyncio.to_thread(packed))  # the server answers meanwhile
    assert check_both_shapes(answer, 413, "PAYLOAD_TOO_LARGE") == TOO_LARGE
    assert edge.server.calls == []


async def test_bombs_do_not_fill_the_memory(edge: Edge) -> None:
    packed = await asyncio.to_thread(gzip.compress, b" " * 400_000_000)  # the server answers meanwhile
    bombs = [("gzip", packed), ("zstd", zstd_of_zeros(250_000))]
    for coding, bomb in bombs * 3:
        assert (await sent(edge, coding, bomb)).status == 413
    assert most_memory_mib(edge) < 700


def most_memory_mib(edge: Edge) -> int:
    """The most that Envoy ever had resident."""
    status = Path(f"/proc/{edge.envoy.labels['pid']}/status").read_text()
    return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip", "gzip, zstd", "x", "gzip;q=1", "", "*"])
async def test_other_codings_are_refused_by_name(edge: Edge, coding: str) -> None:
    headers = {"content-encoding": coding}
    answer = await edge.call("POST", CHAT, data=gzip.compress(b"{}"), headers=headers)
    said = check_both_shapes(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert said == "content-encoding: must be gzip, deflate, zstd or identity"
    assert answer.headers["accept-encoding"] == "gzip, deflate, zstd, identity"
    assert edge.server.calls == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("data", [b"named", b"\x1f", b"\x28\xb5\x2f\xfd", b"\xff" * 5000])
async def test_what_is_not_compressed_arrives_as_nothing_and_harms_nobody(
    edge: Edge, coding: str, data: bytes
) -> None:
    answer = await sent(edge, coding, data)
    assert answer.json["body"] in ("", 0)
    assert (await sent(edge, "gzip", gzip.compress(b"{}"))).json["body"] == "{}"


async def test_body_of_a_page_is_compressed_like_any_other(edge: Edge) -> None:
    page = {"origin": "http://localhost:3000", "content-type": "application/json"}
    assert (await sent(edge, "gzip", gzip.compress(b"{}"), **page)).json["body"] == "{}"
    refused = await sent(edge, "gzip", gzip.compress(b"{}"), **{**page, "content-type": "text/plain"})
    assert refused.status == 415


async def test_upload_may_be_compressed(edge: Edge) -> None:
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", b"{}", filename="a.jsonl")
    written = form()
    data = await written.as_bytes()
    answer = await sent(
        edge, "gzip", gzip.compress(data), "/v1/files", **{"content-type": written.content_type}
    )
    assert answer.status == 501  # the scripted server has no files; the edge let it in

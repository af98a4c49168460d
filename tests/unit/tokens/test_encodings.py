"""OpenAI's encodings come from an installed package, with tiktoken's hash, and without a network."""

import asyncio
import gzip
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.tokens import encodings
from tests.unit.tokens.samples import SAMPLES

SHIPPED = ("o200k_base", "cl100k_base", "o200k_harmony")


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that has loaded nothing yet."""
    monkeypatch.setattr(encodings, "_loaded", {})
    monkeypatch.setattr(encodings, "_failed", {})
    monkeypatch.delenv(encodings.CACHE_VARIABLE, raising=False)


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in the place of the package's data."""
    monkeypatch.setattr(encodings, "_places", lambda address: [tmp_path / f"{address.rpartition('/')[2]}.gz"])
    return tmp_path


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-5.4-mini", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-32k", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("openai/gpt-4o", "o200k_base"),
        ("OpenAI/gpt-4o-mini:free", "o200k_base"),
        ("ft:gpt-3.5-turbo:acme::7p4l", "cl100k_base"),
        ("gpt-oss:20b", "o200k_harmony"),
        ("openai.gpt-oss-120b-1:0", "o200k_harmony"),
        ("text-davinci-003", "p50k_base"),
        ("claude-sonnet-4-5", None),
        ("llama3.2:latest", None),
        ("gemini-2.5-pro", None),
        ("mistral-large-latest", None),
        ("gpt-4omega", None),
        ("", None),
    ],
)
def test_an_encoding_is_found_by_the_model(model: str, name: str | None) -> None:
    assert encodings.name_of(model) == name


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_encodings_need_no_network(
    name: str, unloaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*given: object, **named: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    encoding = encodings.load(name)
    assert encoding is not None
    text = "The quick brown fox — Füchse, 狐."
    assert encoding.decode(encoding.encode_ordinary(text)) == text


def test_loading_leaves_tiktoken_as_it_is_and_its_package_of_data_unimported() -> None:
    code = (
        "import sys, tiktoken.load, tiktoken_ext.openai_public as table\n"
        "before = tiktoken.load.read_file_cached, table.load_tiktoken_bpe\n"
        "from genai_spine.tokens import encodings\n"
        "assert encodings.load('o200k_base')\n"
        "assert before == (tiktoken.load.read_file_cached, table.load_tiktoken_bpe)\n"
        "assert not [name for name in sys.modules if name.startswith('bpe_openai')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_known_ids_of_openais_cookbook() -> None:
    o200k, cl100k = encodings.load("o200k_base"), encodings.load("cl100k_base")
    assert o200k is not None
    assert cl100k is not None
    assert cl100k.encode_ordinary("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]
    assert o200k.encode_ordinary("tiktoken is great!") == [83, 8251, 2488, 382, 2212, 0]
    assert encodings.count(cl100k, "お誕生日おめでとう") == 9
    assert encodings.count(o200k, "お誕生日おめでとう") == 8
    assert encodings.count(o200k, "<|endoftext|>") > 1  # text, not the special token


@pytest.mark.parametrize("fault", ["missing", "cut", "no gzip", "another file"])
def test_a_bad_file_is_logged_and_leaves_no_encoding(fault: str, unloaded: None, packaged: Path) -> None:
    data = gzip.compress(b"aGVsbG8= 0\n" * 100)
    given = {"cut": data[:-20], "no gzip": b"hello", "another file": data}
    if fault in given:
        (packaged / "o200k_base.tiktoken.gz").write_bytes(given[fault])
    with structlog.testing.capture_logs() as lines:
        assert encodings.load("o200k_base") is None
        assert encodings.load("o200k_base") is None  # not looked for again at once
    assert [(line["event"], line["encoding"]) for line in lines] == [("encoding_not_available", "o200k_base")]


async def test_an_encoding_that_is_put_there_later_is_found(
    unloaded: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = next(encodings._places("https://x/cl100k_base.tiktoken"))
    places = [tmp_path / "absent"]
    monkeypatch.setattr(encodings, "_places", lambda address: places)
    assert await encodings.ready("cl100k_base") is None
    places.append(real)
    assert await encodings.ready("cl100k_base") is None  # for a while
    monkeypatch.setattr(encodings, "AGAIN_S", 0.0)
    assert await encodings.ready("cl100k_base") is not None


def test_the_operators_cache_is_used_as_tiktoken_lays_it_out(
    unloaded: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    packaged = next(encodings._places(address))
    monkeypatch.setenv(encodings.CACHE_VARIABLE, str(tmp_path))
    cached, *others = encodings._places(address)
    assert cached == tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"  # sha1, as tiktoken names it
    assert others == [packaged]
    cached.write_bytes(gzip.decompress(packaged.read_bytes()))
    monkeypatch.setattr(encodings, "PACKAGE", "no_such_package")
    assert encodings.load("cl100k_base") is not None
    cached.write_bytes(b"broken")
    monkeypatch.setattr(encodings, "_loaded", {})
    assert encodings.load("cl100k_base") is None
    assert cached.read_bytes() == b"broken"  # it is the operator's to repair


async def test_an_encoding_is_loaded_once_and_off_the_loop(
    unloaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    read = encodings._read

    def noted(address: str, expected_hash: str | None = None) -> bytes:
        threads.append(threading.current_thread())
        return read(address, expected_hash)

    monkeypatch.setattr(encodings, "_read", noted)
    found = await asyncio.gather(*(encodings.ready("cl100k_base") for _ in range(8)))
    assert len(set(map(id, found))) == len(threads) == 1
    assert threads[0] is not threading.main_thread()
    assert encodings.loaded("cl100k_base") is found[0]
    assert encodings.loaded(None) is None
    assert await encodings.ready(None) is None


@pytest.mark.parametrize("name", SHIPPED[:2])
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_text_in_pieces_has_as_many_tokens_as_the_whole(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding = encodings.load(name)
    assert encoding is not None
    whole = encodings.count(encoding, SAMPLES[kind] * 3)
    monkeypatch.setattr(encodings, "MAX_PIECE_CHARS", 100)
    monkeypatch.setattr(encodings, "LOOK_BACK", 90)
    assert len(list(encodings.pieces(SAMPLES[kind] * 3))) > 3
    assert encodings.count(encoding, SAMPLES[kind] * 3) == whole


@given(st.text(st.sampled_from("aZé日1 \t\n.,'’/-_(\u0301\u00a0"), max_size=60), st.integers(0, 60))
def test_a_boundary_is_one_whatever_stands_around_it(text: str, at: int) -> None:
    for name in SHIPPED[:2]:
        encoding = encodings.load(name)
        assert encoding is not None
        whole = encoding.encode_ordinary(text)
        for found in encodings.BOUNDARY.finditer(text):
            left, right = text[: found.start()], text[found.start() :]
            assert encoding.encode_ordinary(left) + encoding.encode_ordinary(right) == whole


@given(st.text(max_size=300))
def test_pieces_are_the_text(text: str) -> None:
    assert "".join(encodings.pieces(text * 200)) == text * 200


@pytest.mark.parametrize("run", ["a", " ", "\n", "日", "!?", "aB", "é", "0"])
def test_a_megabyte_without_a_boundary_is_counted(run: str) -> None:
    """Whole, a megabyte of blanks overflows the stack of tiktoken's regex."""
    encoding = encodings.load("o200k_base")
    assert encoding is not None
    longest = encodings.MAX_PIECE_CHARS
    text = run * ((1 << 20) // len(run))
    one = encodings.count(encoding, text[:longest])
    assert encodings.count(encoding, text) == pytest.approx(one * len(text) / longest, rel=0.01)

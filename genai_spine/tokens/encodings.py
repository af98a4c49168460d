"""OpenAI's encodings, offline: tiktoken itself, with data that an installed package carries.

tiktoken downloads its data. Here its own tables and parsers run with another reader of files: first the
operator's TIKTOKEN_CACHE_DIR, then the data files of the package bpe-openai (which is never imported: its
binding is 74 MB). Both must have the sha256 that tiktoken expects, so the ids are OpenAI's. What neither
place has, cannot be had: nothing here opens a connection.

An encoding takes 0.3 s and 40 to 80 MB, so it is loaded when somebody first needs it, once per process.
"""

import asyncio
import gzip
import os
import re
import threading
import zlib
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha1, sha256
from importlib.util import find_spec, module_from_spec
from pathlib import Path, PurePosixPath
from time import monotonic
from types import ModuleType
from typing import Any

import structlog
from tiktoken import Encoding
from tiktoken.model import encoding_name_for_model

CACHE_VARIABLE = "TIKTOKEN_CACHE_DIR"  # tiktoken's own; its layout: sha1 of the file's address
PACKAGE = "bpe_openai"
AGAIN_S = 60.0  # after a failure the files are looked for again, because the operator may have added them
# Characters that tiktoken gets at once. It takes n log n steps for a run without a boundary, and its regex
# overflows its stack, a panic that no `except Exception` catches, at some 100,000 blanks.
MAX_PIECE_CHARS = 16_384
# Between these two characters every encoding starts a new word whatever stands around them, so a text that
# is cut there has as many tokens as the whole one. The apostrophe is not among them ("don't").
BOUNDARY = re.compile(r"(?<=[^\W_])(?=[\s!-&(-/:-@\[-`{-~。、「」（），．！？：；])")
LOOK_BACK = 2048  # characters in which a boundary is looked for

log = structlog.get_logger()
_loaded: dict[str, Encoding] = {}
_failed: dict[str, float] = {}  # name -> time.monotonic() of the last failure
_lock = threading.Lock()


class EncodingMissing(Exception):
    """No intact file of an encoding is on this machine."""


@lru_cache(4096)
def name_of(model: str) -> str | None:
    """The encoding of a model by OpenAI's name for it, as tiktoken knows it; None: not OpenAI's, or newer.

    Gateways put the maker in front ("openai/gpt-4o", "openai.gpt-oss-20b-1:0") and a variant behind
    ("gpt-4o:free", "gpt-oss:20b").
    """
    name = model.lower().rpartition("/")[2].removeprefix("openai.")
    plain = name if name.startswith("ft:") else name.partition(":")[0]
    for candidate in (name, plain, name.replace(":", "-")):
        try:
            return encoding_name_for_model(candidate)
        except KeyError:
            continue
    return None


def loaded(name: str | None) -> Encoding | None:
    """The encoding if it is in memory already; never waits."""
    return _loaded.get(name) if name else None


async def ready(name: str | None) -> Encoding | None:
    """The encoding; loaded in a thread when it is not in memory yet. None: it cannot be had."""
    if name is None or name in _loaded or _failed_lately(name):
        return loaded(name)
    return await asyncio.to_thread(load, name)


def load(name: str) -> Encoding | None:
    """The encoding; blocks for 0.3 s the first time. None, with a line in the log: it cannot be had."""
    with _lock:
        if name in _loaded or _failed_lately(name):
            return _loaded.get(name)
        try:
            _loaded[name] = Encoding(**_tiktoken_parameters(name))
        except (EncodingMissing, ImportError, KeyError, ValueError) as error:
            _failed[name] = monotonic()
            log.warning("encoding_not_available", encoding=name, cause=str(error), instead="estimates")
        return _loaded.get(name)


def count(encoding: Encoding, text: str) -> int:
    """Tokens of a text; what looks like a special token is text.

    Exact up to LONGEST_PIECE characters without a word's end, and one token too many for each of those.
    """
    if len(text) <= MAX_PIECE_CHARS:
        return len(encoding.encode_ordinary(text))
    return sum(len(encoding.encode_ordinary(piece)) for piece in pieces(text))


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of at most LONGEST_PIECE characters, cut at a boundary if there is one near."""
    start = 0
    while len(text) - start > MAX_PIECE_CHARS:
        end = start + MAX_PIECE_CHARS
        cuts = [found.start() for found in BOUNDARY.finditer(text, end - LOOK_BACK, end)]
        end = cuts[-1] if cuts else end
        yield text[start:end]
        start = end
    yield text[start:]


def _failed_lately(name: str) -> bool:
    return monotonic() - _failed.get(name, -AGAIN_S) < AGAIN_S


def _tiktoken_parameters(name: str) -> dict[str, Any]:
    """Parameters that tiktoken makes the encoding of: pattern, ranks, special tokens.

    The two modules are run once more for us alone, so that the reader is replaced for nobody else.
    """
    files, table = _private("tiktoken.load"), _private("tiktoken_ext.openai_public")
    files.read_file_cached = _read  # type: ignore[attr-defined]  # a module's global
    table.load_tiktoken_bpe = files.load_tiktoken_bpe  # type: ignore[attr-defined]
    table.data_gym_to_mergeable_bpe_ranks = files.data_gym_to_mergeable_bpe_ranks  # type: ignore[attr-defined]
    parameters: dict[str, Any] = table.ENCODING_CONSTRUCTORS[name]()
    return parameters


def _private(name: str) -> ModuleType:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is not installed")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read(address: str, expected_hash: str | None = None) -> bytes:
    """tiktoken's read_file_cached without its download. Raises EncodingMissing."""
    problems = []
    for path in _places(address):
        try:
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
        except (OSError, EOFError, zlib.error) as error:
            problems.append(f"{path}: {error}")
            continue
        if sha256(data).hexdigest() == expected_hash:
            return data
        problems.append(f"{path}: not the file that tiktoken expects")
    raise EncodingMissing("; ".join(problems) or f"nothing on this machine has {address}")


def _places(address: str) -> Iterator[Path]:
    if cache := os.environ.get(CACHE_VARIABLE):
        yield Path(cache) / sha1(address.encode(), usedforsecurity=False).hexdigest()
    package = find_spec(PACKAGE)  # finds it without running it
    for folder in (package.submodule_search_locations or ()) if package else ():
        yield Path(folder) / "data" / f"{PurePosixPath(address).name}.gz"

"""Reader processes: documents of callers are read and cut where the kernel limits it.

A process gets MEMORY_LIMIT_BYTES of address space (setrlimit) and WALL_LIMIT_S a document. An ingestion has
one, and starts another where a document ended it.

Protocol: to the process a length (4 bytes, big-endian), JSON of that length, and as many bytes as its `size`
says; back a length and JSON, of `document` and `chunks` or of `kind` and `problem`.
"""

import asyncio
import os
import resource
import signal
import sys
from typing import IO, Any, NamedTuple

import msgspec

from genai_spine.errors import DocumentUnreadable
from genai_spine.retrieval.readers import ReadDocument, Unreadable, read
from genai_spine.text.document_chunks import Chunk, ChunkRules, chunks
from genai_spine.tokens.tokenizer import Tokenizer

MEMORY_LIMIT_BYTES = 1 << 30
WALL_LIMIT_S = 120.0  # a PDF of 1,000 pages takes some 8 s on an idle core
MAX_PROCESSES = max(1, os.cpu_count() or 1)  # of each server process
MAX_CHUNKS = 100_000  # of a document
# All that the process is told of the server's environment, which holds keys.
ENVIRONMENT = (
    *("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LANG"),
    "TIKTOKEN_CACHE_DIR",
)


class Question(msgspec.Struct):
    """Document that is to be read: its size in bytes, and what is known of it."""

    size: int
    name: str
    media_type: str
    model: str  # that embeds: whose tokens are counted
    rules: ChunkRules


class Answer(msgspec.Struct):
    """Document as it was read and cut, or why it cannot be."""

    title: str = ""
    media_type: str = ""
    characters: int = 0
    page_starts: list[int] = []  # characters before each page
    empty_pages: int = 0
    chunks: list[Chunk] = []
    kind: str = ""
    problem: str = ""


class Source(NamedTuple):
    """Content of a document, and what its caller says of it."""

    name: str
    media_type: str
    data: bytes


_places: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


class Reader:
    """Reader of one ingestion. close() at the end."""

    def __init__(self, model: str, rules: ChunkRules, wall_s: float = WALL_LIMIT_S) -> None:
        """model: whose tokens are counted. wall_s: most seconds a document."""
        self._model, self._rules, self._wall_s = model, rules, wall_s
        self._process: asyncio.subprocess.Process | None = None

    async def read(self, source: Source) -> Answer:
        """Document and its chunks. Errors: DocumentUnreadable, also for time and memory."""
        asked = Question(len(source.data), source.name, source.media_type, self._model, self._rules)
        async with _place():
            if self._process is None:
                self._process = await _started()
            try:
                async with asyncio.timeout(self._wall_s):
                    answer = await _exchanged(self._process, msgspec.json.encode(asked), source.data)
            except TimeoutError:
                await self.close()
                problem = f"reading it takes more than {self._wall_s:g} s"
                raise DocumentUnreadable(document=source.name, kind="too_slow", problem=problem) from None
            except (asyncio.IncompleteReadError, ConnectionError):
                await self.close()
                problem = "reading it takes too much memory, or ends its process"
                raise DocumentUnreadable(document=source.name, kind="too_large", problem=problem) from None
            except BaseException:
                await self.close()  # its answer would be taken for the next one's
                raise
        if answer.kind:
            raise DocumentUnreadable(document=source.name, kind=answer.kind, problem=answer.problem)
        return answer

    async def close(self) -> None:
        """Ends the process, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()


def _place() -> asyncio.Semaphore:
    """Places of the processes that read at once."""
    loop = asyncio.get_running_loop()
    for other in [one for one in _places if one.is_closed()]:
        del _places[other]
    return _places.setdefault(loop, asyncio.Semaphore(MAX_PROCESSES))


async def _started() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "genai_spine.retrieval.reader_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # libraries write what they dislike, and so content
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    )


async def _exchanged(process: asyncio.subprocess.Process, asked: bytes, data: bytes) -> Answer:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(asked).to_bytes(4, "big") + asked + data)
    await process.stdin.drain()
    size = int.from_bytes(await process.stdout.readexactly(4), "big")
    body = await process.stdout.readexactly(size)
    return await asyncio.to_thread(msgspec.json.decode, body, type=Answer)


def main(asked: IO[bytes], answered: IO[bytes]) -> None:
    """Worker loop: answers until its standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the server
    while head := asked.read(4):
        question = msgspec.json.decode(asked.read(int.from_bytes(head, "big")), type=Question)
        answer = msgspec.json.encode(_answer(question, asked.read(question.size)))
        answered.write(len(answer).to_bytes(4, "big") + answer)
        answered.flush()


def _answer(question: Question, data: bytes) -> Answer:
    try:
        return _cut(read(data, question.name, question.media_type), question)
    except Unreadable as error:
        return Answer(kind=error.kind, problem=str(error))
    except (MemoryError, RecursionError) as error:
        return Answer(kind="too_large", problem=f"reading it takes too much: {type(error).__name__}")
    except Exception as error:  # of a library, by a file that its makers did not think of
        return Answer(kind="damaged", problem=f"it cannot be read: {type(error).__name__}")


def _cut(found: ReadDocument, question: Question) -> Answer:
    """Chunks of a document. Raises Unreadable."""
    count = asyncio.run(Tokenizer.of(question.model)).count
    cut: list[Any] = []
    for chunk in chunks(found.document, question.rules, count):
        cut.append(chunk)
        if len(cut) > MAX_CHUNKS:
            raise Unreadable("too_large", f"it would have more than {MAX_CHUNKS} chunks")
    return Answer(
        found.title,
        found.media_type,
        len(found.document.text),
        list(found.document.pages),
        found.empty_pages,
        cut,
    )


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)

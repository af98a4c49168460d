"""The response cache: a whole answer is kept, and given again to an equal request that allows it.

In memory, and on demand in the database behind it, which all processes share. The database can only
help: when it is slow or away, an answer is made anew and the call never fails for it.
"""

import asyncio
import re
from time import monotonic
from typing import NamedTuple, TypeVar

import structlog
from cachetools import LRUCache

from genai_spine.errors import InvalidRequest
from genai_spine.store.responses import CachedResponse, Responses
from genai_spine.v1 import completion_service_pb2 as pb

MAX_BODY_BYTES = 1 << 20  # bytes of an answer; a larger one is not kept
ENTRY_BYTES = 512  # what an entry takes besides its answer, about
MAX_AGE_S = 31_536_000  # as cache_max_age_s
DB_TIMEOUT_S = 1.0  # for the database
COOLDOWN_S = 5.0  # after which a database that failed is asked again
MAX_WRITES = 64  # that wait for the database at a time; past that answers stay in memory only

MAX_AGE = re.compile(r"max-age=\"?([0-9]{1,18})\"?")
FINISHED = frozenset((pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH, pb.FINISH_REASON_TOOL_CALLS))

T = TypeVar("T", pb.Completion, pb.CreateEmbeddingsResponse)
log = structlog.get_logger()


class Entry(NamedTuple):
    """One cached answer, serialized."""

    body: bytes
    made: float  # on time.monotonic()


def max_age_s(header: str | None) -> int | None:
    """Maximum age in seconds that X-Cache-Control asks for; None, nothing is looked up or stored.

    max-age=N; no-cache is 0; no-store is None. Directives unknown here are left alone, as HTTP has it.
    Errors: InvalidRequest for a max-age that is no number of seconds up to a year.
    """
    directives = [part.strip().lower() for part in (header or "").split(",")]
    if "no-store" in directives:
        return None
    if "no-cache" in directives:
        return 0
    found = next((part for part in directives if part.startswith("max-age")), None)
    if found is None:
        return None
    matched = MAX_AGE.fullmatch(found)
    if matched is None or int(matched[1]) > MAX_AGE_S:
        problem = f"max-age must be whole seconds from 0 to {MAX_AGE_S}, got {found[:64]!r}"
        raise InvalidRequest(field="X-Cache-Control", problem=problem)
    return int(matched[1])


def is_whole(answer: pb.Completion | pb.CreateEmbeddingsResponse) -> bool:
    """Whether an answer came to its end, unfiltered: only such a one is worth giving again."""
    if isinstance(answer, pb.CreateEmbeddingsResponse):
        return bool(answer.embeddings)
    return bool(answer.choices) and all(choice.finish_reason in FINISHED for choice in answer.choices)


class ResponseCache:
    """All on one event loop; stop() it before the database is closed."""

    def __init__(self, responses: Responses | None, *, ttl_s: float, memory_bytes: int) -> None:
        """responses: None, the cache is this process's own. ttl_s: the longest that an answer is kept."""
        self._responses = responses
        self._ttl_s = ttl_s
        self._memory: LRUCache[str, Entry] = LRUCache(
            memory_bytes, getsizeof=lambda entry: len(entry.body) + ENTRY_BYTES
        )
        self._cooldown_until = 0.0  # the database failed and is left alone
        self._writes: set[asyncio.Task[None]] = set()

    async def find(self, key: str, age_s: float, kind: type[T]) -> T | None:
        """The answer kept under the key, at most age_s seconds old; age_s 0 finds nothing."""
        age_s = min(age_s, self._ttl_s)
        entry = self._memory.get(key)
        if entry is None or monotonic() - entry.made >= age_s:
            entry = await self._stored(key, age_s) if age_s > 0 else None
        return None if entry is None else kind.FromString(entry.body)

    def keep(
        self, key: str, tenant: str, operation: str, answer: pb.Completion | pb.CreateEmbeddingsResponse
    ) -> None:
        """In memory at once, in the database soon; not an answer that is unfinished or too large."""
        if not is_whole(answer):
            return
        body = answer.SerializeToString()
        if len(body) > MAX_BODY_BYTES:
            return
        self._remember(key, Entry(body, monotonic()))
        if self._responses is None or monotonic() < self._cooldown_until or len(self._writes) >= MAX_WRITES:
            return
        response = CachedResponse(tenant, operation, answer.provider, answer.model, body)
        write = asyncio.create_task(self._write(self._responses, key, response))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def stop(self) -> None:
        """Waits for what is being written."""
        if self._writes:
            await asyncio.wait(self._writes)

    def _remember(self, key: str, entry: Entry) -> None:
        known = self._memory.get(key)
        if known is not None and known.made > entry.made:
            return  # a newer answer came while the database was asked
        if len(entry.body) + ENTRY_BYTES <= self._memory.maxsize:
            self._memory[key] = entry
        else:
            self._memory.pop(key, None)  # an older answer must not stand before this one

    async def _stored(self, key: str, age_s: float) -> Entry | None:
        if self._responses is None or monotonic() < self._cooldown_until:
            return None
        try:
            async with asyncio.timeout(DB_TIMEOUT_S):
                found = await self._responses.find(key, age_s)
        except Exception as error:
            self._failed(error)
            return None
        if found is None:
            return None
        entry = Entry(found[0], monotonic() - found[1])
        self._remember(key, entry)
        return entry

    async def _write(self, responses: Responses, key: str, response: CachedResponse) -> None:
        try:
            async with asyncio.timeout(DB_TIMEOUT_S):
                await responses.save(key, response, self._ttl_s)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._cooldown_until = monotonic() + COOLDOWN_S
        log.warning(
            "response_cache_failed", cause=f"{type(error).__name__}: {error}"[:500], cooldown_s=COOLDOWN_S
        )

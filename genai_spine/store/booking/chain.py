"""Hash chain of the ledger: each commit of a process is a batch that lists the versions of rows in it.

A version is listed with a keyed digest of what the row says; a batch is sealed with a keyed hash of its list
and of the batch before it. The key is not in the database, so nobody who changes, deletes or adds rows there
can make a list that agrees. A row has two versions: its intent, which never changes, and its newest
settlement; a settlement that takes the place of another one moves that to `ledger_amendments`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import structlog

from genai_spine.store.tables import executions

INTENT, SETTLEMENT, END = 1, 2, 3  # what is listed; END: another process's chain, as it was when that died
DIGEST_BYTES = 16  # of a version
HASH_BYTES = 32  # of a batch
# What the intent said for good; a settlement leaves it alone, so that its indexes are not touched again.
FIXED = frozenset(
    (
        *("id", "request_id", "operation", "attempt", "caller", "lane", "server_id", "created_at"),
        *("capability", "prompt_id", "prompt_version", "variables_hash", "session_id", "metadata_json"),
        *("principal", "cost_labels", "warnings", "tenant_id", "project_id", "api_key_id"),
        *("run_id", "step_id", "correlation_id", "est_ticks", "counters"),
    )
)
PLACE = ("intent_seq", "settled_by", "settle_seq")  # columns that say which batches list a row
# What budgets change while a call runs, what follows from other columns, and the places themselves.
UNSEALED = frozenset(("est_ticks", "held_ticks", "counters", "cost_usd", *PLACE))
FLAGS = frozenset(("streamed", "wasted", "price_known", "is_free", "success"))
JSON_COLUMNS = frozenset(("cost_labels", "warnings", "server_tools"))

log = structlog.get_logger()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, str, bytes, int]]).decode


class Listed(NamedTuple):
    """Version in a batch, or the end of another chain."""

    kind: int
    id: str  # of the row; of an END the name of the chain
    digest: bytes  # of an END the hash of the chain's last batch
    seq: int = 0  # of an END: of that batch


class Head(NamedTuple):
    """Last batch of a chain."""

    seq: int = 0  # 0: there is none yet
    hash: bytes = b""


class Batch(NamedTuple):
    """Batch that follows a head, as its row has it."""

    seq: int
    hash: bytes
    versions: bytes  # MessagePack: list of Listed

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)


class Seals:
    """Keyed digests (BLAKE2b) of versions and batches."""

    def __init__(self, key: bytes, columns: Sequence[str]) -> None:
        """columns: in the order in which rows come. What is empty is left out of a digest, so that a column
        that is new changes no digest of a row from before.
        """
        self._key = key
        sealed = sorted(str(column.name) for column in executions.c if column.name not in UNSEALED)
        places = {name: place for place, name in enumerate(columns)}
        self._fixed = tuple(name for name in sealed if name in FIXED)
        self._settled = ("id", *(name for name in sealed if name not in FIXED))
        self._get_fixed = itemgetter(*(places[name] for name in self._fixed))
        self._get_settled = itemgetter(*(places[name] for name in self._settled))
        self._resolution = places["resolution"]

    def intent(self, row: Sequence[Any]) -> bytes:
        """Digest of the intent of a row."""
        return self._digest(_pairs(self._fixed, self._get_fixed(row)), b"intent")

    def settled(self, row: Sequence[Any]) -> list[tuple[str, Any]]:
        """Names and values of a settlement, as they are sealed and amended."""
        return _pairs(self._settled, self._get_settled(row))

    def settlement(self, pairs: Sequence[tuple[str, Any]]) -> bytes:
        """Digest of what settled() gives."""
        return self._digest(pairs, b"settlement")

    def late(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The same row as the settlement of a call that was booked as lost."""
        return (*row[: self._resolution], "LATE", *row[self._resolution + 1 :])

    def hash(self, name: str, seq: int, before: bytes, versions: bytes) -> bytes:
        """Hash of a batch of the chain with that name."""
        content = _encode((name, seq, before, versions))
        return blake2b(content, key=self._key, digest_size=HASH_BYTES, person=b"batch").digest()

    def _digest(self, pairs: Sequence[tuple[str, Any]], person: bytes) -> bytes:
        return blake2b(_encode(pairs), key=self._key, digest_size=DIGEST_BYTES, person=person).digest()


class Chain:
    """Chain of one process. One batch at a time is made for it."""

    def __init__(self, key: bytes, name: str | None = None) -> None:
        """key: for this purpose only. name: the first server id of the process; None: some other process."""
        self.name = name or str(uuid4())
        self.head: Head | None = None  # None: the database has to be asked
        self._key = key
        self._reached = 0

    def seals(self, columns: Sequence[str]) -> Seals:
        """Seals with the chain's key."""
        return Seals(self._key, columns)

    def follow(self, seq: int, hash: bytes) -> Head:
        """The head as the database has it."""
        if seq < self._reached:  # somebody deleted what was there
            log.error("ledger_chain_cut", chain=self.name, reached_seq=self._reached, found_seq=seq)
        self.head = Head(seq, hash)
        self._reached = seq
        return self.head

    def flushed(self, seq: int) -> None:
        """Remembers that batches up to this one cannot be forgotten by the database."""
        self._reached = max(self._reached, seq)

    def batch(self, head: Head, seals: Seals, listed: Sequence[Listed]) -> Batch:
        """Batch after a head."""
        versions = _encode(listed)
        seq = head.seq + 1
        return Batch(seq, seals.hash(self.name, seq, head.hash, versions), versions)


def listed_in(versions: bytes) -> list[Listed]:
    """Versions that a batch lists. Errors: msgspec.MsgspecError where somebody wrote other bytes."""
    return [Listed(*one) for one in _decode(versions)]


def chain_of(server_id: str) -> str:
    """Name of the chain that has the intents of a server id; a process that lost its lease gets `<id>.1`."""
    return server_id.partition(".")[0]


def read(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[Any, ...]:
    """Values of a row as any driver gives them, in the form that is sealed."""
    return tuple(_sealed(name, row[name]) for name in columns)


def amendment(pairs: Sequence[tuple[str, Any]]) -> str:
    """JSON object of a settlement that another one takes the place of."""
    return json.dumps(dict(pairs), ensure_ascii=False)


def amended(text: str) -> list[tuple[str, Any]]:
    """Settlement of an amendment, as settled() gave it."""
    found = json.loads(text)
    return list(found.items()) if isinstance(found, dict) else []


def canonical_json(value: Any) -> str:
    """Text of a value of JSON, or of a text of it, in the one form that is sealed."""
    found = json.loads(value) if isinstance(value, str) else value
    return json.dumps(found, sort_keys=True, ensure_ascii=False)


def _sealed(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in FLAGS:
        return bool(value)
    return canonical_json(value) if name in JSON_COLUMNS else value


def _pairs(names: Sequence[str], values: Sequence[Any]) -> list[tuple[str, Any]]:
    pairs = zip(names, values, strict=True)
    return [(name, _text(value) if type(value) is datetime else value) for name, value in pairs if value]


def _text(time: datetime) -> str:
    return time.isoformat(" ", "microseconds")[:26]  # as SQLite has it

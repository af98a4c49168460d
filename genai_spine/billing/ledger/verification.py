"""Verification of the ledger's hash chain: what was changed, deleted, added or cut off in the database.

Each batch is checked against the one before it, and each version that it lists against its row. Rows that no
batch lists are looked for where more of them say that one does than were found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from genai_spine.costs import TICKS_PER_USD
from genai_spine.store.booking.chain import (
    END,
    INTENT,
    Head,
    Listed,
    Seals,
    amended,
    chain_of,
    listed_in,
)
from genai_spine.store.booking.chain_rows import COLUMNS, ChainRows, StoredBatch, StoredRow

PAGE_BATCHES = 200
PAGE_ROWS = 500
# What was found, and what it means.
KINDS = {
    "row_changed": "the row does not say what was written",
    "row_deleted": "the row is not there any more",
    "row_added": "no batch lists the row: it was added, or its batch is gone, or its server had no key",
    "amendment_lost": "the version that was replaced is gone or changed",
    "batch_changed": "the batch does not say what was written",
    "batch_deleted": "batches before this one are gone",
    "chain_cut": "the end of the chain is gone",
    "unknown_key": "the chain was sealed with another secret",
}


class Finding(NamedTuple):
    """One difference between the chain and the rows."""

    kind: str  # of KINDS
    chain: str = ""
    seq: int = 0  # of the batch; 0: it is about no batch
    execution_id: str = ""
    time: str = ""  # of the batch, ISO 8601, UTC


class ChainHead(NamedTuple):
    """End of a chain, which no later verification may miss."""

    chain: str
    seq: int
    hash: str  # hexadecimal


@dataclass(slots=True)
class Verification:
    """Outcome of a verification."""

    heads: list[ChainHead] = field(default_factory=list)
    batches: int = 0
    versions: int = 0
    findings: list[Finding] = field(default_factory=list)


async def verify(
    rows: ChainRows,
    keys: Sequence[bytes],
    before: Sequence[ChainHead] = (),
    progress: Callable[[int], None] = lambda batches: None,
) -> Verification:
    """Verification of all chains in a snapshot.

    keys: those that may have sealed them. before: heads of an earlier verification. progress: gets the number
    of batches that are verified, again and again.
    """
    verifier = _Verifier(rows, keys, progress)
    for name in await rows.chains():
        await verifier.chain(name)
    await verifier.ends(before)
    await verifier.unlisted()
    return verifier.outcome


class _Verifier:
    def __init__(self, rows: ChainRows, keys: Sequence[bytes], progress: Callable[[int], None]) -> None:
        self.outcome = Verification()
        self._rows = rows
        self._seals = [Seals(key, COLUMNS) for key in keys]
        self._progress = progress
        self._ends: list[ChainHead] = []
        self._named: set[tuple[str | int, ...]] = set()  # findings
        self._intents = self._settlements = self._amendments = 0  # that are as their batches say

    async def chain(self, name: str) -> None:
        """One chain from its first batch to its last."""
        head, seals = Head(), None
        while batches := await self._rows.batches(name, head.seq, PAGE_BATCHES):
            if seals is None:
                seals = self._seals_of(name, batches)
            if seals is None:
                self._find("unknown_key", name, batches[0])
                return
            for batch in batches:
                if batch.seq != head.seq + 1:
                    self._find("batch_deleted", name, batch)
                elif seals.hash(name, batch.seq, head.hash, batch.versions) != batch.hash:
                    self._find("batch_changed", name, batch)
                head = Head(batch.seq, batch.hash)
            await self._versions(name, seals, batches)
            self.outcome.batches += len(batches)
            self._progress(self.outcome.batches)
        self.outcome.heads.append(ChainHead(name, head.seq, head.hash.hex()))

    def _seals_of(self, name: str, batches: Sequence[StoredBatch]) -> Seals | None:
        """Seals with the key that agrees with most batches; None: with none of them."""

        def agreeing(seals: Seals) -> int:
            found, before = 0, b""
            for batch in batches:
                found += seals.hash(name, batch.seq, before, batch.versions) == batch.hash
                before = batch.hash
            return found

        best = max(self._seals, key=agreeing)
        return best if agreeing(best) else None

    async def _versions(self, name: str, seals: Seals, batches: Sequence[StoredBatch]) -> None:
        """What some batches list, against the rows."""
        listed = [(batch, one) for batch in batches for one in self._listed(name, batch)]
        self._ends += [ChainHead(one.id, one.seq, one.digest.hex()) for _, one in listed if one.kind == END]
        listed = [(batch, one) for batch, one in listed if one.kind != END]
        self.outcome.versions += len(listed)
        for start in range(0, len(listed), PAGE_ROWS):
            some = listed[start : start + PAGE_ROWS]
            rows = await self._rows.rows(list({one.id for _, one in some}))
            replaced = []
            for batch, one in some:
                if (row := rows.get(one.id)) is None:
                    self._find("row_deleted", name, batch, one.id)
                elif one.kind == INTENT:
                    self._intents += 1
                    self._compare(name, batch, one, _intent(seals, name, batch, row))
                elif (row.claim.settled_by, row.claim.settle_seq) == (name, batch.seq):
                    self._settlements += 1
                    self._compare(name, batch, one, _settlement(seals, row))
                else:
                    replaced.append((batch, one))
            await self._replaced(name, seals, replaced)

    async def _replaced(self, name: str, seals: Seals, listed: Sequence[tuple[StoredBatch, Listed]]) -> None:
        """Settlements that others took the place of."""
        if not listed:
            return
        found = await self._rows.amendments([one.id for _, one in listed])
        for batch, one in listed:
            text = found.get((one.id, name, batch.seq))
            if text is not None and seals.settlement(amended(text)) == one.digest:
                self._amendments += 1
            else:
                self._find("amendment_lost", name, batch, one.id)

    def _listed(self, name: str, batch: StoredBatch) -> list[Listed]:
        if (listed := _readable(batch.versions)) is None:
            self._find("batch_changed", name, batch)
        return listed or []

    def _compare(self, name: str, batch: StoredBatch, one: Listed, digest: bytes | None) -> None:
        if digest != one.digest:
            self._find("row_changed", name, batch, one.id)

    async def ends(self, before: Sequence[ChainHead]) -> None:
        """Ends of chains, as others list them and as they were verified before."""
        for end in [*self._ends, *before]:
            if end.seq and await self._rows.hash(end.chain, end.seq) != bytes.fromhex(end.hash):
                self._add(Finding("chain_cut", end.chain, end.seq))

    async def unlisted(self) -> None:
        """Rows that no batch lists."""
        if (began := await self._rows.began()) is None:
            return
        for id in await self._rows.unlisted(began):
            self._add(Finding("row_added", execution_id=id))
        counts = await self._rows.counts()
        if (counts.intents, counts.settlements) == (self._intents, self._settlements):
            return
        last = ""
        while claims := await self._rows.claims(last, PAGE_ROWS):
            last = claims[-1].id
            places = [
                *((chain_of(row.server_id), row.intent_seq) for row in claims if row.intent_seq is not None),
                *((row.settled_by or "", row.settle_seq) for row in claims if row.settle_seq is not None),
            ]
            found = await self._rows.versions(sorted(set(places)))
            known = {(*place, one.id) for place, text in found.items() for one in _readable(text) or ()}
            for row in claims:
                claimed = [(chain_of(row.server_id), row.intent_seq), (row.settled_by or "", row.settle_seq)]
                for chain, seq in claimed:
                    if seq is not None and (chain, seq, row.id) not in known:
                        self._add(Finding("row_added", chain, seq, row.id))

    def _find(self, kind: str, chain: str, batch: StoredBatch, execution_id: str = "") -> None:
        time = batch.at.isoformat(timespec="milliseconds")
        self._add(Finding(kind, chain, batch.seq, execution_id, time))

    def _add(self, found: Finding) -> None:
        """Notes what was found, once for each row; a batch may list two versions of it."""
        named = (found.kind, found.execution_id) if found.execution_id else found[:3]
        if named not in self._named:
            self._named.add(named)
            self.outcome.findings.append(found)


def _readable(versions: bytes) -> list[Listed] | None:
    try:
        return listed_in(versions)
    except msgspec.MsgspecError:
        return None


def _intent(seals: Seals, name: str, batch: StoredBatch, row: StoredRow) -> bytes | None:
    is_here = (chain_of(row.claim.server_id), row.claim.intent_seq) == (name, batch.seq)
    return seals.intent(row.values) if is_here else None


def _settlement(seals: Seals, row: StoredRow) -> bytes | None:
    if row.cost_usd != row.cost_ticks / TICKS_PER_USD:
        return None
    return seals.settlement(seals.settled(row.values))

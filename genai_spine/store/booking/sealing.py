"""Sealing: the rows of a batch with their places in the chain, and the list of their versions."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from genai_spine.store.booking.chain import (
    INTENT,
    SETTLEMENT,
    Batch,
    Chain,
    Head,
    Listed,
    amendment,
    read,
)
from genai_spine.store.booking.entries import Entry

LAST = "SELECT seq, hash FROM ledger_batches WHERE server_id = {one} ORDER BY seq DESC LIMIT 1"
BATCH_COLUMNS = "server_id, seq, hash, versions, at"
AMENDMENT_COLUMNS = "execution_id, settled_by, settle_seq, kind, old_json, at"


class Sealing:
    """Chain of a process, for rows with these columns."""

    def __init__(self, chain: Chain, columns: Sequence[str]) -> None:
        """columns: of Entry.values; those of the chain come behind them."""
        self.chain = chain
        self.columns = columns
        self.seals = chain.seals(columns)

    @property
    def name(self) -> str:
        return self.chain.name

    def placed(self, head: Head, entry: Entry) -> tuple[Any, ...]:
        """Values of an entry of the batch after a head, the chain's columns included."""
        seq = head.seq + 1
        return (*entry.values, seq, None, None) if entry.is_intent else (*entry.values, seq, self.name, seq)

    def late(self, entry: Entry) -> None:
        """Makes a settlement one of a call that was booked as lost."""
        entry.values = self.seals.late(entry.values)

    def batch(self, head: Head, entries: Sequence[Entry], known: Container[str]) -> Batch:
        """Batch after a head. known: ids of rows that are in the database."""
        listed = []
        for entry in entries:
            if entry.id not in known:
                listed.append(Listed(INTENT, entry.id, self.seals.intent(entry.values)))
            if not entry.is_intent:
                listed.append(self.settlement(entry.id, entry.values))
        return self.chain.batch(head, self.seals, listed)

    def settlement(self, id: str, values: Sequence[Any]) -> Listed:
        """Settlement of a row, as a batch lists it."""
        return Listed(SETTLEMENT, id, self.seals.settlement(self.seals.settled(values)))

    def amended(self, row: Mapping[str, Any], kind: str) -> tuple[Any, ...] | None:
        """Row of ledger_amendments, without its time, of a settlement that is overwritten; None: no batch
        has that.
        """
        if row["settle_seq"] is None:
            return None
        old = amendment(self.seals.settled(read(row, self.columns)))
        return row["id"], row["settled_by"], row["settle_seq"], kind, old

"""Vectors of SQLite's collections in memory: a matrix each, kept up to date, and at most so many megabytes.

Exact search: 100,000 vectors of 768 dimensions take 307 MB, and one query some 15 ms on one core
(2026-11-30). A collection that is larger than the limit is read anew for each query, block by block.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.rag.collections import StoredCollection
from genai_spine.store.rag.vectors import Vector

BLOCK_ROWS = 4096  # vectors that are read at once
HIDDEN = -2.0  # below any cosine
Array = Any  # of numpy
# Whether a document has the content: those of one that is being ingested are not found yet.
VISIBLE = (
    "SELECT v.id, EXISTS (SELECT 1 FROM rag_chunks c WHERE c.collection_id = v.collection_id "
    "AND c.content_hash = v.content_hash) FROM rag_vectors v WHERE v.collection_id = :id"
)
ROWS = "SELECT id, vector FROM rag_vectors WHERE collection_id = :id AND id > :after ORDER BY id LIMIT :size"


class View(NamedTuple):
    """Vectors as they are at one moment. visible: of each row, whether a document has it."""

    ids: tuple[Array, ...]  # of the rows of each block
    blocks: tuple[Array, ...]
    visible: tuple[Array, ...]

    @classmethod
    def of(cls, ids: Sequence[Array], blocks: Sequence[Array], stored: Array) -> "View":
        """View of those rows that are still stored. stored: ids, and whether each is visible."""
        import numpy as np

        there, shown = stored[0], stored[0][stored[1]]
        kept = []
        for own, block in zip(ids, blocks, strict=True):
            left = np.isin(own, there)
            if not left.all():  # what was replaced does not stay for ever
                own, block = own[left], block[left]
            if len(own):
                kept.append((own, block, np.isin(own, shown)))
        return cls(*(tuple(one[place] for one in kept) for place in range(3)))

    @property
    def size_bytes(self) -> int:
        """Bytes of the blocks."""
        return sum(block.nbytes for block in self.blocks)

    def best(self, vector: Vector, size: int, among: Sequence[int] | None) -> list[tuple[int, float]]:
        """Ids of rows and their cosines, the best first. among: ids that count; None: all of them."""
        import numpy as np

        view = self if among is None else self._of(np.fromiter(among, np.int64, len(among)))
        if not view.blocks:
            return []
        ids = np.concatenate(view.ids)
        # Not with @: OpenBLAS' threads spin while they wait for a core, which cost five times the CPU time on
        # a busy machine (numpy 2.4, 2026-12-01).
        scores = np.concatenate([np.einsum("ij,j->i", block, vector) for block in view.blocks])
        scores[~np.concatenate(view.visible)] = HIDDEN
        size = min(size, len(scores))
        top = np.argpartition(scores, len(scores) - size)[len(scores) - size :]
        top = top[np.lexsort((ids[top], -scores[top]))]
        return [(int(ids[at]), float(scores[at])) for at in top if scores[at] > HIDDEN]

    def _of(self, among: Array) -> "View":
        """View of the rows with some ids."""
        import numpy as np

        found = []
        for own, block, visible in zip(self.ids, self.blocks, self.visible, strict=True):
            mask = np.isin(own, among)
            if mask.any():
                found.append((own[mask], block[mask], visible[mask]))
        return View(*(tuple(one[place] for one in found) for place in range(3)))


NO_VIEW = View((), (), ())


@dataclass(slots=True)
class Matrix:
    """Vectors of a collection. revision: content_revision that they were read at."""

    revision: int = -1
    last_id: int = 0
    view: View = NO_VIEW


class Matrices:
    """Matrices of the collections that were searched last, of one process."""

    def __init__(self, database: Database, limit_bytes: Callable[[], int]) -> None:
        self._database, self._limit_bytes = database, limit_bytes
        self._matrices: OrderedDict[str, Matrix] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def best(
        self, stored: StoredCollection, vector: Vector, size: int, among: Sequence[int] | None
    ) -> list[tuple[int, float]]:
        """Ids of vectors and their cosines, the best first. among: ids that count; None: all."""
        async with self._locks.setdefault(stored.id, asyncio.Lock()):
            view = await self._current(stored)
        if view is not None:
            return await asyncio.to_thread(view.best, vector, size, among)
        found: list[tuple[int, float]] = []
        there = await self._stored(stored.id)
        async for ids, block in self._blocks(stored, 0):
            part = await asyncio.to_thread(View.of, [ids], [block], there)
            some = await asyncio.to_thread(part.best, vector, size, among)
            found = sorted([*found, *some], key=lambda hit: -hit[1])[:size]
        return found

    async def _current(self, stored: StoredCollection) -> View | None:
        """Vectors of a collection as they are now; None: they are too many to be kept."""
        limit = self._limit_bytes()
        if stored.collection.chunk_count * stored.dimensions * 4 > limit:
            self._matrices.pop(stored.id, None)
            return None
        matrix = self._matrices.get(stored.id) or Matrix()
        if matrix.revision != stored.content_revision:
            # What is committed while this reads has a later revision, and is read again with that.
            ids, blocks = list(matrix.view.ids), list(matrix.view.blocks)
            async for own, block in self._blocks(stored, matrix.last_id):
                ids.append(own)
                blocks.append(block)
                matrix.last_id = int(own[-1])
            matrix.view = await asyncio.to_thread(View.of, ids, blocks, await self._stored(stored.id))
            matrix.revision = stored.content_revision
        self._matrices[stored.id] = matrix
        self._matrices.move_to_end(stored.id)
        while sum(one.view.size_bytes for one in self._matrices.values()) > limit and len(self._matrices) > 1:
            self._matrices.popitem(last=False)
        return matrix.view

    async def _stored(self, collection_id: str) -> tuple[Array, Array]:
        """Ids of the vectors of a collection, and whether a document has each."""
        import numpy as np

        async with self._database.connect() as connection:
            rows = (await connection.execute(sa.text(VISIBLE), {"id": collection_id})).all()
        count = len(rows)
        ids = np.fromiter((row[0] for row in rows), np.int64, count)
        return ids, np.fromiter((row[1] for row in rows), bool, count)

    async def _blocks(self, stored: StoredCollection, after: int) -> AsyncIterator[tuple[Array, Array]]:
        """Ids and vectors behind an id, block by block."""
        import numpy as np

        while True:
            values = {"id": stored.id, "after": after, "size": BLOCK_ROWS}
            async with self._database.connect() as connection:
                rows = (await connection.execute(sa.text(ROWS), values)).all()
            if not rows:
                return
            ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
            flat = np.frombuffer(b"".join([row[1] for row in rows]), "<f4")
            yield ids, flat.reshape(len(rows), -1)
            after = int(ids[-1])

"""Cost labels of providers' batches, kept from the creation of a batch until its lines are booked."""

from collections.abc import Mapping

from sqlalchemy import select

from genai_spine.store.database import Database
from genai_spine.store.tables import batch_labels


class BatchLabels:
    """The rows of batch_labels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, provider: str, batch_id: str, labels: Mapping[str, str]) -> None:
        """Keeps the labels of a batch, in the place of those that it had."""
        clean = {key: value.replace("\0", "\ufffd") for key, value in labels.items()}
        row = {"provider": provider, "batch_id": batch_id, "cost_labels": clean}
        async with self._database.begin() as connection:
            await connection.execute(self._database.upsert(batch_labels, row))

    async def get(self, provider: str, batch_id: str) -> dict[str, str]:
        """Labels of a batch; empty when it has none."""
        columns = batch_labels.c
        query = select(columns.cost_labels).where(columns.provider == provider, columns.batch_id == batch_id)
        async with self._database.connect() as connection:
            return dict((await connection.execute(query)).scalar_one_or_none() or {})

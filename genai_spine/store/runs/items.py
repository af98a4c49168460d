"""Items of batch runs, in their order."""

from typing import Any

from sqlalchemy import select

from genai_spine.store.database import Database
from genai_spine.store.runs.rows import parsed
from genai_spine.store.runs.tables import run_items
from genai_spine.v1 import batch_pb2, run_pb2
from genai_spine.v1.run_service_pb2 import ListRunItemsRequest


class ItemRows:
    """Table of items."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, request: ListRunItemsRequest, after: int, size: int) -> list[batch_pb2.RunItem]:
        """Items behind a place, one more than a page holds where there are more."""
        query = (
            select(run_items)
            .where(run_items.c.run_id == request.run_id, run_items.c.place > after)
            .order_by(run_items.c.place)
            .limit(size + 1)
        )
        if request.HasField("status"):
            query = query.where(run_items.c.status == request.status)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_item(row, with_work=request.include_work) for row in rows]


def _item(row: Any, *, with_work: bool) -> batch_pb2.RunItem:
    item = batch_pb2.RunItem(
        index=row["place"],
        item_id=row["item_id"],
        status=row["status"],
        attempt=row["attempt"],
        is_reused=row["is_reused"],
    )
    if with_work:
        item.work.ParseFromString(row["work"])
    if row["response"] is not None:
        item.response.ParseFromString(row["response"])
    if (error := parsed(run_pb2.RunError, row["error"])) is not None:
        item.error_type, item.error = error.type, error.message
    if row["ended_at"] is not None:
        item.end_time.FromDatetime(row["ended_at"])
    return item

"""Spending of runs: sums of the ledger's rows of a run and of all runs below it."""

from sqlalchemy import func, select

from genai_spine.costs import cost_of
from genai_spine.store.database import Database
from genai_spine.store.runs.tables import runs
from genai_spine.store.tables import executions
from genai_spine.v1 import run_pb2 as pb

TOKENS = (
    *("input_tokens", "output_tokens", "uncached_input_tokens", "cache_read_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens", "audio_input_tokens", "image_input_tokens"),
    *("visible_output_tokens", "reasoning_tokens", "audio_output_tokens"),
    *("accepted_prediction_tokens", "rejected_prediction_tokens"),
)


class RunSpending:
    """Sums of the ledger by run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fill(self, run: pb.Run) -> None:
        """Writes cost, usage and discarded cost of a run and of all runs below it into its message."""
        below = select(runs.c.id).where(runs.c.id == run.run_id).cte("tree", recursive=True)
        tree = below.union(select(runs.c.id).join(below, runs.c.parent_run_id == below.c.id))
        columns = executions.c
        query = (
            select(
                columns.wasted,
                func.sum(columns.cost_ticks),
                func.count(),
                func.count().filter(columns.price_known.is_(False)),
                func.count().filter(columns.is_free),
                *(func.sum(columns[name]) for name in TOKENS),
            )
            .where(columns.run_id.in_(select(tree.c.id)))
            .group_by(columns.wasted)
        )
        total = discarded = unknown = free = count = 0
        async with self._database.connect() as connection:
            for is_discarded, ticks, number, unpriced, costless, *tokens in await connection.execute(query):
                total, count = total + int(ticks), count + number
                discarded += int(ticks) if is_discarded else 0
                unknown, free = unknown + unpriced, free + costless
                for name, value in zip(TOKENS, tokens, strict=True):
                    setattr(run.usage, name, getattr(run.usage, name) + int(value))
        run.usage.total_tokens = run.usage.input_tokens + run.usage.output_tokens
        run.cost.CopyFrom(cost_of(total, price_known=not unknown, is_free=free == count))
        run.discarded_cost.CopyFrom(cost_of(discarded, price_known=True))

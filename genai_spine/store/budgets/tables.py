"""Table of what runs hold in budgets."""

import sqlalchemy as sa

from genai_spine.store.tables import Counters, metadata

# What a run that has an estimate holds in counters until its calls need it; gone with the run's end.
run_reservations = sa.Table(
    "run_reservations",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("counters", Counters, nullable=False),  # ids of budget_counters
    sa.Column(
        "left_ticks", sa.BigInteger, nullable=False
    ),  # estimate less what its calls hold and have cost; counters hold what is above 0
)

"""Schedule that ships: the daily costs of the service, brought up to date ten minutes after each day's end.

The first server makes it in the default tenant; whoever has deleted it keeps it deleted.
"""

from datetime import UTC, datetime

from genai_spine.call import DEFAULT_TENANT
from genai_spine.schedules import due_times
from genai_spine.store.schedules.schedules import Maker, ScheduleRows, StoredSchedule
from genai_spine.v1.schedule_service_pb2 import Schedule

ID = "00000000-0000-7000-8000-000000000001"
NAME = "genai.daily-costs"
PRINCIPAL = "system"
CRON = "10 0 * * *"
KEY = "cost_rollup_{day_before}"


def schedule() -> Schedule:
    """Schedule as it ships."""
    made = Schedule(
        schedule_id=ID,
        name=NAME,
        target_type="task",
        target_name="genai.aggregate_costs",
        cron_expression=CRON,
        timezone="UTC",
        misfire_grace_seconds=86_400,  # a server that was off at night makes up for it
        enabled=True,
    )
    made.params["date"] = "{day_before}"
    made.options.idempotency_key = KEY
    return made


async def install(rows: ScheduleRows) -> bool:
    """Makes it where it never was; whether this did."""
    made = schedule()
    maker = Maker(DEFAULT_TENANT, PRINCIPAL)
    return await rows.add(StoredSchedule(made, maker, due_times.first(made, datetime.now(UTC))))

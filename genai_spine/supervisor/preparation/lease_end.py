"""End of a lease: run as a process, for a server that has ended, so that the next sweep books its calls.

Standard input: JSON with `database` and `server_id`.
"""

import asyncio
import json
import sys

import structlog

from genai_spine.errors import ServiceUnavailable
from genai_spine.store.database import Database
from genai_spine.store.leases import Leases
from genai_spine.telemetry import logs

LEASE_END_S = 5.0  # at most; then it runs out by itself

log = structlog.get_logger()


async def end(url: str, server_id: str) -> None:
    """Ends the lease of a server process; one that cannot be ended is logged."""
    database = Database(url, 1, 3)
    try:
        if not database.is_scratch:  # which died with its process
            async with asyncio.timeout(LEASE_END_S):
                await Leases(database).release(server_id)
    except (ServiceUnavailable, TimeoutError) as error:
        log.warning("lease_not_ended", server_id=server_id, cause=str(error))
    finally:
        await database.close()


if __name__ == "__main__":
    logs.configure()
    job = json.load(sys.stdin)
    asyncio.run(end(job["database"], job["server_id"]))

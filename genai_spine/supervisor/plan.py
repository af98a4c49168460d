"""Plan of a supervisor: what it needs of the settings, which a child process reads and tells it as JSON.

Settings, database and adapters would be two thirds of a supervisor's memory, for some numbers and addresses
that it is told once. So neither this module nor any other that it imports knows them.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from genai_spine.supervisor.server_process import tied_to_us

PREPARATION, LEASE_END = "genai_spine.cli.service.preparation", "genai_spine.supervisor.preparation.lease_end"


class Refused(Exception):
    """Configuration that cannot be; says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings that a supervisor needs, by their names in Settings where they are such."""

    lane: str
    processes: int
    grpc_host: str
    grpc_port: int
    http_port: int | None
    has_grpc_tls: bool
    api_host: str
    api_port: int
    api_tls: tuple[str, str, str | None] | None  # files of a ListenerCertificate
    symbols_address: tuple[str, int] | None
    cors_origins: tuple[str, ...]
    envoy_admin_port: int
    health_timeout: float
    drain_delay: float
    drain_timeout: float
    restart_drain_timeout: float
    log_level: str
    database: str = field(repr=False)
    is_scratch: bool  # the database is in the memory of a server
    providers: tuple[str, ...]
    default_provider: str  # as the settings have it
    # What stands in for a default model that cannot be called, as variables; none: it can.
    defaults: Mapping[str, str]
    default_model: str  # of a request that names none
    notice: str | None  # about it, for a person
    digests: Mapping[str, str] = field(repr=False)  # of the value of each setting, by name

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> "Plan":
        """Plan of what asdict() makes, and JSON of that."""
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(**{**fields, **lists})


class Reread(NamedTuple):
    """Configuration as it is now."""

    plan: Plan
    changed: list[str]  # settings that a reload cannot change, and that are others now


class PlanReader:
    """Reader of plans, in child processes; each writes the snapshot that servers read."""

    def __init__(self, options: Mapping[str, Any], *, is_edge: bool) -> None:
        """options: of the command line, None where not given. is_edge: there is an Envoy of our own."""
        self._job = {"options": dict(options), "is_edge": is_edge}

    async def first(self, snapshot: Path) -> Plan:
        """Plan of a start, once secret, tables and default model are seen to.

        Raises SystemExit where there is none; why has been said on standard error then.
        """
        status, said = await ran(PREPARATION, {**self._job, "action": "start", "snapshot": str(snapshot)})
        if status:
            raise SystemExit(status)
        return Plan.of_json(json.loads(said)["plan"])

    async def reread(self, plan: Plan, current: Path, snapshot: Path) -> Reread:
        """Plan of the configuration as it is now, whose snapshot is written. Raises Refused.

        plan, current: those in force, the latter as its snapshot.
        """
        job = {
            "action": "reread",
            "current": str(current),
            "snapshot": str(snapshot),
            "defaults": dict(plan.defaults),
            "default_provider": plan.default_provider,
            "digests": dict(plan.digests),
        }
        status, said = await ran(PREPARATION, {**self._job, **job})
        try:
            found = json.loads(said)
        except ValueError:
            raise Refused(f"the reader of the configuration ended with status {status}") from None
        if "refused" in found:
            raise Refused(found["refused"])
        return Reread(Plan.of_json(found["plan"]), found["changed"])


async def ran(module: str, job: Mapping[str, Any]) -> tuple[int, bytes]:
    """Exit status and output of a module that gets a job as JSON; it does not outlive this process."""
    process = await asyncio.create_subprocess_exec(
        *tied_to_us(),
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ},
        start_new_session=True,  # Ctrl-C is ours to take
    )
    try:
        said, _ = await process.communicate(json.dumps(job).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said

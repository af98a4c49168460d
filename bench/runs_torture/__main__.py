"""`python -m bench.runs_torture`: kills workers at random moments of a batch, and looks at what comes of it.

Real processes share a database, and a simulated provider keeps its own bill. The worker that makes the batch
is killed with SIGKILL again and again, and once frozen and woken. Then: every item is once
in the result, no call was repeated but those in flight at kills, watchers saw one sequence without a gap, and
the ledger equals the bill. One seed is always the same work and moments. Exit code 1: something is wrong.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.ledger_torture.__main__ import DATABASES, scratch_url
from bench.runs_torture.run import Options, Report, torture
from genai_spine.costs import usd_of
from genai_spine.store import schema

SHOWN = 50  # problems


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.runs_torture",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Options()
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--items", type=int, default=usual.items)
    parser.add_argument("--kills", type=int, default=usual.kills)
    parser.add_argument("--freezes", type=int, default=usual.freezes)
    parser.add_argument("--workers", type=int, default=usual.workers, help="processes")
    parser.add_argument("--at-once", type=int, default=usual.at_once, help="items in flight")
    parser.add_argument("--lease", type=float, default=usual.lease_s, help="seconds of a worker's lease")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    options = Options(
        given.seed,
        given.items,
        given.kills,
        given.freezes,
        given.workers,
        given.at_once,
        lease_s=given.lease,
    )
    failed = False
    for name in DATABASES if given.database == "both" else (given.database,):
        report = _tortured(options, name)
        failed = failed or bool(report.verdict.problems)
        print(json.dumps(told(report, name)) if given.json else printed(report, name), flush=True)
    sys.exit(int(failed))


def _tortured(options: Options, name: str) -> Report:
    with tempfile.TemporaryDirectory(prefix="genai-spine-torture-") as folder, scratch_url(name) as url:
        asyncio.run(schema.upgrade(url))
        return asyncio.run(torture(options, url, Path(folder)))


def told(report: Report, name: str) -> dict[str, Any]:
    """A report as JSON."""
    found = report.verdict
    return {
        "database": name,
        "seed": report.options.seed,
        "items": report.options.items,
        "killed": report.killed,
        "frozen": report.frozen,
        "sends": found.sends,
        "repeated": found.repeated,
        "in_flight_at_kills": found.at_kills,
        "in_flight_at_lost_leases": found.at_lost_leases,
        "reported_rows": found.reported_rows,
        "reported_usd": usd_of(found.reported_ticks),
        "other_rows": found.other_rows,
        "other_booked_usd": usd_of(found.other_ticks),
        "other_billed_usd": usd_of(found.other_billed_ticks),
        "events": report.events,
        "connections": report.connections,
        "event_types": dict(report.event_types),
        "problems": found.problems[:SHOWN],
        "took_s": round(report.took_s, 1),
    }


def printed(report: Report, name: str) -> str:
    """A report as lines."""
    facts = told(report, name)
    problems = facts.pop("problems")
    lines = [f"{name.replace('_', ' '):<24}{value}" for name, value in facts.items()]
    said = f"{len(report.verdict.problems)} problems" if problems else "no problem"
    return "\n".join([*lines, said, *problems, ""])


if __name__ == "__main__":
    main()

"""`python -m bench.ledger_torture`: kills servers at random moments and holds the ledger against the bill.

Real server processes share a database, and a simulated provider keeps its own bill. While calls of all kinds
are made, servers are killed with SIGKILL: before a call is sent, before its first byte, in the middle of its
stream and before its settlement. One seed is always the same schedule of calls and kills. Exit code 1:
something is wrong.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ledger_torture.run import Options, Report, torture
from genai_spine.costs import TICKS_PER_USD
from genai_spine.store import schema
from tests.databases import PostgresServer

DATABASES = ("sqlite", "postgresql")
SHOWN = 50  # problems


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ledger_torture",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Options()
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--calls", type=int, default=usual.calls)
    parser.add_argument("--kills", type=int, default=usual.kills)
    parser.add_argument("--servers", type=int, default=usual.servers, help="processes")
    parser.add_argument("--at-once", type=int, default=usual.at_once, help="calls in flight")
    parser.add_argument("--lease", type=float, default=usual.lease_s, help="seconds of a server's lease")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    options = Options(given.seed, given.calls, given.kills, given.servers, given.at_once, given.lease)
    failed = False
    for name in DATABASES if given.database == "both" else (given.database,):
        report = _tortured(options, name)
        failed = failed or bool(report.problems)
        print(json.dumps(told(report, name)) if given.json else printed(report, name), flush=True)
    sys.exit(int(failed))


def _tortured(options: Options, name: str) -> Report:
    with tempfile.TemporaryDirectory(prefix="genai-spine-torture-") as folder, scratch_url(name) as url:
        asyncio.run(schema.upgrade(url))
        return asyncio.run(torture(options, url, Path(folder)))


@contextmanager
def scratch_url(name: str) -> Iterator[str]:
    """A database of its own, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="genai-spine-torture-"))
    folder.chmod(0o755)  # PostgreSQL's own user reads it
    try:
        if name == "sqlite":
            yield f"sqlite:///{folder}/torture.db"
            return
        server = PostgresServer(folder)
        try:
            yield server.url(server.create())
        finally:
            server.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def told(report: Report, name: str) -> dict[str, Any]:
    """A report as JSON."""
    found, lines = report.verdict, report.verdict.lines
    return {
        "database": name,
        "seed": report.schedule.seed,
        "schedule": report.schedule.digest,
        "calls": len(report.schedule.calls),
        "sends": report.sends,
        "kills": {str(stage): count for stage, count in report.kills.done.items()},
        "kills_left": report.kills.left,
        "endings": {str(ending): count for ending, count in found.endings.items()},
        "rows": {
            kind: [line.rows, line.sent, line.booked_ticks, line.billed_ticks] for kind, line in lines.items()
        },
        "replays": report.replays,
        "looks": report.watch.looks,
        "verifications": report.watch.verifications,
        "chains": len(report.watch.verified.heads),
        "chained_versions": report.watch.verified.versions,
        "problems": report.problems,
        "took_s": round(report.took_s, 1),
    }


def printed(report: Report, name: str) -> str:
    """A report as tables."""
    facts = told(report, name)
    lines = [
        f"{name}, seed {facts['seed']} (schedule {facts['schedule']}), {facts['took_s']} s",
        f"{facts['calls']} calls, sent {facts['sends']} times; {facts['replays']} replays; "
        f"{facts['looks']} looks at the invariants",
        f"{facts['verifications']} verifications of the chain; {facts['chained_versions']} versions in "
        f"{facts['chains']} chains at the end",
        "",
        *(f"{stage:<40}{count:>8} kills" for stage, count in sorted(facts["kills"].items())),
        f"{'no occasion came':<40}{facts['kills_left']:>8} kills",
        *(f"{ending:<40}{count:>8} calls" for ending, count in sorted(facts["endings"].items())),
        "",
        f"{'rows of the ledger':<40}{'rows':>8}{'sent':>8}{'booked, USD':>16}{'billed, USD':>16}",
    ]
    for kind, (rows, sent, booked, billed) in sorted(facts["rows"].items()):
        usd = f"{booked / TICKS_PER_USD:>16.10f}{billed / TICKS_PER_USD:>16.10f}"
        lines.append(f"{kind:<40}{rows:>8}{sent:>8}{usd}")
    problems = facts["problems"]
    lines += [
        "",
        f"{len(problems)} problems" if problems else "no problem: ledger and bill agree to the tick",
    ]
    return "\n".join(lines + problems[:SHOWN])


if __name__ == "__main__":
    main()

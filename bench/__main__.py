"""`python -m bench`: the table of the README. `walk` counts what a call goes through; `compare` sets two
checkouts against each other.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from bench import compare, paired, rows, table, walk
from bench.measures import MEASURES
from bench.processes import ROOT


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("--count", type=int, default=2000, help="calls per round of the rates")
    options.add_argument("--calls", type=int, default=200_000, help="calls of the memory test")
    options.set_defaults(run=_table)
    commands = options.add_subparsers(title="commands")
    walking = commands.add_parser("walk", help=walk.__doc__, description=walk.__doc__)
    walking.add_argument(
        "--tree", type=Path, default=ROOT, help="checkout to walk through; default: this one"
    )
    walking.add_argument("--list", action="store_true", help="print each call's files, in order")
    walking.set_defaults(run=_walk)
    comparing = commands.add_parser("compare", help=compare.__doc__, description=compare.__doc__)
    comparing.add_argument("old", type=Path, help="checkout to compare with")
    comparing.add_argument("--tree", type=Path, default=ROOT, help="the new one; default: this one")
    comparing.add_argument("--rounds", type=int, help="default: 7, or 3 if quick")
    comparing.add_argument("--quick", action="store_true", help="half as many slices, and fewer rounds")
    comparing.add_argument("--free", action="store_true", help="models cost nothing; default: as listed")
    comparing.add_argument("--rows", nargs="+", choices=MEASURES, help="default: all")
    comparing.set_defaults(run=_compare)
    for parser in (options, walking, comparing):
        parser.add_argument("--json", action="store_true", help="print JSON")
    given = options.parse_args()
    sys.exit(given.run(given))


def _table(given: argparse.Namespace) -> None:
    found = uvloop.run(table.run(given.count, given.calls))
    _print(given, found, rows.printed(found))


def _walk(given: argparse.Namespace) -> None:
    walks = uvloop.run(walk.walked(given.tree.resolve()))
    text = walk.printed(walks)
    if given.list:
        text = f"{text}\n{walk.listed(walks)}"
    _print(given, [found.as_json() for found in walks], text)


def _compare(given: argparse.Namespace) -> int:
    """1 when a row is slower."""
    trees = {"old": given.old.resolve(), "new": given.tree.resolve()}
    rounds, share = (given.rounds or 3, 0.5) if given.quick else (given.rounds or 7, 1.0)
    found = uvloop.run(compare.compared(trees, rounds, share, given.rows or list(MEASURES), free=given.free))
    _print(given, [row.as_json() for row in found], paired.printed(found))
    return int(any(row.verdict == "slower" for row in found))


def _print(given: argparse.Namespace, found: list[dict[str, Any]], text: str) -> None:
    print(json.dumps(found) if given.json else text)


if __name__ == "__main__":
    main()

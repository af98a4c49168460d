"""`python -m bench`: the table of the README. `walk` counts what one call goes through."""

import argparse
import json
from pathlib import Path
from typing import Any

import uvloop

from bench import table, walk
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
    for parser in (options, walking):
        parser.add_argument("--json", action="store_true", help="print JSON")
    given = options.parse_args()
    given.run(given)


def _table(given: argparse.Namespace) -> None:
    rows = uvloop.run(table.run(given.count, given.calls))
    _print(given, rows, table.printed(rows))


def _walk(given: argparse.Namespace) -> None:
    walks = uvloop.run(walk.walked(given.tree.resolve()))
    text = walk.printed(walks)
    if given.list:
        text = f"{text}\n{walk.listed(walks)}"
    _print(given, [found.as_json() for found in walks], text)


def _print(given: argparse.Namespace, rows: list[dict[str, Any]], text: str) -> None:
    print(json.dumps(rows) if given.json else text)


if __name__ == "__main__":
    main()

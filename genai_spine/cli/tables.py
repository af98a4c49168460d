"""Tables: on a terminal as wide as it is; in a pipe or a file one row a line, whole."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import typer
from rich.cells import cell_len

from genai_spine.cli.output import plain

GAP = "  "
NARROWEST = 10  # characters of a column that may be broken over lines


class Column(NamedTuple):
    """Column of a table."""

    title: str
    is_firm: bool = False  # never broken over lines
    is_number: bool = False  # to the right


def firm(title: str) -> Column:
    """Column of ids or times, which are of use only when they are whole."""
    return Column(title, is_firm=True)


def number(title: str) -> Column:
    return Column(title, is_firm=True, is_number=True)


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Table on standard output. Where not all fits, the first column, if firm, gets lines of its own."""
    cells = [[plain(cell) for cell in row] for row in rows]
    natural = [
        max(cell_len(text) for text in (column.title, *(row[place] for row in cells)))
        for place, column in enumerate(columns)
    ]
    if not sys.stdout.isatty():
        _print(columns, cells, natural)
        return
    room = shutil.get_terminal_size().columns
    if columns[0].is_firm and _lower_bound(columns, natural) > room:
        _print(columns[1:], [row[1:] for row in cells], _fitted(columns[1:], natural[1:], room), cells)
    else:
        _print(columns, cells, _fitted(columns, natural, room))


def _print(
    columns: Sequence[Column],
    cells: Sequence[Sequence[str]],
    widths: Sequence[int],
    above: Sequence[Sequence[str]] = (),
) -> None:
    """Rows below a line of titles. above: rows whose first cell stands on a line before its row."""
    for line in _lines(columns, [column.title for column in columns], widths):
        typer.echo(typer.style(line, bold=True))
    for row, full in zip_longest(cells, above):
        if full:
            typer.echo(full[0])
        for line in _lines(columns, row, widths):
            typer.echo(line)


def _lower_bound(columns: Sequence[Column], natural: Sequence[int]) -> int:
    """Characters that the columns need at least."""
    needed = (
        width if column.is_firm else min(width, NARROWEST)
        for column, width in zip(columns, natural, strict=True)
    )
    return sum(needed) + len(GAP) * (len(columns) - 1)


def _fitted(columns: Sequence[Column], natural: Sequence[int], room: int) -> list[int]:
    """Widths of the columns. The last that may be broken gives first: names stand before text."""
    widths = list(natural)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - room
    for place in reversed(range(len(columns))):
        if excess > 0 and not columns[place].is_firm:
            given = min(excess, max(0, widths[place] - NARROWEST))
            widths[place] -= given
            excess -= given
    return widths


def _lines(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Lines of one row, as many as its most broken cell has."""
    broken = [_broken(cell, width) for cell, width in zip(row, widths, strict=True)]
    for pieces in zip_longest(*broken, fillvalue=""):
        padded = [
            " " * (width - cell_len(piece)) + piece if column.is_number else _left(piece, width)
            for column, piece, width in zip(columns, pieces, widths, strict=True)
        ]
        yield GAP.join(padded).rstrip()


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _broken(text: str, width: int) -> list[str]:
    """Text in pieces of at most this width, between words where that can be."""
    if cell_len(text) <= width:
        return [text]
    from rich.console import Console
    from rich.text import Text

    return [line.plain.rstrip() for line in Text(text).wrap(Console(), width, overflow="fold")]

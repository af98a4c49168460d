"""Rows of a table: what was measured, what it should be, and whether it is."""

from typing import Any

Row = dict[str, Any]


def row(name: str, value: float, limit: float, *, least: bool = False) -> Row:
    """least: the value must be at least the limit; otherwise at most."""
    met = value >= limit if least else value <= limit
    return {
        "name": name,
        "value": round(value, 3),
        "goal": f"{'>=' if least else '<='} {limit:g}",
        "met": met,
    }


def printed(rows: list[Row]) -> str:
    verdicts = {True: "met", False: "NOT MET", None: ""}
    return "\n".join(
        f"{entry['name']:<52}{entry['value']:>10}  {entry.get('goal', ''):<8} {verdicts[entry.get('met')]}"
        for entry in rows
    )

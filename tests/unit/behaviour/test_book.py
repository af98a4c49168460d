"""The behaviour book: rows laid over each other, by pattern and day, and files that are refused."""

from datetime import date
from pathlib import Path

import pytest

from genai_spine.behaviour.book import BehaviourBook, BookError, Row, RulesFile, read

TODAY = date(2026, 11, 29)


def book(*rows: Row, today: date = TODAY) -> BehaviourBook:
    return BehaviourBook(RulesFile(rows=list(rows)), today=lambda: today)


def test_later_rows_win_option_by_option() -> None:
    rules = book(
        Row(name="all", provider="acme", options={"seed": "dropped", "top_k": "dropped"}, effort=["low"]),
        Row(name="newer", provider="acme", model="m-2*", options={"seed": "accepted"}, effort=[]),
    )
    older, newer = rules.rules("acme", "m-1"), rules.rules("acme", "M-2-mini")
    assert (older.options["seed"].rule.action, older.effort) == ("dropped", ("low",))
    assert (newer.options["seed"].rule.action, newer.effort) == ("accepted", ())
    assert newer.options["top_k"].row.name == "all"
    assert rules.rules("other", "m-1").rows == ()


@pytest.mark.parametrize(
    ("model", "covered"),
    [("o3", True), ("o3-mini", True), ("foo3", False), ("gpt-5", True), ("gpt-5-chat-latest", False)],
)
def test_a_pattern_is_names_with_stars_and_exceptions(model: str, covered: bool) -> None:
    row = Row(name="x", model="o3*|gpt-5*", but="*-chat-latest")
    assert row.covers("any", model, TODAY) is covered


@pytest.mark.parametrize(("day", "count"), [("2026-10-20", 0), ("2026-10-21", 1), ("2026-12-01", 0)])
def test_a_row_holds_on_its_days_only(day: str, count: int) -> None:
    row = Row(name="x", valid_from=date(2026, 10, 21), valid_to=date(2026, 11, 30))
    assert len(book(row, today=date.fromisoformat(day)).rules("p", "m").rows) == count


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rows: [{name: x, options: {seed: perhaps}}]", "Invalid"),
        ("rows: [{name: x, option: {}}]", "unknown field"),
        ("rows: [{name: x, effort: [some]}]", "Invalid"),
        ("rows: [", "expected"),
        ("rows: [{name: x, evidence: report, options: {n: refused}}]", "without a page"),
        ("rows: [{name: x, evidence: sdk-types, options: {n: {action: refused}}}]", "without a page"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_name(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(BookError, match=problem) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_the_operators_rows_need_no_source_and_win(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rows: [{name: ours, provider: openai, model: gpt-4o, options: {tools: refused}}]")
    rules = BehaviourBook.load(path).rules("openai", "gpt-4o")
    assert (rules.options["tools"].rule.action, rules.rows[-1].evidence) == ("refused", "operator")


def test_each_shipped_row_has_a_source_and_the_day_on_which_it_was_read() -> None:
    rows = BehaviourBook.load().rows
    assert [row.name for row in rows if not (row.source.startswith("https://") and row.checked)] == []
    assert len({row.name for row in rows}) == len(rows)

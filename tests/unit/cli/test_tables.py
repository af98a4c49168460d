"""Tables fit their room: firm columns stay whole, the others are broken between words."""

import pytest
from rich.cells import cell_len

from genai_spine.cli.tables import Column, _fitted, _lines, _lower_bound, firm, number

COLUMNS = (firm("id"), Column("name"), Column("text"), number("n"))


@pytest.mark.parametrize("room", [40, 60, 80])
def test_last_soft_column_gives_first(room: int) -> None:
    widths = _fitted(COLUMNS, [10, 12, 60, 3], room)
    assert sum(widths) + 2 * 3 == max(room, 10 + 10 + 10 + 3 + 6)
    assert (widths[0], widths[3]) == (10, 3)
    assert widths[1] == 12 or widths[2] == 10


def test_lower_bound_is_what_firm_columns_need_and_ten_of_the_others() -> None:
    assert _lower_bound(COLUMNS, [36, 40, 4, 3]) == 36 + 10 + 4 + 3 + 6


def test_wide_characters_count_twice_and_numbers_stand_to_the_right() -> None:
    lines = list(_lines(COLUMNS, ["id", "日本語の名前", "one two three", "7"], [4, 8, 8, 3]))
    assert [cell_len(line) <= 4 + 8 + 8 + 3 + 6 for line in lines] == [True] * len(lines)
    assert lines[0].startswith("id    日本語の  one two ")
    assert lines[0].endswith("  7")
    assert "".join(line[6:14] for line in lines).replace(" ", "").startswith("日本語の")

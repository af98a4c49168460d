"""Page tokens of the history of executions."""

from datetime import UTC, datetime

import pytest

from genai_spine.errors import InvalidFields
from genai_spine.services import execution
from genai_spine.store.execution_history import PageEnd


def test_token_leads_back_to_its_place():
    for place in (
        PageEnd(datetime(2026, 11, 28, 1, 2, 3, 456789, UTC), "a b"),
        PageEnd(datetime.now(UTC), ""),
    ):
        assert execution._place(execution._token(place)) == place


@pytest.mark.parametrize(
    "token", ["x", "%%%", "ü", "YWJj", execution._token(PageEnd(datetime(2026, 1, 1), "i"))]
)
def test_what_is_no_token_is_refused_by_its_field(token):
    with pytest.raises(InvalidFields) as raised:
        execution._place(token)
    assert raised.value.violations == [("page_token", "is no token of this list")]

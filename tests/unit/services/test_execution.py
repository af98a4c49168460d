"""Entries and page tokens of the history of executions."""

from datetime import UTC, datetime

import pytest

from genai_spine.errors import InvalidFields
from genai_spine.services import execution
from genai_spine.store.execution_history import PageEnd
from genai_spine.v1 import execution_pb2


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


@pytest.mark.parametrize(
    ("state", "success"),
    [("PENDING", None), ("SUCCEEDED", True), ("FAILED", False), ("CANCELLED", False), ("LOST", False)],
)
def test_entry_says_what_became_of_the_call(state, success):
    row = execution_pb2.Execution(id="i", state=f"EXECUTION_STATE_{state}", prompt_id="p", prompt_version=3)
    row.usage.input_tokens, row.usage.output_tokens, row.cost.cost_usd = 1, 2, 0.5
    entry = execution._entry(row)
    assert (entry.success if entry.HasField("success") else None) is success
    assert (entry.prompt_id, entry.prompt_version, entry.HasField("session_id")) == ("p", 3, False)
    assert (entry.input_tokens, entry.output_tokens, entry.cost_usd) == (1, 2, 0.5)
    assert entry.execution == row

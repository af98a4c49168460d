"""Entries of the history of executions."""

import pytest

from genai_spine.services import execution
from genai_spine.v1 import execution_pb2


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

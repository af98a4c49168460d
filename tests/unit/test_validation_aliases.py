"""Names of REST: problems in what a gRPC caller sent, and in nothing else."""

import pytest

from genai_spine.errors import InvalidFields
from genai_spine.v1.session_service_pb2 import ListMessagesResponse, SessionMessage
from genai_spine.validation import check, check_without_aliases
from tests.unit.test_validation import GOOD, asking


def test_names_of_rest_are_refused_at_their_place_beside_other_faults() -> None:
    request = asking(temperature=3)
    request.routing.max_cost_usd = 0
    check(asking(routing=request.routing))
    with pytest.raises(InvalidFields) as refusal:
        check_without_aliases(request)
    assert dict(refusal.value.violations) == {
        "temperature": "must be at most 2, got 3",
        "routing.max_cost_usd": "is a name of REST; set routing.max_cost_ticks",
    }


def test_names_of_rest_are_refused_in_the_message_itself_and_in_lists() -> None:
    with pytest.raises(InvalidFields) as refusal:
        check_without_aliases(
            ListMessagesResponse(messages=[SessionMessage(), SessionMessage(cost=1)], total=1)
        )
    assert refusal.value.violations == [
        ("messages[1].cost", "is a name of REST; set messages[1].message_cost.cost_usd")
    ]
    with pytest.raises(InvalidFields, match=r"^.*cost: is a name of REST; set message_cost\.cost_usd"):
        check_without_aliases(SessionMessage(cost=1))


def test_own_names_pass_without_aliases() -> None:
    for message in GOOD.values():
        check_without_aliases(message)

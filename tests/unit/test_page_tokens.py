"""Page tokens lead back to their place, and nowhere else."""

import base64
from datetime import UTC, datetime

import msgspec
import pytest

from genai_spine import page_tokens
from genai_spine.errors import InvalidFields
from genai_spine.v1 import execution_service_pb2, pricing_service_pb2, prompt_service_pb2

TIME = datetime(2026, 11, 28, 1, 2, 3, 456789, UTC)
KINDS = (page_tokens.TIME, str)


def executions(**fields):
    return execution_service_pb2.ListExecutionsRequest(**fields)


def token(*place, request=None):
    return page_tokens.token(request or executions(), *place)


@pytest.mark.parametrize("place", [(TIME, "a b"), (datetime(1970, 1, 1, tzinfo=UTC), ""), (TIME, "ü/?")])
def test_token_leads_back_to_its_place(place):
    assert page_tokens.place(executions(page_token=token(*place)), *KINDS) == place


def test_first_page_has_no_place():
    assert page_tokens.place(executions(page_size=3), *KINDS) is None


@pytest.mark.parametrize(
    "wrong",
    [
        *("x", "%%%", "ü", "YWJj", "_w=="),
        token("a", "b"),
        token(TIME.replace(tzinfo=None), "i"),
        token(TIME, "a\0b"),
        token(TIME),
        token(TIME, "i", "j"),
        token("0001-01-01T00:00:00+14:00", "i"),  # in UTC both are beyond the calendar
        token("9999-12-31T23:59:59-14:00", "i"),
        base64.urlsafe_b64encode(msgspec.json.encode(("", TIME, "i"))).decode(),
    ],
)
def test_what_is_no_token_of_the_list_is_refused_by_its_field(wrong):
    with pytest.raises(InvalidFields) as raised:
        page_tokens.place(executions(page_token=wrong), *KINDS)
    [(field, problem)] = raised.value.violations
    assert (field, problem.startswith("is no token of this list")) == ("page_token", True)


@pytest.mark.parametrize(
    "other",
    [executions(model="m"), executions(success=False), executions(start_time=TIME)],
)
def test_token_of_the_list_with_other_filters_is_refused(other):
    other.page_token = token(TIME, "i")
    with pytest.raises(InvalidFields) as raised:
        page_tokens.place(other, *KINDS)
    assert raised.value.violations == [("page_token", "is no token of this list with these filters")]


def test_token_of_another_list_is_refused():
    given = page_tokens.token(prompt_service_pb2.ListPromptsRequest(), "a", "b")
    with pytest.raises(InvalidFields):
        page_tokens.place(pricing_service_pb2.ListPricesRequest(page_token=given), str, str)


def test_page_size_may_change_from_page_to_page():
    given = token(TIME, "i", request=executions(page_size=1, model="m"))
    request = executions(limit=7, model="m", page_token=given)
    assert page_tokens.place(request, *KINDS) == (TIME, "i")
    assert page_tokens.size(request, 50) == 7


@pytest.mark.parametrize("number", [-1, 2**31, 1.5, "1"])
def test_number_in_a_place_is_one_that_a_database_takes(number):
    request = prompt_service_pb2.ListPromptVersionsRequest(prompt_id="a")
    request.page_token = page_tokens.token(request, number)
    with pytest.raises(InvalidFields):
        page_tokens.place(request, page_tokens.NUMBER)


@pytest.mark.parametrize(("given", "size"), [({}, 50), ({"limit": 3}, 3), ({"page_size": 4}, 4)])
def test_size_of_a_page_has_two_names_and_a_default(given, size):
    assert page_tokens.size(executions(**given), 50) == size


def test_size_of_a_page_has_one_name_where_a_list_knows_no_other():
    assert page_tokens.size(pricing_service_pb2.ListPricesRequest(), 9) == 9

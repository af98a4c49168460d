"""Aliases of REST: filled from what they stand for, and read back to it."""

import pytest
from google.protobuf.descriptor import FieldDescriptor

from genai_spine.costs import cost_of
from genai_spine.errors import InvalidFields
from genai_spine.services import rest_aliases
from genai_spine.v1 import capability_service_pb2, completion_service_pb2, pricing_service_pb2
from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.capability_result_pb2 import CapabilityResult, CapabilityUsage
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.execution_service_pb2 import ListExecutionsRequest
from genai_spine.v1.prompt_service_pb2 import (
    CreatePromptRequest,
    ExecutePromptResponse,
    Prompt,
    UpdatePromptRequest,
)
from genai_spine.v1.usage_pb2 import Usage

QUARTER = cost_of(25 * 10**8)
RESULT = CapabilityResult(
    usage=Usage(input_tokens=2, output_tokens=3, total_tokens=5),
    cost=QUARTER,
    provider="openai",
    latency_ms=7,
)


def test_alias_gets_the_value_of_its_source():
    message = pb.SendMessageResponse(message_cost=QUARTER)
    rest_aliases.fill(message)
    assert message.cost == message.cost_usd == 0.25


def test_alias_stays_unset_where_the_way_to_its_source_ends():
    message = pb.SendMessageResponse()
    rest_aliases.fill(message)
    assert message == pb.SendMessageResponse()


def test_aliases_of_nested_messages_and_of_lists_are_filled():
    answer = pb.SendMessageResponse(response=pb.SessionMessage(message_cost=QUARTER))
    page = pb.ListMessagesResponse(
        messages=[pb.SessionMessage(message_cost=cost_of(n * 10**10)) for n in (1, 2)]
    )
    event = pb.MessageEvent(result=answer)
    for message in (page, event):
        rest_aliases.fill(message)
    assert [each.cost for each in page.messages] == [1, 2]
    assert event.result.response.cost == 0.25
    assert not event.result.HasField("message")


def test_result_of_a_capability_is_spread_over_its_flat_names():
    message = capability_service_pb2.RewriteResponse(result=RESULT)
    rest_aliases.fill(message)
    assert (message.provider, message.cost_usd, message.latency_ms) == ("openai", 0.25, 7)
    assert (message.input_tokens, message.output_tokens) == (2, 3)
    assert message.usage == CapabilityUsage(
        input_tokens=2,
        output_tokens=3,
        total_tokens=5,
        cost_usd=0.25,
        cost_ticks=25 * 10**8,
        price_known=True,
        latency_ms=7,
    )


def test_usage_of_a_prompt_has_its_sums():
    message = ExecutePromptResponse(result=RESULT)
    rest_aliases.fill(message)
    assert (message.usage.total_tokens, message.usage.cost, message.price_known) == (5, 0.25, True)


def test_estimate_has_its_cost_under_three_names():
    message = pricing_service_pb2.EstimateCostResponse(cost=QUARTER)
    rest_aliases.fill(message)
    assert message.estimated_cost_usd == message.estimated_cost == message.total_cost == 0.25


def test_message_without_aliases_stays_as_it_is():
    message = completion_service_pb2.Completion(id="a", model="b")
    before = message.SerializeToString()
    rest_aliases.fill(message)
    rest_aliases.read(message)
    assert message.SerializeToString() == before


@pytest.mark.parametrize(("usd", "ticks"), [(0.01, 10**8), (0.1, 10**9), (1e-10, 1), (0, 0), (3, 3 * 10**10)])
def test_alias_of_a_request_is_moved_to_its_source(usd, ticks):
    request = completion_service_pb2.CreateCompletionRequest()
    request.routing.max_cost_usd = usd
    rest_aliases.read(request)
    assert request.routing.max_cost_ticks == ticks
    assert not request.routing.HasField("max_cost_usd")


def test_alias_may_say_the_same_as_its_source():
    request = completion_service_pb2.CreateCompletionRequest()
    request.routing.max_cost_usd, request.routing.max_cost_ticks = 1, 10**10
    rest_aliases.read(request)
    assert request.routing.max_cost_ticks == 10**10
    assert not request.routing.HasField("max_cost_usd")


def test_aliases_of_a_prompt_are_read_into_their_fields():
    request = CreatePromptRequest()
    request.prompt.MergeFrom(Prompt(template="Hi {name}", default_model="gpt-4o", default_temperature=0.5))
    rest_aliases.read(request)
    assert request.prompt == Prompt(
        user_prompt_template="Hi {name}", preferred_model="gpt-4o", temperature=0.5
    )


def test_aliases_of_a_prompt_stand_beside_set_fields_only():
    shown = Prompt(user_prompt_template="Hi", temperature=0.2)
    rest_aliases.fill(shown)
    assert (shown.template, shown.default_temperature) == ("Hi", pytest.approx(0.2))
    assert not shown.HasField("default_model")


def test_alias_that_differs_from_its_source_is_refused_at_its_place():
    request = CreatePromptRequest(prompt=Prompt(template="a", user_prompt_template="b"))
    with pytest.raises(InvalidFields) as refusal:
        rest_aliases.read(request)
    assert refusal.value.violations == [
        ("prompt.template", "differs from prompt.user_prompt_template, which means the same")
    ]
    request.prompt.template = "b"
    rest_aliases.read(request)
    assert request.prompt == Prompt(user_prompt_template="b")
    with pytest.raises(InvalidFields, match="user: differs from end_user"):
        rest_aliases.read(ListExecutionsRequest(user="a", end_user="b"))


def test_alias_of_another_type_that_differs_from_its_source_is_refused():
    """Passed over in silence, the lower of two limits of cost would be lost."""
    request = completion_service_pb2.CreateCompletionRequest()
    request.routing.max_cost_usd, request.routing.max_cost_ticks = 1, 5
    count = completion_service_pb2.CountTokensRequest(request=request)
    with pytest.raises(InvalidFields, match=r"routing\.max_cost_usd: differs from routing\.max_cost_ticks"):
        rest_aliases.read(request)
    with pytest.raises(InvalidFields, match=r"request\.routing\.max_cost_usd: differs from"):
        rest_aliases.read(count)


def test_alias_of_what_the_server_sets_is_ignored_as_its_source_is():
    session = pb.Session(total_cost=QUARTER, total_cost_usd=3, title="a")
    session.create_time.seconds, session.created_at.seconds = 1, 2
    request = pb.UpdateSessionRequest(session_id="a", session=session)
    rest_aliases.read(request)
    assert (request.session.total_cost, request.session.create_time.seconds) == (QUARTER, 1)


@pytest.mark.parametrize(
    ("filters", "states"),
    [
        ({"success": False, "state": "EXECUTION_STATE_LOST"}, ["LOST"]),
        ({"success": True, "states": ["EXECUTION_STATE_LOST", "EXECUTION_STATE_SUCCEEDED"]}, ["SUCCEEDED"]),
        ({"success": True, "state": "EXECUTION_STATE_SUCCEEDED"}, ["SUCCEEDED"]),
    ],
)
def test_filters_by_state_under_several_names_all_hold(filters, states):
    request = ListExecutionsRequest(**filters)
    rest_aliases.read(request)
    assert request == ListExecutionsRequest(states=[f"EXECUTION_STATE_{state}" for state in states])


def test_filters_by_state_that_exclude_each_other_are_refused():
    request = ListExecutionsRequest(success=True, state="EXECUTION_STATE_LOST")
    with pytest.raises(InvalidFields, match="success: differs from states"):
        rest_aliases.read(request)


def test_alias_in_an_update_mask_stands_for_its_field():
    request = UpdatePromptRequest()
    request.update_mask.paths.extend(["template", "name"])
    rest_aliases.read(request)
    assert list(request.update_mask.paths) == ["user_prompt_template", "name"]
    session = pb.UpdateSessionRequest()
    session.update_mask.paths.extend(["title", "total_cost_usd"])
    rest_aliases.read(session)
    assert list(session.update_mask.paths) == ["title", "total_cost.cost_usd"]


def test_alias_says_what_it_stands_for():
    alias: FieldDescriptor = pb.SendMessageResponse.DESCRIPTOR.fields_by_name["cost"]
    assert rest_aliases.source_of(alias).full_name == "genai_spine.v1.Cost.cost_usd"


@pytest.mark.parametrize(
    ("state", "success"),
    [("PENDING", None), ("SUCCEEDED", True), ("FAILED", False), ("CANCELLED", False), ("LOST", False)],
)
def test_success_of_an_execution_follows_from_its_state(state, success):
    row = Execution(state=f"EXECUTION_STATE_{state}")
    rest_aliases.fill(row)
    assert (row.success if row.HasField("success") else None) is success


def test_row_of_the_ledger_has_its_flat_names():
    row = Execution(usage=RESULT.usage, cost=QUARTER, end_user="ann")
    row.create_time.FromJsonString("2026-11-29T01:00:00Z")
    rest_aliases.fill(row)
    assert (row.input_tokens, row.output_tokens, row.cost_usd, row.user_id) == (2, 3, 0.25, "ann")
    assert row.created_at == row.create_time


@pytest.mark.parametrize(
    ("old", "states"),
    [
        ({"success": True}, ["SUCCEEDED"]),
        ({"success": False}, ["FAILED", "CANCELLED", "LOST"]),
        ({"state": "EXECUTION_STATE_PENDING"}, ["PENDING"]),
        ({}, []),
    ],
)
def test_filters_by_state_and_success_are_lists_of_states(old, states):
    request = ListExecutionsRequest(**old)
    rest_aliases.read(request)
    assert request == ListExecutionsRequest(states=[f"EXECUTION_STATE_{state}" for state in states])

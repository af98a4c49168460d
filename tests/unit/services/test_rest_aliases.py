"""Aliases of REST: filled from what they stand for, and read back to it."""

from google.protobuf.descriptor import FieldDescriptor

from genai_spine.services import rest_aliases
from genai_spine.v1 import completion_service_pb2
from genai_spine.v1 import session_service_pb2 as pb


def test_alias_gets_the_value_of_its_source():
    message = pb.SendMessageResponse(cost_usd=0.25)
    rest_aliases.fill(message)
    assert message.cost == 0.25


def test_aliases_of_nested_messages_and_of_lists_are_filled():
    answer = pb.SendMessageResponse(response=pb.SessionMessage(cost_usd=0.5))
    page = pb.ListMessagesResponse(messages=[pb.SessionMessage(cost_usd=1), pb.SessionMessage(cost_usd=2)])
    event = pb.MessageEvent(result=answer)
    for message in (page, event):
        rest_aliases.fill(message)
    assert [each.cost for each in page.messages] == [1, 2]
    assert event.result.response.cost == 0.5
    assert not event.result.HasField("message")


def test_message_without_aliases_stays_as_it_is():
    message = completion_service_pb2.Completion(id="a", model="b")
    before = message.SerializeToString()
    rest_aliases.fill(message)
    rest_aliases.read(message)
    assert message.SerializeToString() == before


def test_alias_of_a_request_is_moved_to_its_source():
    request = pb.SendMessageResponse(cost=0.25)
    rest_aliases.read(request)
    assert (request.cost_usd, request.cost) == (0.25, 0)


def test_source_that_is_set_stays_as_it_is():
    request = pb.SendMessageResponse(cost=0.25, cost_usd=0.5)
    rest_aliases.read(request)
    assert (request.cost_usd, request.cost) == (0.5, 0)


def test_alias_says_what_it_stands_for():
    alias: FieldDescriptor = pb.SendMessageResponse.DESCRIPTOR.fields_by_name["cost"]
    assert rest_aliases.source_of(alias).name == "cost_usd"

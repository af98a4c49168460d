"""If-Match of a REST call is the etag of its request."""

import pytest

from genai_spine.edge import preconditions
from genai_spine.errors import InvalidRequest
from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1 import session_service_pb2 as sessions


@pytest.mark.parametrize(
    ("header", "etag"),
    [('"5"', "5"), ("5", "5"), (' "5" ', "5"), ('W/"5"', 'W/"5"'), ('""', ""), ("", ""), ('"', '"')],
)
def test_if_match_is_the_etag_of_a_request(header, etag):
    for request in (sessions.DeleteSessionRequest(), prompts.RollbackPromptRequest()):
        preconditions.read(request, header)
        assert (request.HasField("etag"), request.etag) == (True, etag)


def test_if_match_is_the_etag_of_the_resource_in_a_request():
    session, prompt = sessions.UpdateSessionRequest(), prompts.UpdatePromptRequest()
    preconditions.read(session, '"5"')
    preconditions.read(prompt, '"6"')
    assert (session.session.etag, prompt.prompt.etag) == ("5", "6")


def test_if_match_of_whatever_is_there_asks_for_no_etag():
    request = sessions.DeleteSessionRequest()
    preconditions.read(request, " * ")
    assert not request.HasField("etag")


def test_if_match_leaves_a_request_without_an_etag_as_it_is():
    request = sessions.SendMessageRequest(session_id="a")
    preconditions.read(request, '"5"')
    assert request == sessions.SendMessageRequest(session_id="a")


@pytest.mark.parametrize("header", ['"5"', "5"])
def test_if_match_may_repeat_the_etag_of_a_request(header):
    request = sessions.DeleteSessionRequest(etag="5")
    preconditions.read(request, header)
    assert request.etag == "5"


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ('"5", "6"', "must be one entity tag"),
        ('W/"5", "6"', "must be one entity tag"),
        ('"6"', "contradicts the etag of the request"),
    ],
)
def test_if_match_that_says_more_than_one_etag_is_refused(header, problem):
    with pytest.raises(InvalidRequest, match=problem):
        preconditions.read(sessions.DeleteSessionRequest(etag="5"), header)

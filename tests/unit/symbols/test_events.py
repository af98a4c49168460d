"""Events of a job: ids of their form, numbers without a gap, the first one the parent of the others."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.call import Call
from genai_spine.symbols import events
from genai_spine.symbols.events import Envelopes, normalised
from genai_spine.v1 import symbol_service_pb2 as pb

JOB_ID = re.compile(r"job_[a-zA-Z0-9]+")
EVENT_ID = re.compile(r"evt_[a-zA-Z0-9]+")


@pytest.mark.parametrize(("job_id", "said"), [("job_1", "job_1"), ("abc", "job_abc"), ("job1", "job_job1")])
def test_a_plain_id_is_as_it_is(job_id: str, said: str) -> None:
    assert normalised(job_id) == said


@given(st.text(min_size=1))
def test_every_id_gets_the_form(job_id: str) -> None:
    assert JOB_ID.fullmatch(normalised(job_id))
    assert normalised(normalised(job_id)) == normalised(job_id)


def test_ids_that_differ_in_marks_only_stay_different() -> None:
    given = ["a-b", "a_b", "ab", "a/b", "job_a-b", "日本", "本日", "job_"]
    assert len({normalised(job_id) for job_id in given}) == len(given)


class TestEnvelopes:
    def request(self) -> pb.DocumentSymbolsRequest:
        return pb.DocumentSymbolsRequest(
            job_id="run 7",
            parent_event_id="evt_0",
            tags=["nightly"],
            event_context=pb.SymbolEventContext(repo_url="https://example.com/r", plan_tier="team"),
        )

    def test_what_all_events_share(self) -> None:
        call = Call(request_id="req-1", idempotency_key="key")
        made = Envelopes(self.request(), call, "1.2.3").event(events.STARTED, pb.SymbolEventPayload())
        assert made.envelope_version == "1.0"
        assert JOB_ID.fullmatch(made.job_id)
        assert EVENT_ID.fullmatch(made.event_id)
        assert made.timestamp.seconds > 0
        assert made.source == "genai_spine.symbols"
        assert made.context.repo_url == "https://example.com/r"
        assert (made.meta.producer_version, made.meta.trace_id) == ("1.2.3", "req-1")
        assert (made.meta.idempotency_key, list(made.meta.tags)) == ("key", ["nightly"])
        assert not made.HasField("status")

    def test_the_first_event_is_the_parent_of_the_others(self) -> None:
        envelopes = Envelopes(self.request(), Call(), "1")
        first, second, third = (envelopes.event("a.b.v1", pb.SymbolEventPayload()) for _ in range(3))
        assert [event.sequence for event in (first, second, third)] == [0, 1, 2]
        assert [event.parent_event_id for event in (first, second, third)] == [
            "evt_0",
            first.event_id,
            first.event_id,
        ]

    def test_without_a_context_there_is_none(self) -> None:
        request = pb.DocumentSymbolsRequest(job_id="job_1")
        made = Envelopes(request, Call(), "1").event("a.b.v1", pb.SymbolEventPayload())
        assert not made.HasField("context")
        assert not made.HasField("parent_event_id")
        assert not made.meta.HasField("idempotency_key")

"""Exports that are read again: ids of their own, exact sums, nothing that a session cannot have."""

import pytest

from genai_spine.costs import cost_of
from genai_spine.errors import InvalidFields
from genai_spine.sessions.export import _markdown, _parsed, _session
from genai_spine.v1 import session_service_pb2 as pb


def export(**session: object) -> pb.SessionExport:
    return pb.SessionExport(version=1, session=pb.Session(**({"model": "m"} | session)))


def test_sums_are_those_of_the_messages_whatever_the_export_says():
    given = export(id="old", message_count=99, total_tokens=99, total_cost=cost_of(99))
    for role, tokens in (("user", 0), ("assistant", 7)):
        given.messages.add(
            message=pb.SessionMessage(
                role=role, content="c", output_tokens=tokens, message_cost=cost_of(tokens)
            )
        )
    session = _session(given)
    assert (session.message_count, session.total_tokens, session.total_cost.cost_ticks) == (2, 7, 7)
    assert session.id != "old"
    assert [entry.message.sequence for entry in given.messages] == [0, 1]
    assert {entry.message.session_id for entry in given.messages} == {session.id}
    assert given.messages[1].message.model == "m"


def test_summary_of_more_messages_than_there_are_is_left_out():
    given = export(summary=pb.HistorySummary(text="s", message_count=1))
    assert not _session(given).HasField("summary")


def test_time_of_the_beginning_is_kept():
    given = export()
    given.session.create_time.FromJsonString("2020-02-29T01:02:03Z")
    assert _session(given).create_time.ToJsonString() == "2020-02-29T01:02:03Z"


def test_fields_of_later_versions_are_ignored():
    assert _parsed('{"version": 1, "session": {"model": "m", "later": 1}}').session.model == "m"


@pytest.mark.parametrize("text", ["", "null", "[1]", "{", '{"version": "x"}', "[" * 100_000])
def test_what_is_no_export_is_refused(text):
    with pytest.raises(InvalidFields):
        _parsed(text)


def test_markdown_has_a_heading_for_each_message():
    session = pb.Session(id="i", model="m", message_count=1)
    text = _markdown(session, [pb.ExportedMessage(message=pb.SessionMessage(role="user", content="Hi"))])
    assert text == "# Session i\n\nm, 1970-01-01 00:00 UTC, 1 message, 0 tokens, $0.000000\n\n## User\n\nHi\n"

"""What a model gets to see of a session, and in which pieces older messages are summarised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.errors import InvalidFields, ProviderError
from genai_spine.sessions import history as session_history
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import message_pb2
from genai_spine.v1 import session_service_pb2 as pb


def said(role: str, content: str = "x") -> pb.ExportedMessage:
    return pb.ExportedMessage(message=pb.SessionMessage(role=role, content=content))


@given(st.lists(st.integers(0, 120_000), max_size=8))
def test_pieces_hold_every_message_once_in_order_and_are_not_too_long(sizes):
    older = [said("user", "x" * size) for size in sizes]
    pieces = session_history._batches(older)
    assert [entry for piece in pieces for entry in piece] == older
    for piece in pieces:
        total = sum(len(entry.message.content) for entry in piece)
        assert len(piece) == 1 or total <= session_history.MAX_SUMMARY_INPUT_CHARS


@pytest.mark.parametrize(
    ("roles", "start", "following", "before"),
    [
        (["user", "assistant", "user"], 1, 2, 0),
        (["user", "assistant", "user"], 2, 2, 2),
        (["assistant", "assistant"], 1, 2, 0),
        ([], 0, 0, 0),
    ],
)
def test_history_is_cut_where_the_user_speaks(roles, start, following, before):
    history = [said(role) for role in roles]
    assert session_history._next_of_user(history, start) == following
    if history:
        assert session_history._last_of_user(history, start) == before


def test_summary_is_told_in_the_one_system_message_and_only_with_its_policy():
    session = pb.Session(system_prompt="S", history_policy=pb.HISTORY_POLICY_SUMMARY)
    session.summary.text = "They met."
    assert session_history._instructions(session) == f"S\n\n{session_history.SUMMARY_HEADING}\nThey met."
    session.history_policy = pb.HISTORY_POLICY_ALL
    assert session_history._instructions(session) == "S"


def test_files_become_parts_of_the_message():
    entry = said("user", "Look")
    entry.attachments.add(filename="a.csv", media_type="text/csv", data="\ufeffä;1".encode())
    entry.attachments.add(filename="b.png", media_type="image/png", data=b"png")
    entry.attachments.add(filename="c.pdf", media_type="application/pdf", data=b"%PDF")
    message = session_history._message(entry)
    assert message.role == message_pb2.ROLE_USER
    text, table, image, file = message.content
    assert (text.text, table.text) == ("Look", "\n\nFile a.csv:\nä;1")
    assert (image.image.data, image.image.media_type) == (b"png", "image/png")
    assert (file.file.file_data, file.file.filename) == ("data:application/pdf;base64,JVBERg==", "c.pdf")


def test_text_file_that_is_no_utf_8_is_named():
    good = pb.Attachment(media_type="image/png", data=b"\xff")
    bad = pb.Attachment(media_type="text/plain", data=b"\xff")
    session_history.check_attachments([good])
    with pytest.raises(InvalidFields) as raised:
        session_history.check_attachments([good, bad])
    assert raised.value.violations == [("attachments[1].data", "must be text in UTF-8")]


def test_answer_without_text_is_an_error_and_a_refusal_is_text():
    completion = completions.Completion(provider="openai")
    with pytest.raises(ProviderError):
        session_history.text_of(completion)
    completion.choices.add().message.content.add(refusal="No.")
    assert session_history.text_of(completion) == "No."

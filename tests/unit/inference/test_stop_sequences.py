"""Answers cut at stop sequences, however a stream is cut into pieces."""

import pytest

from genai_spine.inference.stop_sequences import StopCutter
from genai_spine.v1 import completion_service_pb2 as pb


def streamed(pieces: list[str], *sequences: str) -> str:
    cutter, found = StopCutter(sequences), []
    for number, piece in enumerate(pieces):
        reason = pb.FINISH_REASON_STOP if number == len(pieces) - 1 else pb.FINISH_REASON_UNSPECIFIED
        chunk = pb.CompletionChunk(choices=[pb.ChoiceDelta(content=piece, finish_reason=reason)])
        cutter.chunk(chunk)
        found.append(chunk.choices[0].content)
    return "".join(found)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("text", "sequences", "expected"),
    [
        ("one END two", ("END",), "one "),
        ("one EEND two END", ("END",), "one E"),
        ("one EN", ("END",), "one EN"),
        ("abc|d", ("d", "|"), "abc"),
        ("aab", ("aab",), ""),
        ("üé\nstop", ("\nstop",), "üé"),
    ],
)
def test_a_stream_ends_before_the_first_sequence(
    text: str, sequences: tuple[str, ...], expected: str, size: int
) -> None:
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert streamed([*pieces, ""], *sequences) == expected
    completion = pb.Completion(choices=[pb.Choice()])
    completion.choices[0].message.content.add(text=text)
    StopCutter(sequences).completion(completion)
    assert completion.choices[0].message.content[0].text == expected


def test_choices_are_cut_each_by_itself() -> None:
    cutter = StopCutter(["x"])
    chunk = pb.CompletionChunk(choices=[pb.ChoiceDelta(content="ax"), pb.ChoiceDelta(index=1, content="b")])
    cutter.chunk(chunk)
    assert [delta.content for delta in chunk.choices] == ["a", "b"]
    more = pb.CompletionChunk(choices=[pb.ChoiceDelta(content="c"), pb.ChoiceDelta(index=1, content="c")])
    cutter.chunk(more)
    assert [delta.content for delta in more.choices] == ["", "c"]


def test_an_answer_that_was_cut_did_stop() -> None:
    cutter = StopCutter(["x"])
    cutter.chunk(pb.CompletionChunk(choices=[pb.ChoiceDelta(content="ax")]))
    last = pb.CompletionChunk(choices=[pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_LENGTH)])
    cutter.chunk(last)
    assert last.choices[0].finish_reason == pb.FINISH_REASON_STOP

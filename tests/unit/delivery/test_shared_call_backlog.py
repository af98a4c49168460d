"""What a relay keeps of an answer: all of it, in few pieces."""

from genai_spine.delivery.shared_call import MAX_CHUNKS, Backlog
from genai_spine.v1 import completion_service_pb2 as pb


def says(text: str) -> pb.CompletionChunk:
    return pb.CompletionChunk(id="a", choices=[pb.ChoiceDelta(content=text)])


def text_of(chunk: pb.CompletionChunk) -> str:
    return "".join(delta.content for delta in chunk.choices)


def test_ten_thousand_chunks_are_few_pieces_and_the_same_text() -> None:
    said = Backlog[pb.CompletionChunk]()
    said.enter(0)
    for number in range(10_000):
        said.add(says(str(number % 10)))
    assert len(said) <= MAX_CHUNKS
    assert text_of(said.since(0)) == "0123456789" * 1000


def test_pieces_are_kept_apart_only_where_a_reader_stands() -> None:
    said = Backlog[pb.CompletionChunk]()
    for number in range(3 * MAX_CHUNKS):
        if number % 100 == 0:
            said.enter(said.end)
        said.add(says(str(number % 10)))
    text = text_of(said.since(0))
    for place in range(0, 3 * MAX_CHUNKS, 100):
        assert text_of(said.since(place)) == text[place:]
    assert len(said) <= MAX_CHUNKS + 10


def test_reader_who_moves_on_leaves_no_trace() -> None:
    said = Backlog[pb.CompletionChunk]()
    said.enter(0)
    place = 0
    for _ in range(20 * MAX_CHUNKS):
        said.add(says("x"))
        said.leave(place)
        place = said.end
        said.enter(place)
    assert len(said) <= MAX_CHUNKS
    assert said.since(0) == says("x" * 20 * MAX_CHUNKS)

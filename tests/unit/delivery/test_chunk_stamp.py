"""Stamps of chunks: what all chunks of one answer share, whatever the upstream said in its place."""

from genai_spine.delivery import chunk_stamp
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

ROW = Execution(id="01920000-aaaa-7bbb-8ccc-0123456789ab", request_id="r-1", provider="openai")


def test_answer_id_is_the_end_of_the_rows_with_a_prefix() -> None:
    assert chunk_stamp.answer_id(ROW, "comp_") == "comp_aaaa7bbb8ccc0123456789ab"


def test_made_replaces_what_a_chunk_has_and_leaves_the_rest() -> None:
    chunk = pb.CompletionChunk(id="theirs", model="m", provider="they", system_fingerprint="fp")
    chunk.create_time.seconds = 7
    chunk.choices.add().content = "text"
    chunk.MergeFromString(chunk_stamp.made(ROW, "m-1", 5))
    expected = pb.CompletionChunk(id=chunk_stamp.answer_id(ROW, "comp_"), model="m-1", provider="openai")
    expected.request_id, expected.execution_id, expected.create_time.seconds = "r-1", ROW.id, 5
    expected.system_fingerprint = "fp"
    expected.choices.add().content = "text"
    assert chunk == expected

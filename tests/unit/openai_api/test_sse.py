"""Frames of streams in OpenAI's form."""

import json

from genai_spine.openai_api import sse
from genai_spine.v1 import completion_service_pb2 as pb


def test_a_choice_begins_after_those_with_a_lower_index() -> None:
    frames = sse.ChatFrames(False, before_tools=False)
    written = b""
    for index, text in ((2, "two"), (0, "zero"), (1, "one")):
        written += frames.write(pb.CompletionChunk(choices=[pb.ChoiceDelta(index=index, content=text)]))
    choices = [json.loads(line[6:])["choices"][0] for line in written.split(b"\n\n") if line]
    assert [choice["index"] for choice in choices if "role" in choice["delta"]] == [0, 1, 2]
    said = [(choice["index"], choice["delta"]["content"]) for choice in choices if choice["delta"]["content"]]
    assert said == [(2, "two"), (0, "zero"), (1, "one")]

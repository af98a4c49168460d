"""Estimates of tokens: near enough, never zero for something, and never the provider's word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine import tokens
from genai_spine.v1 import completion_service_pb2 as pb


def message(*parts: Any, **fields: Any) -> pb.Message:
    return pb.Message(role=pb.ROLE_USER, content=parts, **fields)


def words(text: str) -> pb.ContentPart:
    return pb.ContentPart(text=text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a", 1), ("four", 1), ("x" * 400, 100), ("日本語", 2), ("é" * 15, 10), ("ab日", 1)],
)
def test_a_text_has_a_token_for_some_characters(text: str, count: int) -> None:
    assert tokens.estimate(text) == count


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_longer_text_never_has_fewer_tokens(text: str, more: str) -> None:
    assert tokens.estimate(text) <= tokens.estimate(text + more)
    assert (tokens.estimate(text) == 0) == (text == "")


def test_every_part_of_a_request_counts() -> None:
    plain = tokens.estimate_input(pb.CreateCompletionRequest(messages=[message(words("x" * 40))]))
    assert plain == 10 + tokens.PER_MESSAGE
    image = pb.ContentPart(image=pb.ImagePart(url="https://x"))
    audio = pb.ContentPart(audio=pb.AudioPart(data=b"x" * 32_000))
    file = pb.ContentPart(file=pb.FilePart(file_data="x" * 40))
    call = pb.ToolCall(function=pb.FunctionCall(name="f", arguments="x" * 40))
    tool = pb.Tool(function=pb.FunctionTool(name="f", parameters_json="x" * 40))
    request = pb.CreateCompletionRequest(
        messages=[message(words("x" * 40), image, audio, file), message(tool_calls=[call])], tools=[tool]
    )
    others = tokens.PER_IMAGE + 10 + 10  # image, sound, file
    calls = (10 + tokens.PER_MESSAGE) * 2 + tokens.PER_MESSAGE
    assert tokens.estimate_input(request) == plain + others + calls


def test_token_ids_are_counted_and_not_estimated() -> None:
    ids = pb.TokenList(tokens=[1, 2, 3])
    assert tokens.estimate_input(pb.CreateCompletionRequest(prompt=pb.TextPrompt(tokens=ids))) == 3
    assert tokens.estimate_input(pb.CreateCompletionRequest(prompt=pb.TextPrompt(text="x" * 8))) == 2
    inputs = [pb.EmbeddingInput(tokens=ids), pb.EmbeddingInput(text="x" * 8)]
    assert tokens.estimate_inputs(pb.CreateEmbeddingsRequest(inputs=inputs)) == 5


@given(st.lists(st.text(max_size=6), max_size=20))
def test_a_text_counts_the_same_whole_and_in_pieces(pieces: list[str]) -> None:
    weight = sum(tokens.delta_weight(pb.ChoiceDelta(content=piece)) for piece in pieces)
    assert abs(tokens.rounded(weight) - tokens.estimate("".join(pieces))) <= 1


def test_what_was_said_counts_the_same_whole_and_in_one_delta() -> None:
    call = pb.ToolCallDelta(name="f" * 8, arguments="x" * 40)
    delta = pb.ChoiceDelta(content="x" * 40, refusal="x" * 8, reasoning="x" * 80, tool_calls=[call])
    said = pb.Message(
        content=[words("x" * 40), pb.ContentPart(refusal="x" * 8)],
        reasoning="x" * 80,
        tool_calls=[pb.ToolCall(function=pb.FunctionCall(name="f" * 8, arguments="x" * 40))],
    )
    completion = pb.Completion(choices=[pb.Choice(message=said)])
    assert tokens.delta_weight(delta) == tokens.estimate_answer(completion) == 10 + 2 + 2 + 10
    assert tokens.estimate_reasoning(completion) == 20


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_buckets_of_an_estimate_add_up_and_say_what_they_are(
    given_: int, visible: int, reasoning: int
) -> None:
    usage = tokens.usage(given_, visible, reasoning, output=pb.PROVENANCE_PARTIAL_STREAM)
    assert usage.input_tokens == usage.uncached_input_tokens == given_
    assert usage.output_tokens == usage.visible_output_tokens + usage.reasoning_tokens == visible + reasoning
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_provenance == pb.PROVENANCE_ESTIMATED
    assert usage.output_provenance == pb.PROVENANCE_PARTIAL_STREAM

"""Text of streams: counted as one text, by choice, with its reasoning apart."""

from hypothesis import given
from hypothesis import strategies as st

from genai_spine.inference.streamed_text import StreamedText
from genai_spine.tokens import counts, encodings
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2

ROUGHLY = Tokenizer(None)


def ruler(model: str) -> Tokenizer:
    return Tokenizer(encodings.load(encodings.name_of(model) or ""), model=model)


EXACT = ruler("gpt-4o")


@given(st.lists(st.text(max_size=6), max_size=20))
def test_streamed_text_counts_as_one_text(pieces: list[str]) -> None:
    for tokenizer in (ROUGHLY, EXACT):
        said = StreamedText()
        for piece in pieces:
            said.add(pb.ChoiceDelta(content=piece))
        found = said.usage(7, tokenizer, usage_pb2.PROVENANCE_PARTIAL_STREAM)
        assert found.visible_output_tokens == tokenizer.count("".join(pieces))
        assert bool(said) == bool("".join(pieces))


def test_streamed_text_add_keeps_choices_apart() -> None:
    said = StreamedText()
    for number in range(40):
        said.add(pb.ChoiceDelta(index=number % 2, content=["to", "get"][number % 2]))
    tokenizer = ruler("gpt-4o")
    found = said.usage(0, tokenizer, usage_pb2.PROVENANCE_PARTIAL_STREAM)
    assert found.visible_output_tokens == tokenizer.count("to" * 20) + tokenizer.count("get" * 20)


def test_streamed_text_usage_counts_the_same_whole_and_in_deltas() -> None:
    tokenizer = ruler("gpt-4o")
    said = StreamedText()
    said.add(pb.ChoiceDelta(reasoning="Let me see. ", content="It is "))
    said.add(pb.ChoiceDelta(reasoning="Yes.", content="raining."))
    said.add(pb.ChoiceDelta(tool_calls=[pb.ToolCallDelta(name="find", arguments='{"x":')]))
    said.add(pb.ChoiceDelta(tool_calls=[pb.ToolCallDelta(arguments="1}")]))
    call = message_pb2.ToolCall(function=message_pb2.FunctionCall(name="find", arguments_json='{"x":1}'))
    custom = message_pb2.ToolCall(custom=message_pb2.CustomCall(name="find", input="the blue one"))
    answer = message_pb2.Message(
        content=[message_pb2.ContentPart(text="It is raining.")],
        reasoning="Let me see. Yes.",
        tool_calls=[call, custom],
    )
    completion = pb.Completion(model="gpt-4o", choices=[pb.Choice(message=answer)])
    found = said.usage(5, tokenizer, usage_pb2.PROVENANCE_PARTIAL_STREAM)
    assert found.visible_output_tokens == tokenizer.count('It is raining.find{"x":1}')
    assert (
        found.reasoning_tokens == counts.estimate_reasoning(completion) == tokenizer.count("Let me see. Yes.")
    )
    whole = (tokenizer.count(text) for text in ("It is raining.", "find", '{"x":1}', "find", "the blue one"))
    assert counts.estimate_answer(completion) == sum(whole)


def test_streamed_text_counts_a_refusal_as_what_is_seen() -> None:
    said = StreamedText()
    said.add(pb.ChoiceDelta(refusal="I cannot help with that."))
    assert said.usage(0, ROUGHLY, usage_pb2.PROVENANCE_PARTIAL_STREAM).visible_output_tokens == ROUGHLY.count(
        "I cannot help with that."
    )

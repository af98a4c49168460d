"""Merging and folding: how the pieces of an answer were grouped does not change the answer."""

from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.chunks import ChunkBuilder, completion, first_choice, fold, joined, text_of, unfold
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2

WORDS = st.text(max_size=4)
FINISHES = st.sampled_from([0, pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH, pb.FINISH_REASON_TOOL_CALLS])
PIECES = st.builds(
    pb.ToolCallDelta,
    index=st.integers(0, 2),
    id=st.none() | st.text("ab", min_size=1, max_size=2),
    name=st.none() | st.text("fg", min_size=1, max_size=2),
    arguments=WORDS,
    is_custom=st.booleans(),
)
TOKENS = st.builds(pb.TokenLogprob, token=WORDS, logprob=st.floats(-10, 0))
DELTAS = st.builds(
    pb.ChoiceDelta,
    index=st.integers(0, 2),
    content=WORDS,
    reasoning=WORDS,
    refusal=WORDS,
    tool_calls=st.lists(PIECES, max_size=2, unique_by=lambda piece: piece.index),
    finish_reason=FINISHES,
    logprobs=st.none() | st.builds(pb.Logprobs, content=st.lists(TOKENS, max_size=2)),
    annotations_json=st.none() | st.just("[1]"),
    reasoning_state_json=st.none() | st.just('[{"type":"thinking"}]'),
    parsed_json=st.none() | st.just("{}"),
)
CHUNKS = st.builds(
    pb.CompletionChunk,
    id=st.just("answer"),
    create_time=st.just({"seconds": 7}),
    choices=st.lists(DELTAS, max_size=2, unique_by=lambda delta: delta.index),
    usage=st.none()
    | st.builds(usage_pb2.Usage, input_tokens=st.integers(0, 9), output_tokens=st.integers(0, 9)),
    system_fingerprint=st.none() | st.just("fp"),
    service_tier=st.none() | st.just("default"),
)


def merged(chunks: Iterable[pb.CompletionChunk]) -> pb.CompletionChunk:
    whole = ChunkBuilder()
    for chunk in chunks:
        whole.add(chunk)
    return whole.build()


def copied(chunk: pb.CompletionChunk) -> pb.CompletionChunk:
    copy = pb.CompletionChunk()
    copy.CopyFrom(chunk)
    return copy


async def stream(chunks: Iterable[pb.CompletionChunk]) -> AsyncIterator[pb.CompletionChunk]:
    for chunk in chunks:
        yield copied(chunk)


@settings(deadline=None, max_examples=80)
@given(CHUNKS, CHUNKS, CHUNKS)
def test_merge_is_associative(a: pb.CompletionChunk, b: pb.CompletionChunk, c: pb.CompletionChunk) -> None:
    assert merged([merged([a, b]), c]) == merged([a, merged([b, c])])


@settings(deadline=None, max_examples=80)
@given(st.lists(CHUNKS, max_size=6), st.lists(st.integers(0, 6), max_size=3))
async def test_fold_does_not_depend_on_how_chunks_were_grouped(
    chunks: list[pb.CompletionChunk], places: list[int]
) -> None:
    ends = sorted({0, len(chunks), *(min(place, len(chunks)) for place in places)})
    groups = [merged(chunks[start:end]) for start, end in pairwise(ends)]
    assert await fold(stream(groups)) == await fold(stream(chunks))


@settings(deadline=None, max_examples=60)
@given(st.lists(CHUNKS, max_size=6))
async def test_fold_loses_no_character(chunks: list[pb.CompletionChunk]) -> None:
    whole = await fold(stream(chunks))
    for index in range(3):
        said = "".join(delta.content for chunk in chunks for delta in chunk.choices if delta.index == index)
        found = [choice for choice in whole.choices if choice.index == index]
        assert "".join(part.text for choice in found for part in choice.message.content) == said


async def test_fold_puts_choices_and_tool_calls_in_order_and_spells_them_out() -> None:
    chunks = [
        pb.CompletionChunk(id="x", model="m", choices=[pb.ChoiceDelta(index=1, content="b")]),
        pb.CompletionChunk(
            choices=[
                pb.ChoiceDelta(
                    index=0,
                    refusal="no",
                    reasoning="hm",
                    tool_calls=[
                        pb.ToolCallDelta(index=1, id="c1", name="write", is_custom=True),
                        pb.ToolCallDelta(index=0, id="c0", name="add", arguments='{"a"'),
                    ],
                )
            ]
        ),
        pb.CompletionChunk(
            choices=[
                pb.ChoiceDelta(
                    index=0,
                    tool_calls=[
                        pb.ToolCallDelta(index=0, arguments=": 1}"),
                        pb.ToolCallDelta(index=1, arguments="free text"),
                    ],
                    finish_reason=pb.FINISH_REASON_TOOL_CALLS,
                )
            ],
            usage=usage_pb2.Usage(input_tokens=3),
            latency_ms=5,
        ),
    ]
    whole = await fold(stream(chunks))
    assert [choice.index for choice in whole.choices] == [0, 1]
    message = whole.choices[0].message
    assert message.role == message_pb2.ROLE_ASSISTANT
    assert [part.refusal for part in message.content] == ["no"]
    assert message.reasoning == "hm"
    assert message.tool_calls[0] == message_pb2.ToolCall(
        id="c0", function=message_pb2.FunctionCall(name="add", arguments_json='{"a": 1}')
    )
    assert message.tool_calls[1] == message_pb2.ToolCall(
        id="c1", custom=message_pb2.CustomCall(name="write", input="free text")
    )
    assert whole.choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS
    assert (whole.id, whole.model, whole.usage.input_tokens, whole.latency_ms) == ("x", "m", 3, 5)


def test_fields_that_the_stream_left_out_stay_unset() -> None:
    whole = completion(pb.CompletionChunk(choices=[pb.ChoiceDelta(index=0)]))
    assert not whole.HasField("usage")
    assert not whole.HasField("service_tier")
    assert not whole.choices[0].HasField("logprobs")
    assert not whole.choices[0].message.HasField("reasoning")
    assert not whole.choices[0].message.content


@settings(deadline=None, max_examples=80)
@given(st.lists(CHUNKS, min_size=1, max_size=9))
def test_joined_says_what_the_chunks_say_and_leaves_them_alone(chunks: list[pb.CompletionChunk]) -> None:
    before = [copied(chunk) for chunk in chunks]
    assert joined(chunks) == merged(before)
    assert chunks == before


@settings(deadline=None, max_examples=80)
@given(st.lists(CHUNKS, max_size=6))
async def test_unfolded_answer_folds_to_itself(chunks: list[pb.CompletionChunk]) -> None:
    answer = await fold(stream(chunks))
    answer.latency_ms, answer.cache_status = 5, pb.CACHE_STATUS_HIT
    told = list(unfold(answer))
    assert len(told) == len(answer.choices) + 1
    assert [len(chunk.choices) for chunk in told] == [1] * len(answer.choices) + [0]
    assert await fold(stream(told)) == answer


def test_first_choice_of_an_answer_without_choices_is_empty() -> None:
    assert text_of(first_choice(pb.Completion())) == ""


def test_text_of_a_choice_leaves_its_refusal_out() -> None:
    answer = pb.Completion(choices=[pb.Choice()])
    content = answer.choices[0].message.content
    content.extend([message_pb2.ContentPart(text="a"), message_pb2.ContentPart(refusal="no")])
    assert text_of(first_choice(answer)) == "a"

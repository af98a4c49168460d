"""What certainly does not fit is refused before it costs anything; old messages are left out whole."""

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from genai_spine.errors import ContextLengthExceeded
from genai_spine.tokens import context_window, counts, encodings
from genai_spine.tokens.context_window import RESERVE, truncated
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.unit.tokens.samples import SAMPLES

SYSTEM, DEVELOPER, USER = message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER, message_pb2.ROLE_USER
ASSISTANT, TOOL, FUNCTION = message_pb2.ROLE_ASSISTANT, message_pb2.ROLE_TOOL, message_pb2.ROLE_FUNCTION
ROUGH = "llama3.2"
EXACT = "gpt-4o"


def said(
    role: message_pb2.Role, text: str = "", *, calls: tuple[str, ...] = (), **fields: Any
) -> message_pb2.Message:
    content = [message_pb2.ContentPart(text=text)] if text else []
    called = [
        message_pb2.ToolCall(id=id, function=message_pb2.FunctionCall(name="find", arguments_json="{}"))
        for id in calls
    ]
    return message_pb2.Message(role=role, content=content, tool_calls=called, **fields)


def asked(*messages: message_pb2.Message, model: str = EXACT, **fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(provider="openai", model=model, messages=messages, **fields)


async def size(request: pb.CreateCompletionRequest) -> int:
    return counts.tally(request, await Tokenizer.of(request.model)).tokens


async def check_context(request: pb.CreateCompletionRequest, length: int | None) -> None:
    await context_window.check_context(request, request.provider, request.model, length)


async def truncate(request: pb.CreateCompletionRequest, length: int) -> int:
    """How many messages are left out; the request is then the one without them."""
    before = pb.CreateCompletionRequest()
    before.CopyFrom(request)
    shorter = await truncated(request, request.model, length)
    assert request == before  # the caller's own is not written into
    gone = len(request.messages) - len(shorter.messages)
    assert (shorter is request) == (gone == 0)
    request.CopyFrom(shorter)
    return gone


# --- Checking


async def test_an_input_that_is_too_long_is_refused_with_its_numbers() -> None:
    request = asked(said(USER, "word " * 9000), model="gpt-4")
    with pytest.raises(ContextLengthExceeded) as caught:
        await check_context(request, 8192)
    assert caught.value.metadata["provider_code"] == "context_length_exceeded"
    assert caught.value.metadata["provider"] == "openai"
    assert 8992 <= int(caught.value.metadata["input_tokens"]) <= 9001
    assert caught.value.metadata["context_length"] == "8192"
    assert "gpt-4 takes 8192" in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize("length", [None, 8_600, 10_000, 1_000_000])
async def test_an_input_that_fits_or_may_fit_is_let_through(length: int | None) -> None:
    await check_context(asked(said(USER, "word " * 9000), model="gpt-4"), length)


async def test_an_answer_that_would_not_fit_is_the_providers_to_refuse() -> None:
    await check_context(asked(said(USER, "word " * 9000), model="gpt-4", max_tokens=5000), 10_000)


async def test_an_estimate_refuses_only_what_is_far_too_long() -> None:
    request = asked(said(USER, SAMPLES["english"] * 100), model=ROUGH)
    estimate = await size(request)
    await check_context(request, int(estimate / 1.2))
    with pytest.raises(ContextLengthExceeded):
        await check_context(request, estimate // 3)


@pytest.mark.parametrize("kind", SAMPLES)
async def test_no_text_is_refused_that_has_room_by_the_real_count(kind: str) -> None:
    encoding = encodings.load("o200k_base")
    assert encoding is not None
    text = SAMPLES[kind] * 20
    for model in (ROUGH, EXACT):
        await check_context(asked(said(USER, text), model=model), encodings.count(encoding, text))


async def test_images_tools_and_frames_refuse_nothing() -> None:
    image = message_pb2.ContentPart(image=message_pb2.ImagePart(url="https://example.org/" + "a" * 900))
    messages = [message_pb2.Message(role=USER, content=[image])] * 30
    await check_context(asked(*messages), 1000)


async def test_a_short_request_is_not_even_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tokenizer, "of", None)
    await check_context(asked(said(USER, "word " * 1000)), 8192)
    assert await truncate(asked(said(USER, "word " * 1000)), 8192) == 0


async def test_a_megabyte_of_one_letter_is_refused_by_its_real_size() -> None:
    request = asked(said(USER, "a" * (1 << 20)), model="gpt-4")
    await check_context(request, 132_000)
    with pytest.raises(ContextLengthExceeded):
        await check_context(request, 120_000)


async def test_a_table_of_numbers_is_not_taken_for_more_than_it_is() -> None:
    numbers = "0.123456789012345678,"
    encoding = encodings.load("o200k_base")
    assert encoding is not None
    for model in (ROUGH, EXACT):
        await check_context(
            asked(said(USER, numbers * 2000), model=model), encodings.count(encoding, numbers * 2000)
        )


# --- Truncating


def texts(request: pb.CreateCompletionRequest) -> list[str]:
    return [message.content[0].text.split()[0] if message.content else "" for message in request.messages]


def long(name: str) -> str:
    return f"{name} " + "word " * 99


async def test_the_oldest_messages_go_first_and_instructions_stay() -> None:
    request = asked(
        said(SYSTEM, long("rules")),
        said(USER, long("first")),
        said(ASSISTANT, long("second")),
        said(DEVELOPER, long("more")),
        said(USER, long("third")),
        said(ASSISTANT, long("fourth")),
        said(USER, long("last")),
        max_tokens=50,
    )
    assert await truncate(request, 50 + 5 * 106) == 2
    assert texts(request) == ["rules", "more", "third", "fourth", "last"]
    assert await truncate(request, 50 + 5 * 106) == 0
    assert await truncate(request, 100) == 2
    assert texts(request) == ["rules", "more", "last"]
    assert await truncate(request, 100) == 0


@pytest.mark.parametrize("model", [EXACT, ROUGH])
async def test_a_call_goes_with_all_its_results(model: str) -> None:
    request = asked(
        said(USER, long("first")),
        said(ASSISTANT, calls=("a", "b")),
        said(TOOL, long("a"), tool_call_id="a"),
        said(TOOL, long("b"), tool_call_id="b"),
        said(ASSISTANT, long("second")),
        said(USER, long("last")),
        model=model,
    )
    room = await size(request) - 110
    request.max_tokens = 10
    assert await truncate(request, room) == 4
    assert texts(request) == ["second", "last"]


async def test_a_result_that_comes_last_keeps_its_call() -> None:
    request = asked(
        said(USER, long("first")),
        said(ASSISTANT, calls=("a", "b")),
        said(TOOL, long("a"), tool_call_id="a"),
        said(TOOL, long("b"), tool_call_id="b"),
    )
    assert await truncate(request, 100) == 1
    assert texts(request) == ["", "a", "b"]


async def test_a_function_result_stays_with_the_message_before_it() -> None:
    request = asked(
        said(USER, long("first")),
        said(ASSISTANT, long("second")),
        said(FUNCTION, long("result"), name="find"),
        said(USER, long("last")),
        max_tokens=1,
    )
    assert await truncate(request, 320) == 3
    assert texts(request) == ["last"]


async def test_room_is_kept_for_the_answer() -> None:
    def request(**fields: Any) -> pb.CreateCompletionRequest:
        return asked(said(USER, long("first")), said(USER, "last " + "word " * 6000), **fields)

    length = await size(request()) + RESERVE
    assert await truncate(request(), length) == 0
    assert await truncate(request(), length - 1) == 1
    assert await truncate(request(max_tokens=RESERVE + 1), length) == 1
    assert await truncate(request(max_tokens=1), length - RESERVE + 1) == 0


async def test_a_bare_text_is_left_whole() -> None:
    request = pb.CreateCompletionRequest(model=EXACT, prompt=pb.TextPrompt(text="word " * 1000))
    assert await truncate(request, 10) == 0
    assert request.prompt.text == "word " * 1000


@st.composite
def conversations(draw: st.DrawFn) -> list[message_pb2.Message]:
    """Messages of any order; each result follows its call, with others in between at times."""
    messages: list[message_pb2.Message] = []
    open_calls: list[str] = []
    for number in range(draw(st.integers(1, 12))):
        text = "word " * draw(st.integers(1, 40))
        role = draw(st.sampled_from([SYSTEM, USER, ASSISTANT, TOOL]))
        if role == ASSISTANT and draw(st.booleans()):
            ids = tuple(f"{number}-{call}" for call in range(draw(st.integers(1, 3))))
            open_calls += ids
            messages.append(said(ASSISTANT, calls=ids))
        elif role == TOOL and open_calls:
            messages.append(said(TOOL, text, tool_call_id=open_calls.pop(0)))
        else:
            messages.append(said(USER if role == TOOL else role, text))
    return messages


@given(conversations(), st.integers(10, 400), st.sampled_from([EXACT, ROUGH]))
async def test_what_is_kept_fits_or_is_the_least_that_may_be_kept(
    messages: list[message_pb2.Message], length: int, model: str
) -> None:
    request = asked(*messages, model=model, max_tokens=5)
    before = pb.CreateCompletionRequest()
    before.CopyFrom(request)
    gone = await truncate(request, length)
    again = pb.CreateCompletionRequest()
    again.CopyFrom(before)
    assert await truncate(again, length) == gone
    assert again == request  # the same request is always cut in the same way
    kept = list(request.messages)
    rest = iter(messages)
    assert all(any(message == other for other in rest) for message in kept)  # unchanged and in order
    assert gone == len(messages) - len(kept)
    assert kept[-1] == messages[-1]
    instructions = [message for message in messages if message.role == SYSTEM]
    assert [message for message in kept if message.role == SYSTEM] == instructions
    assert answered(kept) == answered(messages) & {call.id for one in kept for call in one.tool_calls}
    if await size(request) > length - 5:
        assert not [one for one in kept if removable(one, kept)]


def answered(messages: list[message_pb2.Message]) -> set[str]:
    return {message.tool_call_id for message in messages if message.role == TOOL}


def removable(message: message_pb2.Message, kept: list[message_pb2.Message]) -> bool:
    """Neither an instruction, nor the last message, nor of one pair with it."""
    last = kept[-1]
    pair = last.role == TOOL and (
        message.role == TOOL or last.tool_call_id in {call.id for call in message.tool_calls}
    )
    return message.role != SYSTEM and message is not last and not pair


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # of most conversations nothing is removed
@given(conversations(), st.integers(10, 400))
async def test_no_more_is_removed_than_needed(messages: list[message_pb2.Message], length: int) -> None:
    request = asked(*messages, max_tokens=5)
    gone = await truncate(request, length)
    assume(gone)
    removed = [message for message in messages if message not in request.messages]
    assume(removed and not [one for one in removed if one.role == TOOL or one.tool_calls])
    newest = asked(*[one for one in messages if one in request.messages or one is removed[-1]], max_tokens=5)
    assert await size(newest) > length - 5

"""Which marks for caching go out: the last four, the longer ones first."""

from typing import Any

from genai_spine.providers.prompt_cache import END, TOOLS, marks
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

SHORT, LONG = message_pb2.PROMPT_CACHE_5M, message_pb2.PROMPT_CACHE_1H


def part(cache: Any = 0) -> message_pb2.ContentPart:
    return message_pb2.ContentPart(text="x", prompt_cache=cache)


def message(*parts: message_pb2.ContentPart, role: Any = message_pb2.ROLE_USER, **fields: Any) -> Any:
    return message_pb2.Message(role=role, content=parts, **fields)


def marked(*messages: Any, tools: Any = (), room: int = 4) -> dict[Any, str]:
    return dict(marks(pb.CreateCompletionRequest(messages=messages, tools=tools), room))


def test_marks_are_in_the_order_of_the_prompt() -> None:
    tool = message_pb2.Tool(function=message_pb2.FunctionTool(name="f"), prompt_cache=LONG)
    instructions = message(part(LONG), role=message_pb2.ROLE_SYSTEM)
    found = marked(message(part(), part(SHORT)), instructions, tools=[tool])
    assert list(found.items()) == [((TOOLS, 0), "1h"), ((1, 0), "1h"), ((0, 1), "5m")]


def test_of_more_than_there_is_room_for_the_last_count() -> None:
    five = message(*[part(SHORT)] * 5)
    assert list(marked(five)) == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert list(marked(five, room=3)) == [(0, 2), (0, 3), (0, 4)]
    assert marked(five, room=0) == {}


def test_an_hour_behind_five_minutes_is_five_minutes() -> None:
    assert list(marked(message(part(LONG), part(SHORT), part(LONG))).values()) == ["1h", "5m", "5m"]


def test_openais_times_are_an_hour() -> None:
    times = (message_pb2.PROMPT_CACHE_30M, message_pb2.PROMPT_CACHE_12H)
    assert list(marked(message(*map(part, times))).values()) == ["1h", "1h"]


def test_the_mark_of_a_message_and_of_its_last_part_are_one() -> None:
    assert list(marked(message(part(), part(SHORT), prompt_cache=LONG))) == [(0, END)]
    call = message_pb2.ToolCall(id="c", function=message_pb2.FunctionCall(name="f"))
    calling = message(part(SHORT), role=message_pb2.ROLE_ASSISTANT, tool_calls=[call], prompt_cache=SHORT)
    assert list(marked(calling)) == [(0, 0), (0, END)]

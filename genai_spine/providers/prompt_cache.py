"""Marks for caching of a prompt: which of a request's marks go out, in the order of the prompt.

Anthropic, and Bedrock with its models, take four marks in one request, and none that lasts an hour behind
one of five minutes: https://platform.claude.com/docs/en/build-with-claude/prompt-caching, 2026-11-28. The
last four are the ones that cover most; where the times are in the wrong order, the later one is shortened.
"""

from collections.abc import Iterator, Mapping

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

MAX_MARKS = 4
END = -1  # in place of a part: the end of the message, calls of tools included
TOOLS = -1  # in place of a message: tools, which stand before all of them
INSTRUCTIONS = frozenset((message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER))

Place = tuple[int, int]  # number of the message, and of its part; of tools TOOLS and the tool's number
Marks = Mapping[Place, str]  # ttl of each mark that goes out: 5m or 1h
SHORT, LONG = "5m", "1h"
LASTING = (message_pb2.PROMPT_CACHE_1H, message_pb2.PROMPT_CACHE_30M, message_pb2.PROMPT_CACHE_12H)


def marks(request: pb.CreateCompletionRequest, room: int = MAX_MARKS) -> Marks:
    """Marks that go out, with their time to live. room: how many the upstream takes."""
    found = [*_places(request)][-room:] if room > 0 and _is_marked(request) else []
    chosen: dict[Place, str] = {}
    ttl = LONG
    for place, cache in found:
        ttl = LONG if ttl == LONG and cache in LASTING else SHORT
        chosen[place] = ttl
    return chosen


def _is_marked(request: pb.CreateCompletionRequest) -> bool:
    """Whether there may be a mark: most requests have none."""
    for message in request.messages[:]:  # a slice is read faster than the field
        if message.prompt_cache:
            return True
        for part in message.content[:]:
            if part.prompt_cache:
                return True
    return bool(request.tools)


def _places(request: pb.CreateCompletionRequest) -> Iterator[tuple[Place, "message_pb2.PromptCache"]]:
    """Every mark in the order of the prompt: tools, instructions, the rest."""
    for number, tool in enumerate(request.tools):
        if tool.prompt_cache:
            yield (TOOLS, number), tool.prompt_cache
    for of_instructions in (True, False):
        for number, message in enumerate(request.messages):
            if (message.role in INSTRUCTIONS) is of_instructions:
                yield from _in_message(number, message)


def _in_message(
    number: int, message: message_pb2.Message
) -> Iterator[tuple[Place, "message_pb2.PromptCache"]]:
    last = len(message.content) - 1
    for position, part in enumerate(message.content):
        # The mark of the message stands at the same place.
        covered = message.prompt_cache and position == last and not message.tool_calls
        if part.prompt_cache and not covered:
            yield (number, position), part.prompt_cache
    if message.prompt_cache:
        yield (number, END), message.prompt_cache

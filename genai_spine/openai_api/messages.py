"""Messages of OpenAI's JSON as those of the contract: roles, parts, tool calls, earlier thinking.

Errors: InvalidRequest naming the field.
"""

import base64
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from genai_spine.errors import InvalidRequest
from genai_spine.media import media_types
from genai_spine.openai_api.schemas import (
    AudioPart,
    ChatMessage,
    ContentPart,
    CustomToolCall,
    File,
    FunctionToolCall,
    ImagePart,
    ImageUrl,
    Marked,
    RedactedThinkingPart,
    RefusalPart,
    TextPart,
    ThinkingPart,
)
from genai_spine.providers import reasoning_state
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

ROLES = {
    "system": message_pb2.ROLE_SYSTEM,
    "developer": message_pb2.ROLE_DEVELOPER,
    "user": message_pb2.ROLE_USER,
    "assistant": message_pb2.ROLE_ASSISTANT,
    "tool": message_pb2.ROLE_TOOL,
    "function": message_pb2.ROLE_FUNCTION,
}
DETAILS = {
    "auto": message_pb2.IMAGE_DETAIL_AUTO,
    "low": message_pb2.IMAGE_DETAIL_LOW,
    "high": message_pb2.IMAGE_DETAIL_HIGH,
    "original": message_pb2.IMAGE_DETAIL_ORIGINAL,
}
CACHES = {
    "5m": message_pb2.PROMPT_CACHE_5M,
    "1h": message_pb2.PROMPT_CACHE_1H,
    "30m": message_pb2.PROMPT_CACHE_30M,
    "12h": message_pb2.PROMPT_CACHE_12H,
}


def message_into(into: message_pb2.Message, message: ChatMessage, number: int) -> None:
    """Chat message with its role, content parts and tool calls."""
    into.role = ROLES[message.role]
    if isinstance(message.content, str):
        into.content.add().text = message.content
    thoughts: list[ThinkingPart | RedactedThinkingPart] = []
    for at, part in enumerate(message.content if isinstance(message.content, list) else ()):
        if isinstance(part, ThinkingPart | RedactedThinkingPart):
            thoughts.append(part)
        else:
            _part(into.content.add(), part, f"messages[{number}].content[{at}]")
    if message.refusal:
        into.content.add(refusal=message.refusal)
    if message.name is not None:
        into.name = message.name
    if message.tool_call_id is not None:
        into.tool_call_id = message.tool_call_id
    for call in message.tool_calls or ():
        _tool_call(into.tool_calls.add(id=call.id or ""), call)
    if call_before_tools := message.function_call:
        function = message_pb2.FunctionCall(
            name=call_before_tools.name, arguments_json=call_before_tools.arguments
        )
        into.tool_calls.add(id=f"call_{number}", function=function)
    if message.cache_control:
        into.prompt_cache = CACHES[message.cache_control.ttl or "5m"]
    if message.role == "assistant":
        _earlier_answer(into, message, number)
        _earlier_thoughts(into, thoughts)


def _tool_call(into: message_pb2.ToolCall, call: FunctionToolCall | CustomToolCall) -> None:
    if isinstance(call, FunctionToolCall):
        into.function.name, into.function.arguments_json = call.function.name, call.function.arguments
    else:
        into.custom.name, into.custom.input = call.custom.name, call.custom.input
    if call.extra_content:
        into.provider_state_json = msgspec.json.encode(call.extra_content).decode()


def _earlier_answer(into: message_pb2.Message, message: ChatMessage, number: int) -> None:
    """Thinking of an earlier answer, and what its provider proves it with. An answer without anything is an
    empty text, which SDKs write as null.
    """
    if message.audio and not into.content:
        problem = "earlier answers in sound cannot be sent on by their id; send their text as content"
        raise InvalidRequest(field=f"messages[{number}].audio", problem=problem)
    if not into.content and not into.tool_calls:
        into.content.add(text="")
    if thinking := message.reasoning_content or message.reasoning:
        into.reasoning = thinking
    state = message.reasoning_details or message.thinking_blocks or []
    if state or message.extra_content:
        extra = Raw(msgspec.json.encode(message.extra_content)) if message.extra_content else None
        parts = [Raw(msgspec.json.encode(part)) for part in state]
        into.reasoning_state_json = reasoning_state.join(parts, extra)


def _earlier_thoughts(
    into: message_pb2.Message, thoughts: Sequence[ThinkingPart | RedactedThinkingPart]
) -> None:
    """Thinking that stood among the parts of an earlier answer."""
    texts = [thought.thinking for thought in thoughts if isinstance(thought, ThinkingPart)]
    if words := "".join(text if isinstance(text, str) else "".join(p.text for p in text) for text in texts):
        into.reasoning = into.reasoning or words
    proven = [
        Raw(msgspec.json.encode(thought))
        for thought in thoughts
        if isinstance(thought, RedactedThinkingPart) or thought.signature
    ]
    if proven and not into.reasoning_state_json:
        into.reasoning_state_json = reasoning_state.join(proven)


def name_calls(request: pb.CreateCompletionRequest) -> None:
    """Gives calls without an id one by their place, and results without one that of the next open call."""
    open_calls: list[message_pb2.ToolCall] = []
    for number, message in enumerate(request.messages):
        for at, call in enumerate(message.tool_calls):
            if not call.id:
                call.id = f"call_{number}_{at}"
            open_calls.append(call)
        if message.role == message_pb2.ROLE_TOOL:
            named = message.tool_call_id
            same = (call for call in open_calls if call.id == named or not named)
            if found := next(same, None):
                message.tool_call_id = found.id
                open_calls.remove(found)


def _part(into: message_pb2.ContentPart, part: ContentPart, path: str) -> None:
    """Content part: text, image, audio, file or refusal. Errors: InvalidRequest (sound that is no base64)."""
    if isinstance(part, RefusalPart):
        into.refusal = part.refusal
        return
    if isinstance(part, TextPart):
        into.text = part.text
    elif isinstance(part, ImagePart):
        image = ImageUrl(part.image_url) if isinstance(part.image_url, str) else part.image_url
        into.image.url = image.url
        if image.detail:
            into.image.detail = DETAILS[image.detail]
    elif isinstance(part, AudioPart):
        _audio(into.audio, part, f"{path}.input_audio")
    else:
        into.file.SetInParent()
        for name in File.__struct_fields__:
            if (value := getattr(part.file, name)) is not None:
                setattr(into.file, name, value)
    if cache := prompt_cache(part):
        into.prompt_cache = cache


def _audio(into: message_pb2.AudioPart, part: AudioPart, path: str) -> None:
    """Sound from base64, with or without the beginning of a data: URL."""
    audio = part.input_audio
    text, declared = audio.data, audio.format
    if found := media_types.parse(text):
        text, declared = found.data, declared or found.media_type
    try:
        into.data = base64.b64decode(media_types.clean_base64(text), validate=True)
    except ValueError as error:
        raise InvalidRequest(field=f"{path}.data", problem=f"not base64: {error}") from None
    into.format = media_types.audio_format(declared, into.data)


def prompt_cache(marked: Marked) -> "message_pb2.PromptCache":
    """Mark for caching, in Anthropic's words or OpenAI's."""
    if marked.cache_control:
        return CACHES[marked.cache_control.ttl or "5m"]
    if marked.prompt_cache_breakpoint:
        return CACHES[marked.prompt_cache_breakpoint.ttl or "30m"]
    return message_pb2.PROMPT_CACHE_UNSPECIFIED

"""A model's context: whether an input fits into it, and what is left out of a conversation that does not."""

from genai_spine.errors import ContextLengthExceeded
from genai_spine.tokens import counts
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

RESERVE = 1024  # tokens kept for an answer whose length the request does not limit, but at most a quarter
# Lists of models round their contexts: 1,000,000 stands for 1,048,576, and 32,000 for 32,768.
ROUNDING = 1.05
INSTRUCTIONS = frozenset((message_pb2.ROLE_SYSTEM, message_pb2.ROLE_DEVELOPER))

Unit = list[int]  # numbers of messages that stay or go together


async def check_context(
    request: pb.CreateCompletionRequest, provider: str, model: str, context_length: int | None
) -> None:
    """Refuses an input that is certainly too long for the model, before it costs anything.

    Certain is what the model's own encoding counts of its text, or the least that the text can have in any.
    Images, frames and tools are not counted, and room for an answer of max_tokens is the provider's to ask
    for, so that nothing is refused here that might be answered.
    Errors: ContextLengthExceeded.
    """
    # A token is at least one byte: most requests are let through without counting.
    if context_length is None or request.ByteSize() <= context_length:
        return
    lower_bound = await counts.lower_bound_in_thread(request, await Tokenizer.of(model))
    if lower_bound > context_length * ROUNDING:
        raise ContextLengthExceeded(
            provider=provider,
            provider_code="context_length_exceeded",
            provider_message=f"at least {lower_bound} tokens, and {model} takes {context_length}",
            model=model,
            input_tokens=lower_bound,
            context_length=context_length,
        )


async def truncated(
    request: pb.CreateCompletionRequest, model: str, context_length: int
) -> pb.CreateCompletionRequest:
    """The request without its oldest messages, so that input and room for the answer fit; itself if they do.

    Instructions and the last message stay, and a tool call stays or goes with its results. Where that is
    not enough, everything else is gone: check_context() or the provider then refuses what is left.
    """
    room = context_length - (request.max_tokens or min(RESERVE, context_length // 4))
    if request.HasField("prompt") or request.ByteSize() <= room - counts.PER_REPLY - counts.PER_TOOLS_END:
        return request
    tokenizer = await Tokenizer.of(model)
    sizes = await counts.sizes_in_thread(request, tokenizer)
    gone = _oldest(request, sizes, sum(sizes) + counts.overhead(request, tokenizer).tokens - room)
    if not gone:
        return request
    shorter = pb.CreateCompletionRequest()
    shorter.CopyFrom(request)
    for number in sorted(gone, reverse=True):
        del shorter.messages[number]
    return shorter


def _oldest(request: pb.CreateCompletionRequest, sizes: list[int], excess: int) -> Unit:
    """The messages to remove so that at least `excess` tokens go, or all that may be removed."""
    gone: Unit = []
    for unit in _units(request):
        if excess <= 0:
            break
        if unit[-1] != len(sizes) - 1 and request.messages[unit[0]].role not in INSTRUCTIONS:
            gone += unit
            excess -= sum(sizes[number] for number in unit)
    return gone


def _units(request: pb.CreateCompletionRequest) -> list[Unit]:
    """The messages in order of age, with the results of tool calls beside the message that asked for them."""
    units: list[Unit] = []
    asked: dict[str, Unit] = {}  # id of a call -> unit of the message that made it
    for number, message in enumerate(request.messages):
        unit = asked.get(message.tool_call_id) if message.role == message_pb2.ROLE_TOOL else None
        if (
            message.role == message_pb2.ROLE_FUNCTION and units
        ):  # its call has no id: it answers the message before
            unit = units[-1]
        if unit is None:
            unit = []
            units.append(unit)
        unit.append(number)
        asked.update((call.id, unit) for call in message.tool_calls)
    return units

"""Counting tokens without the provider: estimates, for answers that carry no usage of their own."""

from genai_spine.v1 import completion_service_pb2 as pb

# Mean characters of one token: of English text and code in ASCII, and of everything else.
ASCII_PER_TOKEN = 4.0
OTHER_PER_TOKEN = 1.5
PER_MESSAGE = 4  # role and separators
PER_IMAGE = 765  # a 1024x1024 image in high detail (OpenAI's guide, 2026-11-21)
PER_AUDIO_BYTE = 10 / 32_000  # 10 tokens a second of 16 kHz, 16-bit sound


def estimate(text: str) -> int:
    """Tokens of a text; at least 1 for a text that is not empty."""
    return rounded(weight(text))


def weight(text: str) -> float:
    """Tokens of a text before they are rounded, so that those of its pieces can be summed."""
    ascii_count = len(text) if text.isascii() else sum(char < "\x80" for char in text)
    return ascii_count / ASCII_PER_TOKEN + (len(text) - ascii_count) / OTHER_PER_TOKEN


def rounded(weight: float) -> int:
    return max(1, round(weight)) if weight else 0


def estimate_input(request: pb.CreateCompletionRequest) -> int:
    if request.HasField("prompt"):
        return len(request.prompt.tokens.tokens) or estimate(request.prompt.text)
    tools = sum(estimate(str(tool.function.parameters_json)) + PER_MESSAGE for tool in request.tools)
    return tools + sum(_message(message) for message in request.messages)


def estimate_inputs(request: pb.CreateEmbeddingsRequest) -> int:
    return sum(len(entry.tokens.tokens) or estimate(entry.text) for entry in request.inputs)


def delta_weight(delta: pb.ChoiceDelta) -> float:
    """Visible tokens of a delta before they are rounded; its reasoning is not among them."""
    said = weight(delta.content) + weight(delta.refusal)
    return said + sum(weight(call.name) + weight(call.arguments) for call in delta.tool_calls)


def estimate_answer(completion: pb.Completion) -> int:
    return sum(_said(choice.message) for choice in completion.choices)


def estimate_reasoning(completion: pb.Completion) -> int:
    return sum(estimate(choice.message.reasoning) for choice in completion.choices)


def usage(given: int, visible: int, reasoning: int = 0, *, output: pb.Provenance) -> pb.Usage:
    """Usage from estimates; `output` says where the output numbers come from."""
    return pb.Usage(
        input_tokens=given,
        output_tokens=visible + reasoning,
        total_tokens=given + visible + reasoning,
        uncached_input_tokens=given,
        visible_output_tokens=visible,
        reasoning_tokens=reasoning,
        input_provenance=pb.PROVENANCE_ESTIMATED,
        output_provenance=output,
    )


def _said(message: pb.Message) -> int:
    calls = message.tool_calls
    return sum(estimate(part.text or part.refusal) for part in message.content) + sum(
        estimate(call.function.name) + estimate(call.function.arguments or call.custom.input)
        for call in calls
    )


def _message(message: pb.Message) -> int:
    count = PER_MESSAGE
    for part in message.content:
        count += estimate(part.text or part.refusal or part.file.file_data)
        count += PER_IMAGE if part.HasField("image") else 0
        count += round(len(part.audio.data) * PER_AUDIO_BYTE)
    return count + sum(estimate(call.function.arguments) + PER_MESSAGE for call in message.tool_calls)

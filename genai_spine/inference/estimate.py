"""Estimate: an upper bound of what a call costs, before it is made."""

from dataclasses import dataclass, replace
from typing import Any

from genai_spine.billing import upper_bound
from genai_spine.billing.price_book import PriceBook
from genai_spine.billing.upper_bound import CallSize
from genai_spine.providers.base import Route
from genai_spine.tokens import counts
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import usage_pb2

COUNT_MARGIN = 1.02  # a count is a little off
AUDIO_BYTES_PER_S = 1000  # of sound at the lowest bit rate in use


@dataclass(frozen=True, slots=True)
class ReserveRules:
    """Rules of what is reserved for calls that do not say enough."""

    max_answer_tokens: int = 4096  # of an answer whose request sets no limit
    allows_unknown_price: bool = False  # also where a budget blocks


def most_ticks(
    request: Any, route: Route, prices: PriceBook, rules: ReserveRules, *, is_counted: bool
) -> int | None:
    """Most that the call costs, in ticks; None where the price book cannot tell.

    is_counted: the input is counted with the model's encoding; otherwise its bytes stand for tokens, which is
    more and costs no time.
    """
    provider, local = route.provider.name, route.provider.local
    if prices.is_free(provider, route.model, local=local):
        return 0
    size = call_size(request, route.model, rules, is_counted=is_counted)
    if not is_counted and (length := prices.context_length(provider, route.model)):
        size = replace(size, input_tokens=min(size.input_tokens, length))
    return prices.most_ticks(provider, route.model, size, local=local)


def call_size(request: Any, model: str, rules: ReserveRules, *, is_counted: bool) -> CallSize:
    """Upper bounds of tokens and units of a request."""
    match request:
        case pb.CreateCompletionRequest():
            counted = counts.estimate_input(request, model) * COUNT_MARGIN if is_counted else 0
            answers = (request.max_tokens or rules.max_answer_tokens) * max(1, request.choice_count)
            return upper_bound.call_size(
                request, int(counted) + 1 if is_counted else request.ByteSize(), answers
            )
        case pb.CreateEmbeddingsRequest():
            tokens = counts.estimate_inputs(request, model) * COUNT_MARGIN if is_counted else 0
            return CallSize(int(tokens) + 1 if is_counted else request.ByteSize())
        case media.CreateImagesRequest():
            units = usage_pb2.UnitUsage(images=max(1, request.image_count))
            return CallSize(Tokenizer.if_loaded(model).count(request.prompt), units=units)
        case media.CreateSpeechRequest():
            return CallSize(len(request.input), units=usage_pb2.UnitUsage(characters=len(request.input)))
        case media.CreateTranscriptionRequest():
            seconds = len(request.data) // AUDIO_BYTES_PER_S + 1
            return CallSize(units=usage_pb2.UnitUsage(audio_ms=seconds * 1000))
    raise TypeError(f"{type(request).__name__} is no call of a provider")

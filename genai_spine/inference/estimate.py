"""Estimate: an upper bound of what a call costs before it is made, and afterwards where that is unknown."""

from dataclasses import dataclass, replace
from typing import Any

from genai_spine.billing import upper_bound
from genai_spine.billing.price_book import Listing, PriceBook
from genai_spine.billing.upper_bound import CallSize
from genai_spine.costs import cost_of
from genai_spine.media import wav
from genai_spine.providers.base import Route
from genai_spine.tokens import counts, images
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import LOSS_RESOLUTION_RESERVE, Execution

COUNT_MARGIN = 1.02  # a count is a little off
AUDIO_BYTES_PER_S = 1000  # of sound at the lowest bit rate in use
CHANNELS = 2  # of sound whose header is not read


@dataclass(frozen=True, slots=True)
class ReserveRules:
    """Rules of what is reserved for calls that do not say enough."""

    max_answer_tokens: int = 4096  # of an answer whose request sets no limit
    allows_unknown_price: bool = False  # also where a budget blocks

    def answer_tokens(self, request: pb.CreateCompletionRequest) -> int:
        """Most tokens of all choices of an answer together."""
        return (request.max_tokens or self.max_answer_tokens) * max(1, request.choice_count)


class InputCount:
    """Most tokens of a request's input, counted with the model's encoding when they are first asked for."""

    __slots__ = ("_model", "_request", "_tokens")

    def __init__(self, request: Any, model: str) -> None:
        self._request, self._model = request, model
        self._tokens: int | None = None

    @property
    def tokens(self) -> int:
        if self._tokens is None:
            if isinstance(self._request, pb.CreateCompletionRequest):
                tokens = counts.estimate_input(self._request, self._model)
            else:
                tokens = counts.estimate_inputs(self._request, self._model)
            self._tokens = int(tokens * COUNT_MARGIN) + 1
        return self._tokens


def most_ticks(
    request: Any, route: Route, prices: PriceBook, rules: ReserveRules, count: InputCount | None
) -> int | None:
    """Most that the call costs, in ticks; None where the price book cannot tell.

    count: of the input; None: its bytes stand for tokens, which is more and costs no time.
    """
    provider, local = route.provider.name, route.provider.local
    listed = prices.listed(provider, route.model, local=local)
    if listed.is_free:
        return 0
    if listed.price is None:
        return None
    is_completion = isinstance(request, pb.CreateCompletionRequest)
    if is_completion and listed.text is not None and not request.provider_options_json:
        return _most_of_text(request, route.model, listed, rules, count)
    size = call_size(request, route.model, rules, count)
    if count is None and listed.context_length:
        size = replace(size, input_tokens=min(size.input_tokens, listed.context_length))
    return prices.most_ticks(provider, route.model, size, local=local)


def _most_of_text(
    request: pb.CreateCompletionRequest,
    model: str,
    listed: Listing,
    rules: ReserveRules,
    count: InputCount | None,
) -> int:
    """Most ticks of a completion of a model whose calls cost no more than their tokens."""
    rates, answer = listed.text, rules.answer_tokens(request)
    assert rates is not None
    tokens = _by_bytes(request, model)
    if count is None:
        return rates.ticks(min(tokens, listed.context_length or tokens), answer)
    if tokens * rates.input > answer * rates.output * (COUNT_MARGIN - 1):  # else a count would add nothing
        tokens = min(tokens, count.tokens)
    return rates.ticks(tokens, answer)


def call_size(request: Any, model: str, rules: ReserveRules, count: InputCount | None) -> CallSize:
    """Upper bounds of tokens and units of a request. count: as most_ticks() takes it."""
    match request:
        case pb.CreateCompletionRequest():
            tokens = _by_bytes(request, model) if count is None else count.tokens
            return upper_bound.call_size(request, tokens, rules.answer_tokens(request))
        case pb.CreateEmbeddingsRequest():
            return CallSize(request.ByteSize() if count is None else count.tokens)
        case media.CreateImagesRequest():
            return upper_bound.image_size(request, Tokenizer.if_loaded(model).count(request.prompt))
        case media.CreateSpeechRequest():
            return CallSize(len(request.input), units=usage_pb2.UnitUsage(characters=len(request.input)))
        case media.CreateTranscriptionRequest():
            return CallSize(units=usage_pb2.UnitUsage(audio_ms=_sound_ms(request)))
    raise TypeError(f"{type(request).__name__} is no call of a provider")


def _sound_ms(request: media.CreateTranscriptionRequest) -> int:
    """Most milliseconds of sound that are billed: those of a WAV file by its header, else by its bytes."""
    known = wav.read(request.data)
    ms = (len(request.data) // AUDIO_BYTES_PER_S + 1) * 1000 if known is None else known.ms + 1000
    heard = (known.channels if known else CHANNELS) if request.multichannel else 1
    return min(ms * heard, 2**32 - 1)


def _by_bytes(request: pb.CreateCompletionRequest, model: str) -> int:
    """Most tokens of the input: one has at least a byte, but for images, which may be mere addresses."""
    tokens = request.ByteSize()
    for message in request.messages[:]:  # a slice is read faster than the field
        for part in message.content[:]:
            if part.HasField("image"):
                tokens += images.count(part.image, model)[0]
    return tokens


def at_least_reserve(execution: Execution, cost: usage_pb2.Cost) -> usage_pb2.Cost:
    """The cost, or the reserve where it is not known: a budget counts what may have been billed."""
    used = execution.usage
    is_counted = used.output_provenance != usage_pb2.PROVENANCE_UNKNOWN
    is_used = used.total_tokens or execution.HasField("units")
    if is_counted and (cost.price_known or not is_used):
        return cost
    most = max(cost.cost_ticks, execution.reserved_ticks)
    if is_counted:  # and its price is not known
        used.output_provenance = usage_pb2.PROVENANCE_ESTIMATED
    execution.resolution = LOSS_RESOLUTION_RESERVE
    return cost_of(most, price_known=not is_counted, price_book=cost.price_book)

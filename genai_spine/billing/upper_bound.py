"""Upper bound: the most that a call may cost, by the same prices as its settlement, before it is made.

Input is taken at the dearest price that can apply to it: as written to a cache where the request marks one or
the provider caches by itself, as sound or an image where it may hold some, and at the tier of a long context
where it may reach one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from genai_spine.billing.price import BUCKETS, GRAINS_PER_TICK, OUTPUT, Price, Rates
from genai_spine.billing.terms import ORDINARY, Terms, terms
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import message_pb2, usage_pb2
from genai_spine.v1 import pricing_service_pb2 as prices_pb

LASTING = frozenset((message_pb2.PROMPT_CACHE_1H, message_pb2.PROMPT_CACHE_30M, message_pb2.PROMPT_CACHE_12H))
WRITE_5M, WRITE_1H = (
    prices_pb.PRICE_UNIT_CACHE_WRITE_5M_TOKENS,
    prices_pb.PRICE_UNIT_CACHE_WRITE_1H_TOKENS,
)
SOUND, PICTURES = prices_pb.PRICE_UNIT_AUDIO_INPUT_TOKENS, prices_pb.PRICE_UNIT_IMAGE_INPUT_TOKENS
# Who writes to its cache only what a request marks; others, such as OpenAI, write what they like, and the
# newer models bill it: https://developers.openai.com/api/docs/guides/prompt-caching, 2026-11-29.
CACHE_BY_MARKS = frozenset(("anthropic", "bedrock"))
ALWAYS = frozenset((prices_pb.PRICE_UNIT_INPUT_TOKENS, prices_pb.PRICE_UNIT_CACHE_READ_TOKENS))
ALWAYS_AND_WRITTEN = ALWAYS | {WRITE_5M}
# Tools of the request that the provider runs, by the beginning of their type, to our names.
SERVER_TOOLS = {
    "web_search_preview": "web_search_preview",
    "web_search": "web_search",
    "web_fetch": "web_fetch",
    "file_search": "file_search",
    "x_search": "x_search",
    "code_execution": "code_execution",
    "code_interpreter": "code_interpreter",
    "image_generation": "image_generation",
    "collections_search": "collections_search",
    "advisor": "advisor",
    "shell": "shell",
}
UNREADABLE = Terms(service_tier="unreadable")  # which has no price
MOST_TOOL_CALLS = 10  # of one tool, where the request sets no limit


@dataclass(frozen=True, slots=True)
class CallSize:
    """Upper bounds of what a call consumes, and the terms that it asks for."""

    input_tokens: int = 0
    output_tokens: int = 0  # of all choices together, thinking included
    # Besides tokens; its server_tools are the most calls of tools that the provider runs.
    units: usage_pb2.UnitUsage = field(default_factory=usage_pb2.UnitUsage)
    kinds: frozenset["prices_pb.PriceUnit"] = frozenset()  # of input, beside plain text
    at: Terms = ORDINARY  # the ordinary ones may be served in their place


class TextRates(NamedTuple):
    """Dearest prices, in grains for one token, of a model whose calls cost no more than their tokens."""

    input: int
    output: int

    def ticks(self, input_tokens: int, output_tokens: int) -> int:
        """Ticks that a call of at most so many tokens costs at most."""
        return -(-(input_tokens * self.input + output_tokens * self.output) // GRAINS_PER_TICK)


class _Tool(msgspec.Struct):
    """Tool of a request in a provider's own form."""

    type: str = ""
    max_uses: int | None = None  # Anthropic


class _Further(msgspec.Struct):
    """The caller's own fields for the provider, as far as they decide the price."""

    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    tools: list[_Tool] | None = None
    web_search_options: msgspec.Raw = msgspec.Raw()
    max_tool_calls: int | None = None  # OpenAI: of all tools together
    n: int | None = None
    best_of: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    num_predict: int | None = None  # Ollama

    @property
    def choices(self) -> int:
        return max(self.n or 1, self.best_of or 1)

    @property
    def answer_tokens(self) -> int:
        """Longest of the limits that they set for one answer."""
        limits = (self.max_tokens, self.max_completion_tokens, self.max_output_tokens, self.num_predict)
        return max(limit or 0 for limit in limits)


_FURTHER = msgspec.json.Decoder(_Further)


def call_size(request: pb.CreateCompletionRequest, input_tokens: int, output_tokens: int) -> CallSize:
    """Size of a completion. input_tokens, output_tokens: upper bounds, the output of all choices together."""
    kinds = frozenset(_kinds(request))
    if not request.provider_options_json:
        return CallSize(input_tokens, output_tokens, kinds=kinds)
    try:
        further = _FURTHER.decode(request.provider_options_json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The provider refuses it, or takes it in a form that is not known here.
        return CallSize(input_tokens, output_tokens, kinds=kinds, at=UNREADABLE)
    at = terms(further.service_tier or "", further.speed or "", further.inference_geo or "")
    units = usage_pb2.UnitUsage(server_tools=_tools(further))
    choices = max(1, request.choice_count)
    longest = max(-(-output_tokens // choices), further.answer_tokens)
    return CallSize(input_tokens, longest * max(choices, further.choices), units, kinds, at)


def image_size(request: media.CreateImagesRequest, input_tokens: int) -> CallSize:
    """Size of a call for images. input_tokens: an upper bound."""
    try:
        further = _FURTHER.decode(request.provider_options_json or "{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return CallSize(input_tokens, at=UNREADABLE)
    return CallSize(
        input_tokens, units=usage_pb2.UnitUsage(images=max(1, request.image_count, further.choices))
    )


def text_rates(price: Price) -> TextRates | None:
    """Rates that bound a call without a look at its messages; None: marks, sound, images or its length may
    make it dearer, or leave it without a price.
    """
    if price.tiers or price.unpriced or price.request is not None:
        return None
    always = ALWAYS if price.provider in CACHE_BY_MARKS else ALWAYS_AND_WRITTEN
    plain = max(price.rates[bucket] for bucket in range(OUTPUT) if BUCKETS[bucket] in always)
    if max(price.rates[:OUTPUT]) > plain:
        return None
    return TextRates(plain, max(price.rates[OUTPUT:]))


def upper_bound(prices: Sequence[Price | None], size: CallSize) -> int | None:
    """Ticks that the call costs at most; None: something that it may consume has no known price.

    prices: of the terms that are asked for, and the ordinary ones, which may be served in their place.
    """
    bounds = [None if price is None else _bound(price, size) for price in prices]
    known = [bound for bound in bounds if bound is not None]
    return max(known) if known and len(known) == len(bounds) else None


def _bound(price: Price, size: CallSize) -> int | None:
    if price.is_free:
        return 0
    units = size.units
    called = [(price.tools.get(name), count) for name, count in units.server_tools.items() if count]
    audio_ms = max(units.audio_ms, price.least_audio_ms) if units.audio_ms else 0
    sold = ((price.audio_ms, audio_ms), (price.character, units.characters), (price.image, units.images))
    used = [(rate, count) for rate, count in sold if count]
    is_sold = any(rate is not None for rate, _ in used) or price.request is not None
    if any(rate is None for rate, _ in called) or not (is_sold or price.per_token):
        return None
    total = sum((rate or 0) * count for rate, count in (*called, *used)) + (price.request or 0)
    tokens = _tokens(price, size) if price.per_token else 0
    return None if tokens is None else -(-(total + tokens) // GRAINS_PER_TICK)


def _tokens(price: Price, size: CallSize) -> int | None:
    """Grains of the tokens at the dearest prices; None: some kind has no price."""
    kinds = size.kinds | (ALWAYS if price.provider in CACHE_BY_MARKS else ALWAYS_AND_WRITTEN)
    given = [bucket for bucket in range(OUTPUT) if BUCKETS[bucket] in kinds]
    needed = [*(given if size.input_tokens else ()), *([OUTPUT] if size.output_tokens else ())]
    if any(bucket in price.unpriced for bucket in needed):
        return None
    reached = [price.rates, *(rates for start, rates in price.tiers if size.input_tokens > start)]
    made = range(OUTPUT, len(BUCKETS))
    return size.input_tokens * _dearest(reached, given) + size.output_tokens * _dearest(reached, made)


def _dearest(tables: Sequence[Rates], buckets: Sequence[int]) -> int:
    return max(rates[bucket] for rates in tables for bucket in buckets)


def _kinds(request: pb.CreateCompletionRequest) -> "list[prices_pb.PriceUnit]":
    """Kinds of input that the request may be billed for, beside plain text."""
    found: list[prices_pb.PriceUnit] = []
    marks = [tool.prompt_cache for tool in request.tools]
    for message in request.messages:
        marks.append(message.prompt_cache)
        for part in message.content:
            marks.append(part.prompt_cache)
            if part.HasField("audio"):
                found.append(SOUND)
            elif part.HasField("image") or part.HasField("file"):
                found.append(PICTURES)
    found += [WRITE_1H if mark in LASTING else WRITE_5M for mark in marks if mark]
    return found


def _tools(further: _Further) -> dict[str, int]:
    most = MOST_TOOL_CALLS if further.max_tool_calls is None else further.max_tool_calls
    found = {"web_search": 1} if bytes(further.web_search_options).startswith(b"{") else {}
    for tool in further.tools or ():
        name = next((ours for kind, ours in SERVER_TOOLS.items() if tool.type.startswith(kind)), None)
        if name is not None:
            found[name] = most if tool.max_uses is None else tool.max_uses
    return found

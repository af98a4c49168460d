"""Replay provider: answers from recordings, with no key, no network, no cost, and the recorded timing.

Its URL is `file:` and a file or folder. `openai/gpt-4o` is the recording of that provider's model, `gpt-4o`
that of whoever's it is. The same request gets its recorded exchanges in turn, and then the last one again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import unquote

from google.protobuf.json_format import ParseDict

from genai_spine.call import Call
from genai_spine.chunks import as_chunk, fold
from genai_spine.errors import DeadlineExceeded, ModelNotFound, ProviderRejected, ProviderUnavailable
from genai_spine.json_schema.describe import with_instruction
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.providers.base import ALWAYS, Endpoint, Option, Provider
from genai_spine.providers.replay import recording
from genai_spine.providers.replay.recording import RecordedExchange
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import model_service_pb2

PARTS = ("messages.image", "messages.audio", "messages.file", "tools.custom", "prompt.tokens")
MAX_DIFFERENCES = 3  # that are told of the nearest recording
MAX_EXCERPT_CHARS = 60

RequestKey = tuple[str, recording.Json]  # sha256 and normal form of a request


# What the recorded provider could not do is recorded as its error.
OPTIONS = {
    name: Option("as it was recorded")
    for name in (*pb.CreateCompletionRequest.DESCRIPTOR.fields_by_name, *PARTS)
    if name not in ALWAYS
}


class Replay(Provider):
    """Adapter that plays recordings; GENAI_REPLAY_SPEED scales all recorded times, 0 is at once.

    Recordings are read with the first request. A request without a recording is a ProviderRejected that names
    the differences from the nearest one.
    """

    OPTIONS = OPTIONS
    LOCAL = True
    # An answer may have been recorded in the wrapper that its provider needed.
    SCHEMA = SchemaRules(object_only=True, closed=True)

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._pace = _pace(endpoint.further.get("speed", "1"))
        self._exchanges: list[RecordedExchange] | None = None
        self._played: Counter[tuple[str, str]] = Counter()

    async def stream(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        exchange, started = await self._next_exchange("completion", request), monotonic()
        if exchange.answer is not None:
            ms, recorded = exchange.answer
            await self._wait(ms, started, call)
            yield as_chunk(ParseDict(recorded, pb.Completion(), ignore_unknown_fields=True))
        for ms, recorded in exchange.chunks:
            await self._wait(ms, started, call)
            yield ParseDict(recorded, pb.CompletionChunk(), ignore_unknown_fields=True)
        await self._end(exchange, started, call)

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        return await fold(self.stream(request, call))

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        exchange, started = await self._next_exchange("embeddings", request), monotonic()
        await self._end(exchange, started, call)
        ms, recorded = exchange.answer or (0.0, {})
        await self._wait(ms, started, call)
        return ParseDict(recorded, pb.CreateEmbeddingsResponse(), ignore_unknown_fields=True)

    async def list_models(self) -> list[model_service_pb2.Model]:
        names = sorted({f"{exchange.provider}/{exchange.model}" for exchange in await self._all()})
        return [
            model_service_pb2.Model(id=name, object="model", owned_by=name.partition("/")[0])
            for name in names
        ]

    async def _all(self) -> list[RecordedExchange]:
        """Recorded exchanges, read once. Errors: ProviderUnavailable, where they cannot be read."""
        if self._exchanges is None:
            try:
                self._exchanges = await asyncio.to_thread(recording.read, self._place())
            except (OSError, ValueError) as error:
                raise ProviderUnavailable(
                    provider=self.name, provider_code="unreadable", provider_message=str(error)
                ) from error
        return self._exchanges

    def _place(self) -> Path:
        """File or folder of the URL. Raises ValueError."""
        scheme, _, path = self.endpoint.base_url.partition(":")
        if scheme != "file" or not path:
            raise ValueError(f"{self.endpoint.base_url} is no file: URL")
        return Path(unquote(path.removeprefix("//")))

    async def _next_exchange(self, operation: str, request: recording.Request) -> RecordedExchange:
        """The next exchange of the request. Errors: ModelNotFound, ProviderRejected (nothing recorded)."""
        known = [exchange for exchange in await self._all() if exchange.operation == operation]
        exact = [one for one in known if request.model == f"{one.provider}/{one.model}"]
        of_model = exact or [one for one in known if request.model == one.model]
        if not of_model:
            names = sorted({f"{exchange.provider}/{exchange.model}" for exchange in known})
            hint = f"recorded {operation}: {', '.join(names[:20]) or 'none'}"
            raise ModelNotFound(model=request.model, hint=hint, provider=self.name)
        candidates = list(_request_keys(operation, request, of_model[0].model))
        for sha256, _ in candidates:
            matches = [exchange for exchange in of_model if exchange.sha256 == sha256]
            if matches:
                turn = (request.model, sha256)
                self._played[turn] += 1
                return matches[min(self._played[turn], len(matches)) - 1]
        raise self._unknown(candidates[0], of_model)

    def _unknown(self, key: RequestKey, known: list[RecordedExchange]) -> ProviderRejected:
        """Error of a request that was not recorded, with the nearest one's differences."""
        nearest = min((differences(exchange.request, key[1]) for exchange in known), key=len)
        listed = "; ".join(nearest[:MAX_DIFFERENCES])
        more = f" and {len(nearest) - MAX_DIFFERENCES} more" if len(nearest) > MAX_DIFFERENCES else ""
        return ProviderRejected(
            provider=self.name,
            provider_code="not_recorded",
            provider_message=f"no recording has sha256 {key[0]}; the nearest one differs in {listed}{more}",
            sha256=key[0],
        )

    async def _wait(self, ms: float, started: float, call: Call) -> None:
        """Waits until so many recorded milliseconds after the start. Raises DeadlineExceeded."""
        left_s = max(0.0, started + ms * self._pace / 1000 - monotonic())
        if call.remaining_s is not None and left_s >= call.remaining_s:
            await asyncio.sleep(call.remaining_s)
            raise DeadlineExceeded()
        await asyncio.sleep(left_s)

    async def _end(self, exchange: RecordedExchange, started: float, call: Call) -> None:
        """Raises the recorded error, at its time, when the exchange ended with one."""
        if exchange.error is not None:
            await self._wait(exchange.error.ms, started, call)
            raise recording.error_of(exchange.error)


def _pace(speed: str) -> float:
    """Factor of all recorded times; 0: everything at once."""
    try:
        pace = float(speed)
    except ValueError:
        pace = -1.0
    if not 0 <= pace < inf:
        raise ValueError(f"GENAI_REPLAY_SPEED={speed} is no number from 0")
    return pace


def _request_keys(operation: str, request: recording.Request, model: str) -> Iterator[RequestKey]:
    """The request as it may have reached its provider: a schema as such, or in words."""
    forms: list[recording.Request] = [request]
    if isinstance(request, pb.CreateCompletionRequest):
        tokens = request.prompt.WhichOneof("prompt") == "tokens"
        if request.response_format.HasField("json_schema") and not tokens:
            forms += [with_instruction(request, options) for options in (("response_format",), ())]
    for form in forms:
        normal_form = recording.normal(form)
        yield recording.digest(operation, model, normal_form), normal_form


def differences(recorded: Any, actual: Any, path: str = "") -> list[str]:
    """Differences of two requests in normal form, in words, one for each place."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        names = dict.fromkeys([*recorded, *actual])
        return [
            difference
            for name in names
            for difference in differences(
                recorded.get(name), actual.get(name), f"{path}.{name}" if path else name
            )
        ]
    if isinstance(recorded, list) and isinstance(actual, list):
        length = max(len(recorded), len(actual))
        pairs = [[*side, *[None] * (length - len(side))] for side in (recorded, actual)]
        return [
            difference
            for index in range(length)
            for difference in differences(pairs[0][index], pairs[1][index], f"{path}[{index}]")
        ]
    return [] if recorded == actual else [f"{path}: {_excerpt(actual)} in place of {_excerpt(recorded)}"]


def _excerpt(value: Any) -> str:
    """Value in at most MAX_EXCERPT_CHARS characters."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= MAX_EXCERPT_CHARS else text[:MAX_EXCERPT_CHARS] + "..."

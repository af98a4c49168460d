"""Context sizes that Ollama loads models with: large enough for the request, so that no input is cut.

A model is loaded with the `num_ctx` of the request, else with that of its Modelfile, else with the server's
default (4096, older ones 2048), whatever it was trained for, and what does not fit is cut off silently. So a
request that may not fit says what it needs, and all say `truncate: false`, for which Ollama answers 400
instead of cutting (older versions ignore it). A Modelfile's own size is the operator's choice and stays.
Wire facts: https://docs.ollama.com/context-length and https://github.com/ollama/ollama/blob/main/api/types.go,
2026-11-29.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.ollama.wire_types import LOADED, ModelDetails

SMALLEST_DEFAULT = 2048  # tokens that every server's default takes
USUAL = 4096  # the least that a model is loaded with here
BYTES_PER_TOKEN = 2  # fewer only in text that is no language, such as base64
IMAGE_TOKENS = 2048
ANSWER_TOKENS = 1024  # of a request that sets no limit
REMEMBERED_S = 300.0  # as long as Ollama keeps a model that is not called

Show = Callable[[str, Call], Awaitable[ModelDetails]]


class ContextSizes:
    """Sizes that models are loaded with now, so that requests of different length do not reload them."""

    def __init__(self, http: HttpClient, show: Show, limit: int | None) -> None:
        """show: details of a model by name. limit: most tokens that one is loaded with; None: no limit."""
        self.limit = limit
        self._http = http
        self._show = show
        self._details: dict[str, tuple[float, ModelDetails]] = {}  # by name, with the time they came
        self._sizes: dict[str, tuple[float, int]] = {}  # by name, with the time of the last request

    def is_usual(self, model: str, needed: int) -> bool:
        """Whether a request that needs so many tokens has no size to send, however the model is loaded."""
        return needed <= SMALLEST_DEFAULT and model not in self._sizes

    async def num_ctx(self, model: str, needed: int, call: Call) -> int | None:
        """Size to send with a request that needs so many tokens; None: none, the model's or server's own do.

        Errors: none; what Ollama does not tell is not known, and the call itself then fails or not.
        """
        now = monotonic()
        since, size = self._sizes.get(model, (0.0, 0))
        if now - since > REMEMBERED_S:
            size = 0
        if needed > max(size, SMALLEST_DEFAULT):
            size = await self._size(model, needed, call)
        if not size:
            return None
        self._sizes[model] = (now, size)
        return size

    async def length(self, model: str, call: Call) -> int | None:
        """Most tokens of input and output together that a model takes here; None: Ollama does not tell."""
        details = await self._known(model, call)
        return None if details is None else self.bounded(details)

    def bounded(self, details: ModelDetails) -> int | None:
        """Context of a model, within the limit."""
        known = [length for length in (details.context_length(), self.limit) if length]
        return min(known, default=None)

    async def _size(self, model: str, needed: int, call: Call) -> int:
        """Size for what is needed; 0: the model's own stays."""
        details = await self._known(model, call)
        if details is None or details.num_ctx():
            return 0
        bound = self.bounded(details)
        loaded = await self._loaded(model, call)
        wanted = loaded if loaded >= needed else max(USUAL, 1 << (needed - 1).bit_length())
        return min(wanted, bound) if bound else wanted

    async def _known(self, model: str, call: Call) -> ModelDetails | None:
        since, details = self._details.get(model, (0.0, None))
        if details is None or monotonic() - since > REMEMBERED_S:
            with suppress(errors.SpineError):
                details = await self._show(model, call)
                self._details[model] = (monotonic(), details)
        return details

    async def _loaded(self, model: str, call: Call) -> int:
        """Context that the model is loaded with now; 0: it is not, or the version does not tell."""
        with suppress(errors.SpineError):
            reply = await self._http.get("/api/ps", call)
            running = self._http.decode(reply.body, LOADED).models
            names = (model, f"{model}:latest")
            return next((found.context_length for found in running if found.name in names), 0)
        return 0


def needed_tokens(body: dict[str, Any], size: int, images: int) -> int:
    """Tokens of context for a request, at most. size: bytes of its text. images: how many there are."""
    limit = body.get("options", {}).get("num_predict", ANSWER_TOKENS)
    answer = limit if isinstance(limit, int) and limit > 0 else ANSWER_TOKENS
    return size // BYTES_PER_TOKEN + images * IMAGE_TOKENS + answer

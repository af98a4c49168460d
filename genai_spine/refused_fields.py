"""Fields that a model refuses: dropped, and the request is sent again without them.

Reasoning models take no temperature and old ones no JSON Schema. Nobody has paid for the refusal, so a field
that the caller did not set himself is dropped; other gateways call that `drop_params`.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import TypeVar

from genai_spine.errors import ProviderRejected, SpineError, UnsupportedOption
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.option_warning_pb2 import OptionWarning

T = TypeVar("T")
Drop = Callable[[SpineError], object]  # drops a field, or raises the error where none is to blame
REFUSALS = (UnsupportedOption, ProviderRejected)
# Words for a field in an error, beside its own name.
SYNONYMS = {"response_format": ("schema",)}


def drop_refused(request: pb.CreateCompletionRequest, error: SpineError, droppable: Iterable[str]) -> str:
    """Clears the first droppable field that the error blames. Raises the error where it blames none."""
    for name in droppable:
        blamed = any(error.blames(word) for word in (name, *SYNONYMS.get(name, ())))
        if blamed and request.HasField(name):
            request.ClearField(name)
            return name
    raise error


def dropped_warning(name: str, error: SpineError) -> OptionWarning:
    """Warning that a field was dropped, with what the model said of it."""
    return OptionWarning(option=name, action=OptionWarning.ACTION_DROPPED, reason=str(error)[:500])


async def stream_without_refused(ask: Callable[[], AsyncGenerator[T]], drop: Drop) -> AsyncGenerator[T]:
    """Stream of the first request in which the model takes every field.

    Errors: those of ask; once something has been yielded, a refusal as well.
    """
    while True:
        begun = False
        try:
            async with aclosing(ask()) as items:
                async for item in items:
                    begun = True
                    yield item
            return
        except REFUSALS as error:
            if begun:
                raise
            drop(error)

"""A field that a model refuses is dropped where it may be, and the request is sent again."""

from collections.abc import AsyncGenerator

import pytest

from genai_spine.errors import ProviderRejected, SpineError, UnsupportedOption
from genai_spine.refused_fields import drop_refused, stream_without_refused
from genai_spine.v1 import completion_service_pb2 as pb

NO_TEMPERATURE = UnsupportedOption(field="temperature", provider="p", option="temperature")


def request() -> pb.CreateCompletionRequest:
    asked = pb.CreateCompletionRequest(model="m", temperature=0.5)
    asked.response_format.json_schema.schema_json = "{}"
    return asked


def test_refused_field_is_dropped_and_named() -> None:
    asked = request()
    assert drop_refused(asked, NO_TEMPERATURE, ("response_format", "temperature")) == "temperature"
    assert not asked.HasField("temperature")
    assert asked.HasField("response_format")


def test_refused_schema_is_the_response_format() -> None:
    asked = request()
    error = ProviderRejected(provider="p", provider_message="no json_schema here")
    assert drop_refused(asked, error, ("response_format",)) == "response_format"
    assert not asked.HasField("response_format")


@pytest.mark.parametrize("droppable", [(), ("response_format",)])
def test_refused_field_that_may_not_be_dropped_is_an_error(droppable: tuple[str, ...]) -> None:
    asked = request()
    with pytest.raises(UnsupportedOption):
        drop_refused(asked, NO_TEMPERATURE, droppable)
    assert asked == request()


def test_refused_field_that_is_not_set_is_an_error() -> None:
    with pytest.raises(UnsupportedOption):
        drop_refused(pb.CreateCompletionRequest(), NO_TEMPERATURE, ("temperature",))


class Model:
    """Takes no temperature."""

    def __init__(self, says_first: bool = False) -> None:
        self.request = request()
        self.calls = 0
        self.says_first = says_first

    def drop(self, error: SpineError) -> None:
        drop_refused(self.request, error, ("temperature",))

    async def complete(self) -> str:
        self.calls += 1
        if self.request.HasField("temperature"):
            raise NO_TEMPERATURE
        return "answer"

    async def stream(self) -> AsyncGenerator[str]:
        if self.says_first:
            yield "begun"
        yield await self.complete()


async def test_refused_stream_is_asked_again_without_the_field() -> None:
    model = Model()
    assert [text async for text in stream_without_refused(model.stream, model.drop)] == ["answer"]
    assert model.calls == 2


async def test_refused_stream_that_has_begun_is_not_asked_again() -> None:
    model = Model(says_first=True)
    stream = stream_without_refused(model.stream, model.drop)
    assert await anext(stream) == "begun"
    with pytest.raises(UnsupportedOption):
        await anext(stream)
    assert model.calls == 1

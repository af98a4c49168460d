"""Stored completions are written once, at the end of an answer, and keep no paid answer from its caller."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from genai_spine.call import DEFAULT_TENANT, Call
from genai_spine.delivery import stored_completions
from genai_spine.delivery.stored_completions import StoredCompletions
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2

REQUEST = pb.CreateCompletionRequest(store=True)


class Rows:
    """Takes what is added, after so many failures."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.added: list[tuple[str, str, float]] = []

    async def add(
        self, _: pb.CreateCompletionRequest, completion: pb.Completion, tenant: str, ttl_s: float
    ) -> None:
        assert tenant == DEFAULT_TENANT
        if self.failures:
            self.failures -= 1
            raise OSError("gone")
        text = "".join(part.text for choice in completion.choices for part in choice.message.content)
        self.added.append((completion.id, text, ttl_s))


def writer(rows: Any) -> StoredCompletions:
    return StoredCompletions(rows, ttl_s=60)


async def words(*, ends: bool) -> AsyncGenerator[pb.CompletionChunk]:
    for text in ("one ", "two"):
        yield pb.CompletionChunk(id="comp_1", choices=[pb.ChoiceDelta(content=text)])
    if ends:
        yield pb.CompletionChunk(id="comp_1", cost=usage_pb2.Cost(price_known=True))


async def test_stream_is_stored_before_its_last_chunk() -> None:
    rows = Rows()
    seen = []
    async for chunk in writer(rows).stream(REQUEST, words(ends=True), Call()):
        seen.append((chunk.HasField("cost"), list(rows.added)))
    assert seen == [(False, []), (False, []), (True, [("comp_1", "one two", 60)])]


async def test_stream_without_an_end_is_not_stored() -> None:
    rows = Rows()
    assert len([chunk async for chunk in writer(rows).stream(REQUEST, words(ends=False), Call())]) == 2
    assert rows.added == []


async def test_stream_that_is_left_closes_what_it_reads() -> None:
    source = words(ends=True)
    stream = writer(Rows()).stream(REQUEST, source, Call())
    await anext(stream)
    await stream.aclose()
    assert [chunk async for chunk in source] == []


@pytest.mark.parametrize(("failures", "said"), [(2, {}), (3, {"x-genai-stored": "false"})])
async def test_database_that_fails_is_asked_three_times(
    monkeypatch: pytest.MonkeyPatch, failures: int, said: dict[str, str]
) -> None:
    monkeypatch.setattr(stored_completions, "PAUSES_S", (0.0, 0.0))
    rows, call = Rows(failures), Call()
    await writer(rows).add(REQUEST, pb.Completion(id="comp_1"), call)
    assert call.headers == said
    assert len(rows.added) == (0 if said else 1)

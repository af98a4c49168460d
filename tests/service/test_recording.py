"""Exchanges are recorded on their way, and another server plays them back without a provider."""

from pathlib import Path

import pytest

from genai_spine.providers.base import Endpoint
from tests.service.running import Upstreams, asked, failure, running
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_one_server_recorded_another_one_plays_back(
    upstreams: Upstreams, module_sqlite_url: str, tmp_path: Path
) -> None:
    upstreams.openai.default = Reply("recorded once")
    async with running(upstreams, module_sqlite_url, record=tmp_path) as service:
        first = await service.completions.CreateCompletion(asked("Say it", user="somebody"))
    written = "".join(path.read_text() for path in tmp_path.iterdir())  # noqa: ASYNC240  # small files
    assert "recorded once" in written
    assert "sk-test-1" not in written
    assert "somebody" not in written

    replay = Endpoint("replay", f"file:{tmp_path}", further={"speed": "0"})
    asked_before = len(upstreams.openai.bill.calls)
    async with running(upstreams, module_sqlite_url, endpoints={"replay": replay}) as service:
        again = await service.completions.CreateCompletion(asked("Say it", model="replay:openai/gpt-4o"))
        assert again.choices == first.choices
        assert again.usage == first.usage
        unknown = asked("Say something else", model="replay:openai/gpt-4o")
        assert (await failure(service.completions.CreateCompletion(unknown))).code
    assert len(upstreams.openai.bill.calls) == asked_before

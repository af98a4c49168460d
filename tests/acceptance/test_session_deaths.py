"""A server that is killed in the middle of a send: the session is whole, and goes on."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.test_deaths import running, server_of
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

LEASE_S = 1.0


async def sent(http: aiohttp.ClientSession, path: str, text: str) -> tuple[int, Any]:
    async with http.post(f"{path}/messages", json={"content": text}) as answer:
        return answer.status, await answer.json()


async def test_killed_send_leaves_no_message_and_the_session_goes_on_after_the_restart(
    openai_upstream: UpstreamProcess, database_url: str, tmp_path: Path
) -> None:
    variables = {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_DATABASE_URL": database_url,
        "GENAI_LEASE_TTL": str(LEASE_S),
    }
    with running("up", "--json", "--port", "0", folder=tmp_path, **variables) as (process, said):
        async with aiohttp.ClientSession(said["url"]) as http:
            async with http.post("/v1/sessions", json={"model": "gpt-4o"}) as answer:
                path = f"/v1/sessions/{(await answer.json())['id']}"
            status, first = await sent(http, path, "One")
            assert status == 200
            openai_upstream.script(Reply("late", first_delay_s=30))
            dying = asyncio.create_task(sent(http, path, "Two"))
            await until(lambda: len(openai_upstream.bill()) == 2)
            os.kill(server_of(process), signal.SIGKILL)
            assert (await dying)[0] == 503
            openai_upstream.reset()
            status, third = 503, None
            for _ in range(200):  # until it is started again
                status, third = await sent(http, path, "Three")
                if status != 503:
                    break
                await asyncio.sleep(0.1)
            assert status == 200
            async with http.get(f"{path}/messages") as answer:
                listed = await answer.json()
            contents = [each["content"] for each in listed["messages"]]
            assert contents == ["One", first["content"], "Three", third["content"]]
            assert [each["sequence"] for each in listed["messages"]] == [0, 1, 2, 3]
            async with http.get(path) as answer:
                session = await answer.json()
            assert session["message_count"] == 4
            assert session["total_tokens"] == first["tokens"] + third["tokens"]

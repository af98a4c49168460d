"""The request log of real processes: OpenAI's SDK over REST, the command line, a killed server."""

import asyncio
import json
import os
import signal
from pathlib import Path

import aiohttp
import openai
import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.request_log.tables import request_logs
from tests.acceptance.stack import genai_spine
from tests.acceptance.test_deaths import running, server_of
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

SECRET = "Zq8vT2nB4xK9wL1pR7sD"


async def test_log_is_written_listed_shown_deleted_and_never_half(
    openai_upstream: UpstreamProcess, database_url: str, tmp_path: Path
) -> None:
    variables = {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_DATABASE_URL": database_url,
        "GENAI_LEASE_TTL": "1",
        "GENAI_REQUEST_LOG_ON": "acme",
    }
    with running("up", "--json", "--port", "0", folder=tmp_path, **variables) as (process, said):
        address = said["url"].removeprefix("http://")
        await by_sdk(said["url"], openai_upstream)
        async with aiohttp.ClientSession(said["url"], headers={"x-tenant-id": "acme"}) as http:
            entry = await over_rest(http)
            async with aiohttp.ClientSession(said["url"]) as other:
                assert await status(other, "GET", f"/v1/request-logs/{entry}") == 404
                assert await status(other, "DELETE", f"/v1/request-logs/{entry}") == 404
            assert await status(http, "DELETE", f"/v1/request-logs/{entry}") == 200
            assert await status(http, "GET", f"/v1/request-logs/{entry}") == 404
            assert await status(http, "DELETE", "/v1/request-logs") == 422
            shown = await asyncio.to_thread(genai_spine, "log", "list", "--json", "--address", address)
            assert json.loads(shown.stdout) == {"request_logs": [], "next_page_token": ""}, shown.stderr
            theirs = ("log", "list", "--json", "--address", address, "--tenant", "acme")
            shown = await asyncio.to_thread(genai_spine, *theirs)
            assert json.loads(shown.stdout)["request_logs"], shown.stderr
            gone = await asyncio.to_thread(genai_spine, "log", "delete", "--all", "--address", address)
            assert gone.stdout == "deleted 0 of the request log\n", gone.stderr
            await killed(http, server_of(process), openai_upstream)
    await whole_rows(database_url)


async def by_sdk(url: str, upstream: UpstreamProcess) -> None:
    """One chat, and one that streams, of a tenant with the log on; one of another tenant."""
    upstream.script(*[Reply("Bonjour")] * 3)
    client = openai.DefaultAsyncHttpxClient(verify=False)
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=f"sk-{SECRET}", http_client=client) as sdk:
        chat = sdk.with_options(default_headers={"x-tenant-id": "acme"}).chat.completions
        messages = [{"role": "user", "content": f"my key is sk-{SECRET}"}]
        await chat.create(model="gpt-4o", messages=messages, user="ann")  # type: ignore[arg-type, call-overload]
        stream = await chat.create(model="gpt-4o", messages=messages, stream=True)  # type: ignore[arg-type, call-overload]
        assert [chunk async for chunk in stream]
        await sdk.chat.completions.create(model="gpt-4o", messages=messages)  # type: ignore[arg-type]


async def over_rest(http: aiohttp.ClientSession) -> str:
    """Id of the entry of the first chat, when all have been looked at."""
    listed = []

    async def are_there() -> bool:
        async with http.get("/v1/request-logs", params={"model": "gpt-4o"}) as answer:
            listed[:] = (await answer.json())["request_logs"]
        return len(listed) == 2

    await until(are_there)
    found = []
    for one in listed:
        async with http.get(f"/v1/request-logs/{one['id']}") as answer:
            found.append(await answer.json())
        assert SECRET not in json.dumps(found)
        assert found[-1]["path"] == "/v1/chat/completions"
        assert json.loads(found[-1]["request_json"])["messages"][0]["content"] == "my key is [redacted]"
    streamed, first = (json.loads(one["answer_json"])["choices"][0] for one in found)
    assert (first["message"]["content"], streamed["delta"]["content"]) == ("Bonjour", "Bonjour")
    assert found[1]["end_user"] == "ann"
    return str(found[1]["id"])


async def status(http: aiohttp.ClientSession, method: str, path: str) -> int:
    async with http.request(method, path) as answer:
        return answer.status


async def killed(http: aiohttp.ClientSession, server: int, upstream: UpstreamProcess) -> None:
    """Many calls, in the midst of which the server is killed."""
    upstream.script(*[Reply("Bonjour")] * 400)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 20_000}]}

    async def one() -> None:
        async with http.post("/v1/chat/completions", json=body) as answer:
            await answer.read()

    calls = [asyncio.create_task(one()) for _ in range(200)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.15)  # into the writing of the log; whenever it dies, what is there is whole
    os.kill(server, signal.SIGKILL)
    await asyncio.gather(*calls, return_exceptions=True)
    upstream.reset()


async def whole_rows(database_url: str) -> None:
    database = Database(database_url)
    try:
        async with database.connect() as connection:
            rows = (await connection.execute(sa.select(request_logs))).mappings().all()
    finally:
        await database.close()
    for row in rows:
        assert json.loads(row["request_json"])["model"] == "gpt-4o"
        assert row["code"] != "OK" or json.loads(row["answer_json"])["choices"]
        assert SECRET not in repr(row)

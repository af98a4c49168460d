"""Addresses of callers are passed on to providers or refused: this server never asks them itself."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
import pytest
import pytest_asyncio

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.service.running import Upstreams, asked, running
from tests.style.source import MODULES, offenders

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODELS = [
    "gpt-4o",
    "anthropic:claude-sonnet-4-20250514",
    "ollama:llama3.2:latest",
    "bedrock:amazon.nova-lite-v1:0",
]
CONNECTS = re.compile(r"open_connection|create_connection|urlopen|^import (?:httpx|aiohttp|requests)\b", re.M)
# To providers, whose addresses are the operator's; to webhooks of callers; to our own servers.
MAY_CONNECT = {"providers", "security", "supervisor"}


@pytest_asyncio.fixture(loop_scope="session")
async def trap() -> AsyncIterator[tuple[str, list[str]]]:
    """Address of a listener, and who came."""
    came: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(str(writer.get_extra_info("peername")))
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    server.close()


@pytest.mark.parametrize("model", MODELS)
async def test_an_image_by_url_is_not_fetched(
    upstreams: Upstreams, trap: tuple[str, list[str]], model: str
) -> None:
    url, came = trap
    request = pb.CreateCompletionRequest(model=model)
    request.messages.add(
        role=message_pb2.ROLE_USER,
        content=[message_pb2.ContentPart(image=message_pb2.ImagePart(url=f"{url}/x.png"))],
    )
    async with running(upstreams, "sqlite://") as service:
        with suppress(grpc.aio.AioRpcError):  # whether it is taken or refused
            await service.completions.CreateCompletion(request, timeout=20)
    assert came == []


@pytest.mark.parametrize("name", ["base_url", "api_base", "url", "extra_headers", "api_key", "proxy"])
async def test_no_option_of_a_request_leads_elsewhere(
    upstreams: Upstreams, trap: tuple[str, list[str]], name: str
) -> None:
    url, came = trap
    for options in (f'{{"{name}": "{url}"}}', f'{{"extra_body": {{"{name}": "{url}"}}}}'):
        request = asked(provider_options_json=options)
        metadata = [
            (f"x-genai-{name.replace('_', '-')}", url),
            ("x-forwarded-host", url),
            ("x-api-base", url),
        ]
        async with running(upstreams, "sqlite://") as service:
            with suppress(grpc.aio.AioRpcError):  # whether it is taken or refused
                await service.completions.CreateCompletion(request, timeout=20, metadata=metadata)
    assert came == []


async def test_few_places_open_connections() -> None:
    outside = [path for path in MODULES if path.parts[path.parts.index("genai_spine") + 1] not in MAY_CONNECT]
    assert offenders(outside, lambda path: CONNECTS.findall(path.read_text())) == []

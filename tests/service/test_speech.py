"""Speech with speakers and channels through a real channel: options, rows, prices, sound by its address."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.v1 import media_service_pb2 as media
from tests.contract.test_deepgram import MONO, STEREO
from tests.service.running import TIMEOUTS, Running, Upstreams, failure, running
from tests.upstreams import deepgram
from tests.upstreams.deepgram import PHRASES, DeepgramUpstream
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

THREE_SECONDS_TICKS = 2_150_000  # of 0.0043 USD a minute


@pytest_asyncio.fixture(loop_scope="session")
async def listening(upstreams: Upstreams, sqlite_url: str) -> AsyncIterator[tuple[Running, DeepgramUpstream]]:
    async with DeepgramUpstream() as upstream:
        row = PROVIDERS["deepgram"]
        endpoint = Endpoint(
            "deepgram",
            upstream.base_url,
            deepgram.KEY,
            timeouts=TIMEOUTS,
            default_media_models=row.media_models,
        )
        endpoints = upstreams.endpoints() | {"deepgram": endpoint}
        async with running(upstreams, sqlite_url, endpoints=endpoints, audio_url_private=True) as service:
            yield service, upstream


def sound(**fields: Any) -> media.CreateTranscriptionRequest:
    given: dict[str, Any] = {"provider": "deepgram", "data": MONO, "filename": "call.wav"}
    return media.CreateTranscriptionRequest(**(given | fields))


@pytest.mark.parametrize(
    ("fields", "ticks"),
    [
        ({"diarize": True}, THREE_SECONDS_TICKS),
        ({"data": STEREO, "multichannel": True}, 2 * THREE_SECONDS_TICKS),
        ({"data": STEREO}, THREE_SECONDS_TICKS),
    ],
)
async def test_what_is_heard_is_one_row_that_is_paid_by_the_length_and_channel(
    listening: tuple[Running, DeepgramUpstream], fields: dict[str, Any], ticks: int
) -> None:
    service, upstream = listening
    answer = await service.media.CreateTranscription(sound(smart_format=True, **fields))
    [row] = await service.rows(answer.request_id)
    assert (answer.provider, answer.model, row.model) == ("deepgram", "nova-2", "nova-2")
    assert row.cost.cost_ticks == answer.cost.cost_ticks == ticks
    assert row.cost.price_known
    assert row.provider_response_id == answer.provider_response_id == "r-0"
    assert answer.text == " ".join(PHRASES)
    assert len(upstream.bill) == 1


async def test_a_model_by_its_name_is_deepgrams(listening: tuple[Running, DeepgramUpstream]) -> None:
    service, _ = listening
    answer = await service.media.CreateTranscription(sound(provider=None, model="nova-2-phonecall"))
    assert (answer.provider, answer.cost.cost_ticks) == ("deepgram", THREE_SECONDS_TICKS)


@pytest.mark.parametrize("field", ["prompt", "temperature", "translate"])
async def test_an_option_that_it_lacks_is_refused_unpaid(
    listening: tuple[Running, DeepgramUpstream], field: str
) -> None:
    service, upstream = listening
    value: Any = {"prompt": "Fox", "temperature": 0.5, "translate": True}[field]
    found = await failure(service.media.CreateTranscription(sound(**{field: value})))
    assert (found.reason, found.metadata["field"]) == ("UNSUPPORTED_OPTION", field)
    assert not upstream.bill


@pytest.mark.parametrize("field", ["diarize", "multichannel"])
async def test_what_openai_lacks_is_refused_unpaid(
    listening: tuple[Running, DeepgramUpstream], field: str
) -> None:
    service, _ = listening
    request = sound(provider="openai", model="whisper-1", **{field: True})
    found = await failure(service.media.CreateTranscription(request))
    assert (found.reason, found.metadata["field"]) == ("UNSUPPORTED_OPTION", field)
    assert not service.openai.bill


async def test_sound_by_its_address_is_fetched_and_no_provider_is_told_it(
    listening: tuple[Running, DeepgramUpstream],
) -> None:
    service, upstream = listening

    async def stored(request: web.Request) -> web.Response:
        return web.Response(body=MONO)

    app = web.Application()
    app.add_routes([web.get("/call.wav", stored)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/call.wav?sig=s3cret"
    request = media.CreateTranscriptionRequest(provider="deepgram", audio_url=url)
    answer = await service.media.CreateTranscription(request)
    await runner.cleanup()
    assert answer.cost.cost_ticks == THREE_SECONDS_TICKS
    (entry,) = upstream.bill
    assert "s3cret" not in entry.raw_path + str(entry.headers)
    assert entry.body == {"base64": deepgram.base64.b64encode(MONO).decode()}


async def test_an_address_of_ours_is_refused(upstreams: Upstreams, sqlite_url: str) -> None:
    async with running(upstreams, sqlite_url) as service:
        for url in ("https://127.0.0.1/a", "http://example.com/a", "https://169.254.169.254/latest"):
            request = media.CreateTranscriptionRequest(provider="openai", audio_url=url)
            found = await failure(service.media.CreateTranscription(request))
            assert (found.reason, found.fields) == ("INVALID_FIELDS", ["audio_url"])
        assert not service.openai.bill


async def test_an_answer_without_its_length_has_no_price_that_could_be_wrong(
    listening: tuple[Running, DeepgramUpstream],
) -> None:
    service, upstream = listening
    upstream.script(Reply(extra={"metadata": {"request_id": "r-odd"}}))
    answer = await service.media.CreateTranscription(sound())
    [row] = await service.rows(answer.request_id)
    assert (row.cost.price_known, row.cost.cost_ticks) == (False, 0)
    assert row.provider_response_id.startswith("r-")

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from genai_spine.errors import InvalidFields
from genai_spine.media import audio_url
from genai_spine.media.audio_url import AudioUrls
from genai_spine.security.fetch import Fetcher
from genai_spine.v1.media_service_pb2 import CreateTranscriptionRequest

OPEN = AudioUrls(Fetcher(audio_url.limits(is_private=True)))


@pytest.fixture
async def storage() -> AsyncIterator[str]:
    async def sound(request: web.Request) -> web.Response:
        return web.Response(body=b"RIFF sound")

    async def nothing(request: web.Request) -> web.Response:
        return web.Response(body=b"")

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("file:///etc/passwd")

    app = web.Application()
    app.add_routes([web.get("/calls/{name}", sound), web.get("/empty", nothing), web.get("/out", elsewhere)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def fields_refused(urls: AudioUrls, **fields: object) -> dict[str, str]:
    with pytest.raises(InvalidFields) as raised:
        await urls.with_sound(CreateTranscriptionRequest(**fields))  # type: ignore[arg-type]  # any field
    return dict(raised.value.violations)


async def test_sound_is_fetched_and_its_file_named(storage: str) -> None:
    request = CreateTranscriptionRequest(audio_url=f"{storage}/calls/a%20b.wav?sig=x", diarize=True)
    whole = await OPEN.with_sound(request)
    assert (whole.data, whole.filename, whole.diarize) == (b"RIFF sound", "a b.wav", True)
    assert not whole.HasField("audio_url")
    assert not request.data, "the caller's request is not written into"


async def test_a_request_with_its_sound_is_itself() -> None:
    request = CreateTranscriptionRequest(data=b"x", filename="a.wav")
    assert await AudioUrls().with_sound(request) is request


async def test_sound_by_neither_way_or_both_is_refused() -> None:
    assert set(await fields_refused(AudioUrls())) == {"data", "filename"}
    assert set(await fields_refused(AudioUrls(), data=b"x")) == {"filename"}
    assert set(await fields_refused(AudioUrls(), data=b"x", audio_url="https://x.example/a")) == {"audio_url"}


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.wav",
        "https://127.0.0.1/a.wav",
        "https://[::1]/a.wav",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/a.wav",
        "https://0x7f000001/a.wav",
        "https://user:secret@example.com/a.wav",
        "https://example.com:22/a.wav",
        "file:///etc/passwd",
        "https:///a",
    ],
)
async def test_nothing_but_the_public_internet_is_asked(url: str) -> None:
    found = await fields_refused(AudioUrls(), audio_url=url)
    assert set(found) == {"audio_url"}
    assert "secret" not in found["audio_url"]


@pytest.mark.parametrize(
    ("path", "words"), [("/no", "404"), ("/empty", "empty"), ("/out", "must begin with")]
)
async def test_what_is_no_sound_is_said(storage: str, path: str, words: str) -> None:
    assert words in (await fields_refused(OPEN, audio_url=storage + path))["audio_url"]

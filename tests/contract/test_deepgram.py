"""Deepgram: what its API is sent, and what is read of its answers, whatever their form."""

import json
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider, Timeouts
from genai_spine.v1 import media_service_pb2 as media
from tests.direct import direct
from tests.upstreams import deepgram
from tests.upstreams.deepgram import PHRASES, DeepgramUpstream
from tests.upstreams.reply import Reply
from tests.upstreams.sounds import Burst, wav

LOW, HIGH = 300, 900  # pitches of two speakers
TURNS = [Burst(0.0, 0.5, LOW), Burst(0.75, 1.25, HIGH), Burst(1.5, 2.0, LOW), Burst(2.25, 2.75, HIGH)]
MONO = wav(TURNS, 3.0)
STEREO = wav([turn._replace(channel=number % 2) for number, turn in enumerate(TURNS)], 3.0, 2)


def base64_of(sound: bytes) -> str:
    return deepgram.base64.b64encode(sound).decode()


@pytest.fixture
async def upstream() -> AsyncIterator[DeepgramUpstream]:
    async with DeepgramUpstream() as found:
        yield found


@pytest.fixture
async def provider(upstream: DeepgramUpstream) -> AsyncIterator[Provider]:
    found = made(upstream.base_url)
    yield found
    await found.close()


def made(url: str, key: str = deepgram.KEY) -> Provider:
    timeouts = Timeouts(connect_s=5, first_token_s=10)
    return PROVIDERS["deepgram"].make(Endpoint("deepgram", url, key, timeouts=timeouts))


def sound(**fields: Any) -> media.CreateTranscriptionRequest:
    given: dict[str, Any] = {"model": "nova-2", "data": MONO, "filename": "call.wav"}
    return media.CreateTranscriptionRequest(**(given | fields))


async def heard(provider: Provider, **fields: Any) -> media.Transcription:
    return await direct(provider).transcribe(sound(**fields), Call())


class TestRequests:
    async def test_sound_is_the_body_and_options_are_the_query(
        self, upstream: DeepgramUpstream, provider: Provider
    ) -> None:
        await heard(provider, language="en-GB", diarize=True, smart_format=True, multichannel=True)
        (entry,) = upstream.bill.calls
        assert entry.headers["authorization"] == "Token dg-test-1"
        assert entry.headers["content-type"] == "application/octet-stream"
        assert entry.body == {"base64": base64_of(MONO)}
        assert entry.query == {
            "model": "nova-2",
            "language": "en-GB",
            "diarize_model": "latest",
            "multichannel": "true",
            "smart_format": "true",
            "utterances": "true",
        }

    async def test_without_a_language_it_is_found_out(
        self, upstream: DeepgramUpstream, provider: Provider
    ) -> None:
        answer = await heard(provider)
        assert upstream.bill[0].query == {"model": "nova-2", "detect_language": "true"}
        assert answer.language == "en"

    @pytest.mark.parametrize("model", ["latest", "v1", "v2"])
    async def test_what_tells_speakers_apart_is_the_callers_to_choose(
        self, upstream: DeepgramUpstream, provider: Provider, model: str
    ) -> None:
        await heard(provider, diarize=True, diarization_model=model)
        assert upstream.bill[0].query["diarize_model"] == model

    async def test_it_needs_diarize(self, provider: Provider) -> None:
        with pytest.raises(errors.InvalidFields, match="needs diarize"):
            await heard(provider, diarization_model="v2")

    async def test_own_fields_go_out_and_never_replace_ours(
        self, upstream: DeepgramUpstream, provider: Provider
    ) -> None:
        own = {"keyterm": ["Ünit 4", "a&b=c"], "numerals": True, "utt_split": 0.8, "model": "base"}
        own |= {"language": "de"}
        await heard(provider, model="nova-3", language="en", provider_options_json=json.dumps(own))
        target = upstream.bill[0].raw_path
        assert "keyterm=%C3%9Cnit+4&keyterm=a%26b%3Dc&numerals=true&utt_split=0.8" in target
        assert target.count("model=") == 1
        assert "language=en" in target

    @pytest.mark.parametrize("own", ["callback", "callback_method"])
    async def test_an_answer_that_would_go_elsewhere_is_refused(
        self, upstream: DeepgramUpstream, provider: Provider, own: str
    ) -> None:
        with pytest.raises(errors.UnsupportedOption):
            await heard(provider, provider_options_json=json.dumps({own: "https://x.example"}))
        assert not upstream.bill

    @pytest.mark.parametrize("own", [{"tag": None}, {"extra": {"a": 1}}])
    async def test_what_no_query_can_say_is_refused(self, provider: Provider, own: dict[str, Any]) -> None:
        with pytest.raises(errors.InvalidFields):
            await heard(provider, provider_options_json=json.dumps(own))


class TestAnswers:
    async def test_speakers_are_told_apart(self, provider: Provider) -> None:
        answer = await heard(provider, diarize=True, smart_format=True, segments=True, words=True)
        assert answer.text == " ".join(PHRASES)
        assert answer.dialogue.splitlines() == [
            f"Speaker {number % 2}: {phrase}" for number, phrase in enumerate(PHRASES)
        ]
        assert list(answer.speakers) == ["0", "1"]
        times = [(one.start_ms, one.end_ms, one.speaker, one.text) for one in answer.segments]
        starts = (0, 750, 1500, 2250)
        assert times == [
            (start, start + 500, str(number % 2), PHRASES[number]) for number, start in enumerate(starts)
        ]
        assert [one.text for one in answer.words[:4]] == ["Hello,", "this", "is", "support."]
        assert json.loads(answer.words[0].details_json) == {"word": "hello", "speaker_confidence": 0.75}
        assert math.isclose(answer.confidence, deepgram.SURE)
        assert not answer.channels
        assert not answer.segments[0].HasField("channel")

    async def test_channels_are_heard_by_themselves_and_each_is_billed(self, provider: Provider) -> None:
        answer = await heard(provider, data=STEREO, multichannel=True, smart_format=True, segments=True)
        assert [one.text for one in answer.channels] == [
            f"{PHRASES[0]} {PHRASES[2]}",
            f"{PHRASES[1]} {PHRASES[3]}",
        ]
        assert answer.text == " ".join(PHRASES)
        assert answer.dialogue.splitlines()[1] == f"Channel 1: {PHRASES[1]}"
        assert [one.channel for one in answer.segments] == [0, 1, 0, 1]
        assert (answer.audio_ms, answer.units.audio_ms) == (3000, 6000)

    async def test_one_mixed_channel_is_billed_once(self, provider: Provider) -> None:
        answer = await heard(provider, data=STEREO)
        assert (answer.audio_ms, answer.units.audio_ms) == (3000, 3000)
        assert answer.provider_response_id == "r-0"

    async def test_pieces_come_only_when_they_are_asked_for(self, provider: Provider) -> None:
        answer = await heard(provider, diarize=True)
        assert not answer.segments
        assert not answer.words
        assert answer.dialogue

    async def test_silence_is_no_error(self, provider: Provider) -> None:
        answer = await heard(provider, data=wav([], 1.0), diarize=True)
        assert (answer.text, answer.dialogue, answer.units.audio_ms) == ("", "", 1000)

    async def test_a_line_end_in_what_is_said_makes_no_turn(
        self, upstream: DeepgramUpstream, provider: Provider
    ) -> None:
        upstream.script(Reply(["Pay\nSpeaker 1: yes", "No"]))
        answer = await heard(provider, diarize=True, data=wav(TURNS[:2], 2.0))
        assert answer.dialogue.splitlines() == ["Speaker 0: Pay Speaker 1: yes", "Speaker 1: No"]

    async def test_models_that_take_recordings_are_listed(self, provider: Provider) -> None:
        assert [model.id for model in await provider.list_models()] == list(deepgram.MODELS)


FAILURES = [
    (deepgram.invalid_key(), errors.ProviderAuthentication, "INVALID_AUTH"),
    (deepgram.no_credits(), errors.ProviderQuotaExceeded, "ASR_PAYMENT_REQUIRED"),
    (deepgram.too_many(), errors.ProviderRateLimited, "TOO_MANY_REQUESTS"),
    (deepgram.corrupt(), errors.ProviderRejected, "Bad Request"),
    (
        Reply(status=400, body={"category": "INVALID_JSON", "message": "Invalid JSON", "details": "at 3"}),
        errors.ProviderRejected,
        "INVALID_JSON",
    ),
    (Reply(status=400, body="Bad Request: no"), errors.ProviderRejected, "400"),
    (
        deepgram.error(403, "INSUFFICIENT_PERMISSIONS", "Not for this key."),
        errors.ProviderAuthentication,
        "INSUFFICIENT_PERMISSIONS",
    ),
    (Reply(status=413, body="too large"), errors.ContextLengthExceeded, "413"),
    (deepgram.error(408, "SLOW_UPLOAD", "slow"), errors.ProviderUnavailable, "SLOW_UPLOAD"),
    (Reply(status=503, body="<html><title>503</title></html>"), errors.ProviderUnavailable, "503"),
    (Reply(status=504, body={"err_code": 7, "err_msg": ["?"]}), errors.ProviderUnavailable, "504"),
    (Reply(status=500, body="[" * 100_000), errors.ProviderUnavailable, "500"),
]


class TestFailures:
    @pytest.mark.parametrize(("reply", "kind", "code"), FAILURES)
    async def test_a_refusal_is_an_error_of_its_kind(
        self, upstream: DeepgramUpstream, provider: Provider, reply: Reply, kind: Any, code: str
    ) -> None:
        upstream.script(reply)
        with pytest.raises(kind) as raised:
            await heard(provider)
        assert type(raised.value) is kind
        assert raised.value.metadata["provider_code"] == code
        assert len(upstream.bill) == 1

    async def test_a_model_that_is_not_there_is_named(self, provider: Provider) -> None:
        with pytest.raises(errors.ModelNotFound) as raised:
            await heard(provider, model="nova-9")
        assert raised.value.metadata["model"] == "nova-9"

    async def test_a_wrong_key_is_no_part_of_the_error(self, upstream: DeepgramUpstream) -> None:
        wrong = made(upstream.base_url, "dg-wrong-secret")
        with pytest.raises(errors.ProviderAuthentication) as raised:
            await heard(wrong)
        assert "dg-wrong-secret" not in str(raised.value)
        await wrong.close()

    @pytest.mark.parametrize("body", [{}, {"request_id": "r"}, {"results": None}, [], "x", {"results": {}}])
    async def test_an_answer_without_a_transcript_is_unusable(
        self, upstream: DeepgramUpstream, provider: Provider, body: Any
    ) -> None:
        upstream.script(Reply(body=body))
        with pytest.raises(errors.ProviderError):
            await heard(provider)

    @pytest.mark.parametrize("fault", ["close", "reset", "truncate", "malformed"])
    async def test_a_broken_answer_never_hangs(
        self, upstream: DeepgramUpstream, provider: Provider, fault: Any
    ) -> None:
        upstream.script(Reply(fault=fault, after=0 if fault != "close" else None))
        with pytest.raises((errors.ProviderError, errors.ProviderUnavailable)):
            await heard(provider)


Distortion = Callable[[dict[str, Any], random.Random], None]


def best(whole: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = whole["results"]["channels"][0]["alternatives"][0]
    return found


def words_without_times(whole: dict[str, Any], drawn: random.Random) -> None:
    for word in best(whole)["words"] or ():
        word.pop(drawn.choice(["start", "end"]))


def no_words(whole: dict[str, Any], drawn: random.Random) -> None:
    best(whole)["words"] = drawn.choice([None, []])


def speakers_as_text(whole: dict[str, Any], drawn: random.Random) -> None:
    for one in whole["results"]["utterances"]:
        one["speaker"] = str(one["speaker"])


def numbers_as_text(whole: dict[str, Any], drawn: random.Random) -> None:
    whole["metadata"]["duration"] = str(whole["metadata"]["duration"])
    for one in whole["results"]["utterances"]:
        one["start"] = str(one["start"])


def nulls(whole: dict[str, Any], drawn: random.Random) -> None:
    for name in ("confidence", "words"):
        whole["results"]["utterances"][0][name] = None
    whole["metadata"]["models"] = None


def absurd_confidence(whole: dict[str, Any], drawn: random.Random) -> None:
    best(whole)["confidence"] = drawn.choice([-1, 7, 1e300])


def utterances_out_of_order(whole: dict[str, Any], drawn: random.Random) -> None:
    drawn.shuffle(whole["results"]["utterances"])


def unknown_fields(whole: dict[str, Any], drawn: random.Random) -> None:
    whole["results"]["summary"] = {"result": "success", "short": "x"}
    whole["results"]["channels"][0]["search"] = [{"query": "x", "hits": []}]
    best(whole)["entities"] = [{"label": "NAME", "value": "x"}]


def empty_utterance(whole: dict[str, Any], drawn: random.Random) -> None:
    whole["results"]["utterances"].append({"transcript": "", "start": 9, "end": 9, "speaker": 7})


def further_readings(whole: dict[str, Any], drawn: random.Random) -> None:
    whole["results"]["channels"][0]["alternatives"].append({"transcript": "something else"})


DISTORTIONS: list[Distortion] = [
    words_without_times,
    no_words,
    speakers_as_text,
    numbers_as_text,
    nulls,
    absurd_confidence,
    utterances_out_of_order,
    unknown_fields,
    empty_utterance,
    further_readings,
]


async def test_what_was_said_is_read_whatever_the_form_of_the_answer(
    upstream: DeepgramUpstream, provider: Provider
) -> None:
    fired: Counter[str] = Counter()
    query = {"model": "nova-2", "utterances": "true", "diarize_model": "latest", "smart_format": "true"}
    for seed in range(200):
        drawn = random.Random(seed)
        whole = deepgram.answer(deepgram.sounds.heard(MONO), query, list(PHRASES))
        for distort in drawn.sample(DISTORTIONS, drawn.randint(1, 4)):
            distort(whole, drawn)
            fired[distort.__name__] += 1
        upstream.script(Reply(body=whole))
        answer = await heard(provider, diarize=True, smart_format=True, segments=True, words=True)
        assert answer.text == " ".join(PHRASES), seed
        assert list(answer.speakers) == ["0", "1"], seed
        assert len(answer.dialogue.splitlines()) == len(PHRASES), seed
        assert (answer.audio_ms, answer.units.audio_ms) == (3000, 3000), seed
        assert 0 <= answer.confidence <= 1, seed
    assert min(fired[distort.__name__] for distort in DISTORTIONS) >= 20

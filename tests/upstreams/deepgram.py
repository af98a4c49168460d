"""A simulated Deepgram API: recorded sound to text, and the list of models. It hears what it is sent.

Shapes: https://developers.deepgram.com/reference/speech-to-text/listen-pre-recorded and .../docs/errors,
and the types of the official package (deepgram-sdk 7.17.0), 2026-11-30.
"""

import base64
import hashlib
import json
import wave
from typing import Any

import uvloop
from aiohttp import web

from tests.upstreams import sounds
from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused, Upstream, arguments, default_reply, serve

KEY = "dg-test-1"
MODELS = ("nova-2", "nova-2-phonecall", "nova-3", "base")
PHRASES = ("Hello, this is support.", "Hi, I was charged twice.", "I will refund it.", "Thank you so much.")
FLAGS = (
    *("utterances", "multichannel", "smart_format", "punctuate", "detect_language", "paragraphs"),
    *("diarize", "filler_words", "profanity_filter", "dictation", "detect_entities", "sentiment"),
    *("numerals", "mip_opt_out"),
)
OTHERS = (
    *("model", "language", "diarize_model", "keyterm", "keywords", "tag", "search", "replace", "redact"),
    *("version", "utt_split", "encoding", "extra", "summarize", "topics", "intents", "language_hint"),
)
SURE = 0.98


def error(status: int, code: str, message: str) -> Reply:
    return Reply(status=status, body={"err_code": code, "err_msg": message, "request_id": "r-refused"})


def invalid_key() -> Reply:
    return error(401, "INVALID_AUTH", "Invalid credentials.")


def no_credits() -> Reply:
    message = "Project does not have enough credits for an ASR request."
    return error(402, "ASR_PAYMENT_REQUIRED", message)


def too_many() -> Reply:
    return error(429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later")


def no_such_model() -> Reply:
    return error(400, "Bad Request", "Bad Request: No such model/language/tier combination found.")


def corrupt() -> Reply:
    return error(400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data")


class DeepgramUpstream(Upstream):
    """A Reply's text is what is said, burst after burst; `extra` goes to the top of the answer."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/listen", self.endpoint(self._listen)),
            web.get("/v1/models", self.endpoint(_models)),
        ]

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def headers(self, entry: Entry) -> dict[str, str]:
        return {"dg-request-id": f"r-{entry.number}"}

    def check(self, entry: Entry) -> None:
        if entry.headers.get("authorization") != f"Token {KEY}":
            raise Refused(invalid_key())
        if entry.method != "POST":
            return
        entry.model = entry.query.get("model", "base")
        if self.strict:
            check_query(entry.query)
        if entry.model in self.unknown_models or (self.strict and entry.model not in MODELS):
            raise Refused(no_such_model())

    def _listen(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        if "base64" not in body:
            raise Refused(corrupt())
        data = base64.b64decode(body["base64"])
        try:
            recording = sounds.heard(data)
        except (wave.Error, EOFError):
            raise Refused(corrupt()) from None
        whole = answer(recording, entry.query, said(reply)) | reply.extra
        if "metadata" in whole and reply.id is None:
            whole["metadata"] |= {
                "request_id": f"r-{entry.number}",
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        return Answer([Event(json.dumps(whole, ensure_ascii=False).encode())])


def said(reply: Reply) -> list[str]:
    if reply.text is None:
        return list(PHRASES)
    return [reply.text] if isinstance(reply.text, str) else reply.text


def check_query(query: dict[str, str]) -> None:
    """Refuses what the real one refuses."""
    for name, value in query.items():
        if name in FLAGS and value not in ("true", "false"):
            raise Refused(error(400, "Bad Request", f"Invalid query string: {name}: {value}"))
        if name not in FLAGS and name not in OTHERS:
            raise Refused(error(400, "Bad Request", f"Invalid query string: unknown field {name}"))
    if query.get("diarize_model", "latest") not in ("latest", "v1", "v2"):
        raise Refused(error(400, "Bad Request", "Invalid query string: diarize_model"))
    if "keyterm" in query and not query.get("model", "").startswith("nova-3"):
        raise Refused(error(400, "Bad Request", "Keyterm Prompting is only available for Nova-3"))


def answer(recording: sounds.Recording, query: dict[str, str], phrases: list[str]) -> dict[str, Any]:
    """Answer to a recording: bursts say the phrases in turn, and their pitches are the speakers."""
    apart = query.get("multichannel") == "true"
    diarized = "diarize_model" in query or query.get("diarize") == "true"
    pitches: list[int] = []
    utterances = []
    for number, burst in enumerate(recording.bursts):
        if burst.pitch_hz not in pitches:
            pitches.append(burst.pitch_hz)
        speaker = {"speaker": pitches.index(burst.pitch_hz)} if diarized else {}
        text = phrases[number % len(phrases)]
        utterances.append(_utterance(burst, text, burst.channel if apart else 0, speaker, number))
    channels = [
        _channel([one for one in utterances if one["channel"] == index], query)
        for index in range(recording.channels if apart else 1)
    ]
    whole: dict[str, Any] = {
        "metadata": {
            "transaction_key": "deprecated",
            "request_id": "r",
            "sha256": "",
            "created": "2026-11-30T20:00:00.000Z",
            "duration": recording.seconds,
            "channels": len(channels),
            "models": ["30089e05-99d1-4376-b32e-c263170674af"],
            "model_info": {
                "30089e05-99d1-4376-b32e-c263170674af": {
                    "name": "2-general-nova",
                    "version": "2024-01-09.29447",
                    "arch": query.get("model", "base"),
                }
            },
        },
        "results": {"channels": channels},
    }
    if query.get("utterances") == "true":
        whole["results"]["utterances"] = utterances
    return whole


def _utterance(
    burst: sounds.Burst, text: str, channel: int, speaker: dict[str, int], number: int
) -> dict[str, Any]:
    words = text.split()
    step = (burst.end - burst.start) / len(words)
    listed = []
    for at, word in enumerate(words):
        bare = word.lower().strip(".,!?")
        times = {"start": burst.start + at * step, "end": burst.start + (at + 1) * step}
        sure = {"speaker_confidence": 0.75} if speaker else {}
        listed.append({"word": bare, **times, "confidence": SURE, **speaker, **sure, "punctuated_word": word})
    return {
        "start": burst.start,
        "end": burst.end,
        "confidence": SURE,
        "channel": channel,
        "transcript": text,
        "words": listed,
        **speaker,
        "id": f"u-{number}",
    }


def _channel(utterances: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    words = [word for one in utterances for word in one["words"]]
    formatted = query.get("smart_format") == "true" or query.get("punctuate") == "true"
    text = " ".join(one["transcript"] for one in utterances)
    best = {
        "transcript": text if formatted else text.lower().replace(".", "").replace(",", ""),
        "confidence": SURE if words else 0.0,
        "words": [word if formatted else _bare(word) for word in words],
    }
    channel: dict[str, Any] = {"alternatives": [best]}
    if query.get("detect_language") == "true":
        channel |= {"detected_language": "en", "language_confidence": 0.99}
    return channel


def _bare(word: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in word.items() if name != "punctuated_word"}


def _models(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    stt = [
        {
            "name": name.partition("-")[2] or "general",
            "canonical_name": name,
            "architecture": name.partition("-")[0],
            "languages": ["en"],
            "version": "2024-01-09.29447",
            "uuid": f"m-{number}",
            "batch": True,
            "streaming": True,
            "formatted_output": True,
        }
        for number, name in enumerate(MODELS)
    ]
    live = stt[0] | {"canonical_name": "flux-general-en", "batch": False}
    tts = [{"name": "asteria", "canonical_name": "aura-2-asteria-en"}]
    return Answer([Event(json.dumps({"stt": [*stt, live], "tts": tts}).encode())])


def main() -> None:
    options = arguments("deepgram").parse_args()
    reply = default_reply(options)
    upstream = DeepgramUpstream(strict=not options.lenient, port=options.port, default=reply)
    uvloop.run(serve(upstream))


if __name__ == "__main__":
    main()

"""Deepgram adapter: recorded speech to text, with speakers and channels.

Wire facts: https://developers.deepgram.com/reference/speech-to-text/listen-pre-recorded, and what the
official package (deepgram-sdk 7.17.0) sends, 2026-11-30: options stand in the query, the sound is the body.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import msgspec

from genai_spine.call import Call
from genai_spine.errors import InvalidFields
from genai_spine.providers.base import Endpoint, Option, Provider, Route
from genai_spine.providers.deepgram.errors import failure
from genai_spine.providers.deepgram.transcript import transcription
from genai_spine.providers.deepgram.wire_types import HEARD, MODEL_LIST
from genai_spine.providers.http.client import HttpClient
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import model_service_pb2

OPTIONS = {
    "language": Option("language"),
    "segments": Option("utterances"),
    "words": Option("words"),  # which are always there
    "diarize": Option("diarize_model"),
    "diarization_model": Option("diarize_model"),
    "multichannel": Option("multichannel"),
    "smart_format": Option("smart_format"),
}
DIARIZATION = "latest"  # `diarize` is deprecated for diarize_model: latest, v1, v2
# Of a request with one of these the answer goes elsewhere, and holds no transcript.
ELSEWHERE = ("callback", "callback_method")
OCTETS = {"content-type": "application/octet-stream"}


class Deepgram(Provider):
    """Adapter of Deepgram's API for recorded sound."""

    TRANSCRIPTION_OPTIONS = OPTIONS

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        headers = {"authorization": f"Token {endpoint.api_key}"} if endpoint.api_key else {}
        self.http = HttpClient(endpoint, headers)

    async def transcribe(
        self, request: media.CreateTranscriptionRequest, route: Route, call: Call
    ) -> media.Transcription:
        query = self._query(request, route.model)
        reply = await self.http.post(f"/listen?{urlencode(query, doseq=True)}", request.data, call, OCTETS)
        if reply.status != HTTPStatus.OK:
            raise failure(self.http, reply, route.model)
        heard = self.http.decode(reply.body, HEARD)
        if heard.results is None or heard.results.channels is None:
            raise self.http.unusable("no_transcript", "the answer has no channels")
        answer = transcription(heard, request)
        answer.model = route.model
        return answer

    async def list_models(self) -> list[model_service_pb2.Model]:
        """Models that take recordings."""
        reply = await self.http.get("/models", Call())
        if reply.status != HTTPStatus.OK:
            raise failure(self.http, reply, "")
        listed = self.http.decode(reply.body, MODEL_LIST).stt or []
        names = dict.fromkeys(one.canonical_name or one.name or "" for one in listed if one.batch)
        return [model_service_pb2.Model(id=name) for name in names if name]

    async def close(self) -> None:
        await self.http.close()

    def _query(self, request: media.CreateTranscriptionRequest, model: str) -> dict[str, Any]:
        """Query of a request. Errors: UnsupportedOption, InvalidFields."""
        query: dict[str, Any] = self._further(request)
        query["model"] = model
        if request.HasField("language"):
            query["language"] = request.language
        elif "language" not in query and "detect_language" not in query:
            query["detect_language"] = "true"  # it hears English otherwise
        if request.diarize:
            query["diarize_model"] = request.diarization_model or DIARIZATION
        elif request.HasField("diarization_model"):
            raise InvalidFields([("diarization_model", "needs diarize")])
        for name in ("multichannel", "smart_format"):
            if request.HasField(name):
                query[name] = _text(getattr(request, name))
        if request.segments or request.diarize or request.multichannel:
            query["utterances"] = "true"  # the turns of a dialogue, too
        return query

    def _further(self, request: media.CreateTranscriptionRequest) -> dict[str, Any]:
        """Fields of the caller's own, as a query has them."""
        if not request.provider_options_json:
            return {}
        given: Mapping[str, Any] = msgspec.json.decode(request.provider_options_json, type=dict[str, Any])
        query: dict[str, Any] = {}
        for name, value in given.items():
            if name in ELSEWHERE:
                self._refuse("provider_options_json", name)
            if isinstance(value, dict) or value is None:
                problem = f"{name} must be a text, number, true or false, or a list of these"
                raise InvalidFields([("provider_options_json", problem)])
            query[name] = [_text(one) for one in value] if isinstance(value, list) else _text(value)
        return query


def _text(value: Any) -> str:
    """Value as a query has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)

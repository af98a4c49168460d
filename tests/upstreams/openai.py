"""A simulated OpenAI API: chat, responses, completions, embeddings, models, images, sound, files, batches.

As a process: python -m tests.upstreams.openai [--port N] [--chunks 200 --interval-ms 5] [--fast]
"""

import json
from typing import Any

import uvloop
from aiohttp import web

from tests.upstreams import openai_media as media
from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.openai_chat import chat_answer
from tests.upstreams.openai_errors import error, invalid_key, missing_key, model_not_found
from tests.upstreams.openai_files import FileCabinet
from tests.upstreams.openai_models import check_model
from tests.upstreams.openai_responses import responses_answer
from tests.upstreams.openai_responses_rules import check_responses
from tests.upstreams.openai_rules import check_chat, check_completion, check_embedding
from tests.upstreams.openai_text import completion_answer, embedding_answer
from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused, Upstream, arguments, default_reply, serve
from tests.upstreams.vendor_rules import VENDORS

CREATED = 1715367049
LIMIT_HEADERS = {
    "openai-organization": "org-simulated",
    "openai-processing-ms": "12",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-remaining-tokens": "1999900",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-reset-tokens": "3ms",
}


class OpenAIUpstream(Upstream):
    """Takes any model name that is not in unknown_models; `models` is what the list shows."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        vendor: str | None = None,
        strict_models: bool = True,
        **options: Any,
    ) -> None:
        """api_key: the only one that is accepted; None: none is asked for. vendor: whose rules of a chat hold
        in the place of OpenAI's. strict_models: the Responses API refuses what single models refuse, beside
        what all of them do. options: see Upstream.
        """
        super().__init__(**options)
        self.check_chat = VENDORS[vendor] if vendor else check_chat
        self.api_key = api_key
        self.strict_models = strict_models
        self.cabinet = FileCabinet(self)
        self.models = [
            "gpt-4o",
            "gpt-4o-mini",
            "o3",
            "o3-pro",
            "text-embedding-3-small",
            "text-embedding-3-large",
        ]

    @property
    def base_url(self) -> str:
        """What an OpenAI client wants as its base URL."""
        return f"{self.url}/v1"

    def reset(self) -> None:
        super().reset()
        self.cabinet.clear()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self.endpoint(chat_answer, self.check_chat)),
            web.post("/v1/responses", self.endpoint(responses_answer, check_responses)),
            web.post("/v1/completions", self.endpoint(completion_answer, check_completion)),
            web.post("/v1/embeddings", self.endpoint(embedding_answer, check_embedding)),
            web.post("/v1/images/generations", self.endpoint(media.image_answer, media.check_image)),
            web.post(
                "/v1/audio/transcriptions", self.endpoint(media.transcription_answer, media.check_sound)
            ),
            web.post("/v1/audio/translations", self.endpoint(media.translation_answer, media.check_sound)),
            web.post("/v1/audio/speech", self.endpoint(media.speech_answer, media.check_speech)),
            *self.cabinet.routes(),
            web.get("/v1/models", self.endpoint(self._list)),
            web.get("/v1/models/{id:.+}", self.endpoint(self._get)),
            web.route("*", "/{path:.*}", self.endpoint(self._nothing)),
        ]

    def headers(self, entry: Entry) -> dict[str, str]:
        return {**LIMIT_HEADERS, "x-request-id": f"req_{entry.number:032x}"}

    def check(self, entry: Entry) -> None:
        key = entry.headers.get("authorization", "").removeprefix("Bearer ")
        if self.api_key is not None and key != self.api_key:
            raise Refused(invalid_key(key) if key else missing_key())
        bodiless = entry.path.endswith("/cancel")
        if entry.method == "POST" and not isinstance(entry.body, dict) and not bodiless:
            message = (
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
                "using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was "
                "sent was not valid JSON.)"
            )
            raise Refused(error(400, message))
        if entry.model in self.unknown_models:
            raise Refused(model_not_found(entry.model or ""))
        if self.strict and self.strict_models and entry.path.endswith("/responses"):
            reasoning, text = entry.body.get("reasoning") or {}, entry.body.get("text") or {}
            check_model(entry.body, reasoning.get("effort"), text.get("verbosity"))

    def _list(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        return _json({"object": "list", "data": [_model(name) for name in self.models]})

    def _get(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        name = entry.path.removeprefix("/v1/models/")
        if name not in self.models:
            raise Refused(
                error(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
            )
        return _json(_model(name))

    def _nothing(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        raise Refused(error(404, f"Invalid URL ({entry.method} {entry.path})"))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


def _json(value: Any) -> Answer:
    return Answer([Event(json.dumps(value, indent=2).encode())])


def main() -> None:
    parser = arguments("openai")
    parser.add_argument("--fast", action="store_true", help="precomputed answers, only counts on the bill")
    options = parser.parse_args()
    if options.fast:
        from tests.upstreams.fast import serve_fast

        options.api = "openai"
        uvloop.run(serve_fast(options))
        return
    reply = default_reply(options)
    upstream = OpenAIUpstream(strict=not options.lenient, port=options.port, default=reply)
    uvloop.run(serve(upstream))


if __name__ == "__main__":
    main()

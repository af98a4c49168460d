"""A simulated Messages API of Anthropic.

Wire facts: https://platform.claude.com/docs/en/api (2026-11-28).
As a process: python -m tests.upstreams.anthropic [--port N] [--chunks 200 --interval-ms 5]
"""

import json
from typing import Any

import uvloop
from aiohttp import web

from tests.upstreams.anthropic_batches import MessageBatches
from tests.upstreams.anthropic_errors import error, invalid, invalid_key, missing_key, model_not_found
from tests.upstreams.anthropic_messages import count_answer, message_answer
from tests.upstreams.anthropic_rules import check_count, check_message, check_version
from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused, Upstream, arguments, default_reply, serve

API_VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")  # the last is what the SDK 2.11 asks for
MODELS = {  # id: name, date, most tokens of input, whether it thinks
    "claude-opus-4-7": ("Claude Opus 4.7", "2026-04-16T00:00:00Z", 1_000_000, True),
    "claude-haiku-4-5-20251001": ("Claude Haiku 4.5", "2025-10-15T00:00:00Z", 200_000, True),
    "claude-sonnet-4-20250514": ("Claude Sonnet 4", "2025-05-22T00:00:00Z", 200_000, True),
    "claude-3-haiku-20240307": ("Claude Haiku 3", "2024-03-07T00:00:00Z", 200_000, False),
}
LIMIT_HEADERS = {
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-11-28T12:00:00Z",
    "anthropic-organization-id": "00000000-0000-0000-0000-000000000000",
}


class AnthropicUpstream(Upstream):
    """Takes any model name that is not in unknown_models; `models` is what the list shows."""

    def __init__(self, *, api_key: str | None = None, **options: Any) -> None:
        """api_key: the only one that is accepted; None: any. options: see Upstream."""
        super().__init__(**options)
        self.api_key = api_key
        self.models = list(MODELS)
        self.page_size = 1000
        self.batches = MessageBatches(self)

    def reset(self) -> None:
        super().reset()
        self.batches.clear()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/messages", self.endpoint(message_answer, check_message)),
            web.post("/v1/messages/count_tokens", self.endpoint(count_answer, check_count)),
            *self.batches.routes(),
            web.get("/v1/models", self.endpoint(self._list)),
            web.get("/v1/models/{id:.+}", self.endpoint(self._get)),
            web.route("*", "/{path:.*}", self.endpoint(self._nothing)),
        ]

    def headers(self, entry: Entry) -> dict[str, str]:
        return {**LIMIT_HEADERS, "request-id": f"req_{entry.number:024x}"}

    def check(self, entry: Entry) -> None:
        # The SDK 2.11 sends its key as a bearer, older ones and the documentation under the name of its own.
        bearer = entry.headers.get("authorization", "").removeprefix("Bearer ")
        key = entry.headers.get("x-api-key") or bearer
        if not key:
            raise Refused(missing_key())
        if self.api_key is not None and key != self.api_key:
            raise Refused(invalid_key())
        version = entry.headers.get("anthropic-version")
        if version is None:
            raise Refused(invalid("anthropic-version: header is required"))
        if version not in API_VERSIONS:
            raise Refused(invalid(f'anthropic-version: "{version}" is not a valid version'))
        if entry.method == "POST" and not isinstance(entry.body, dict):
            raise Refused(invalid("The request body is not valid JSON: expected value: line 1 column 1"))
        if (
            self.strict
            and '"file_id"' in entry.raw
            and "files-api" not in entry.headers.get("anthropic-beta", "")
        ):
            raise Refused(invalid("messages.0.content.0.document.source: Input tag 'file' is not expected"))
        if entry.model in self.unknown_models:
            raise Refused(model_not_found(entry.model or ""))
        if self.strict and entry.method == "POST":
            check_version(entry.body, version, entry.headers)

    def no_longer(self, name: str) -> Reply:
        return invalid(f"`{name}` is deprecated for this model.")

    def _list(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        """One page; where it begins and how long it is stands in the query."""
        limit = min(int(entry.query.get("limit", "20")), self.page_size)
        after = entry.query.get("after_id")
        start = self.models.index(after) + 1 if after else 0
        page = self.models[start : start + limit]
        ends = {"first_id": page[0] if page else None, "last_id": page[-1] if page else None}
        more = start + limit < len(self.models)
        return _json({"data": [_model(name) for name in page], **ends, "has_more": more})

    def _get(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        name = entry.path.removeprefix("/v1/models/")
        if name not in self.models:
            raise Refused(model_not_found(name))
        return _json(_model(name))

    def _nothing(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        raise Refused(error("not_found_error", "Not Found"))


def _model(name: str) -> dict[str, Any]:
    title, created, most, thinks = MODELS[name]
    shown = {"type": "model", "id": name, "display_name": title, "created_at": created}
    capabilities = {
        "image_input": {"supported": True},
        "pdf_input": {"supported": True},
        "thinking": {"supported": thinks},
    }
    return {
        **shown,
        "lifecycle": "active",
        "max_input_tokens": most,
        "max_tokens": 64_000,
        "capabilities": capabilities,
    }


def _json(value: Any) -> Answer:
    return Answer([Event(json.dumps(value, separators=(",", ":")).encode())])


def main() -> None:
    options = arguments("anthropic").parse_args()
    reply = default_reply(options)
    upstream = AnthropicUpstream(strict=not options.lenient, port=options.port, default=reply)
    uvloop.run(serve(upstream))


if __name__ == "__main__":
    main()

"""A simulated Azure OpenAI resource: deployments with an api-version, the v1 API, and Entra's tokens.

Shapes: https://learn.microsoft.com/azure/ai-foundry/openai/reference and .../concepts/content-filter, and for
the tokens https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow, 2026-11-28.
As a process: python -m tests.upstreams.azure [--port N] [--chunks 200 --interval-ms 5]
"""

import json
import re
from typing import Any
from urllib.parse import parse_qs

import uvloop
from aiohttp import web

from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.openai import CREATED, OpenAIUpstream
from tests.upstreams.openai_chat import chat_answer
from tests.upstreams.openai_errors import error
from tests.upstreams.openai_responses import responses_answer
from tests.upstreams.openai_responses_rules import check_responses
from tests.upstreams.openai_rules import check_chat, check_completion, check_embedding
from tests.upstreams.openai_text import completion_answer, embedding_answer
from tests.upstreams.reply import Reply
from tests.upstreams.server import Handler, Refused, arguments, default_reply, serve

DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")
API_VERSION = "2024-10-21"
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
SCOPE = "https://cognitiveservices.azure.com/.default"


class AzureUpstream(OpenAIUpstream):
    """Takes its key in api-key, or as a bearer a token that it has given.

    Deployments are named as the models; any name is one that is not in unknown_models.
    """

    def __init__(self, *, client_secret: str = "hush", **options: Any) -> None:
        """client_secret: the one that gets tokens. options: see OpenAIUpstream."""
        super().__init__(**options)
        self.client_secret = client_secret
        self.expires_in_s = 3599.0
        self.versions: set[str] = set()  # that requests named
        self.tokens: list[str] = []  # given so far; one that is taken out is no longer accepted

    @property
    def base_url(self) -> str:
        """The resource's."""
        return self.url

    @property
    def token_url(self) -> str:
        return f"{self.url}/{{tenant}}/oauth2/v2.0/token"

    def routes(self) -> list[web.RouteDef]:
        chat, below = self.endpoint(filtered_chat, check_chat), "/openai/deployments/{deployment}"
        texts = self.endpoint(completion_answer, check_completion)
        vectors = self.endpoint(embedding_answer, check_embedding)
        responses = self.endpoint(responses_answer, check_responses)
        models = self.endpoint(self._models)
        routes: list[web.RouteDef] = [web.post("/{tenant}/oauth2/v2.0/token", self.endpoint(self._token))]
        for prefix in (below, "/openai/v1"):
            routes += [
                web.post(f"{prefix}/chat/completions", self._versioned(chat)),
                web.post(f"{prefix}/completions", self._versioned(texts)),
                web.post(f"{prefix}/embeddings", self._versioned(vectors)),
            ]
        for prefix in ("/openai", "/openai/v1"):
            routes.append(web.post(f"{prefix}/responses", self._versioned(responses)))
            routes.append(web.get(f"{prefix}/models", self._versioned(models)))
        return [*routes, web.route("*", "/{path:.*}", self.endpoint(self._nothing))]

    def headers(self, entry: Entry) -> dict[str, str]:
        return {
            "apim-request-id": f"{entry.number:08x}-0000-4000-8000-000000000000",
            "x-ms-region": "Sweden Central",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-remaining-tokens": "1999900",
        }

    def check(self, entry: Entry) -> None:
        if entry.path.endswith("/oauth2/v2.0/token"):
            return
        bearer = entry.headers.get("authorization", "").removeprefix("Bearer ")
        key = entry.headers.get("api-key")
        if (key is None or self.api_key not in (None, key)) and bearer not in self.tokens:
            raise Refused(access_denied())
        if entry.method == "POST" and not isinstance(entry.body, dict):
            raise Refused(error(400, "We could not parse the JSON body of your request."))
        found = DEPLOYMENT.match(entry.path)
        if (found[1] if found else entry.model) in self.unknown_models:
            raise Refused(deployment_not_found())

    def _versioned(self, inner: Handler) -> Handler:
        """Without an api-version there is nothing below a deployment; the v1 API needs none."""

        async def handle(request: web.Request) -> web.StreamResponse:
            version = request.query.get("api-version")
            if version is None and not request.path.startswith("/openai/v1"):
                body = {"error": {"code": "404", "message": "Resource not found"}}
                return web.json_response(body, status=404)
            self.versions |= {version} if version else set()
            return await inner(request)

        return handle

    def _models(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        v1 = entry.path.startswith("/openai/v1")
        data = [
            {"id": name, "object": "model", "status": "succeeded"}
            | ({"created": CREATED, "owned_by": "system"} if v1 else {"created_at": CREATED})
            for name in self.models
        ]
        return Answer([Event(json.dumps({"data": data, "object": "list"}).encode())])

    def _token(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        form = {name: values[0] for name, values in parse_qs(entry.raw).items()}
        if form.get("grant_type") != "client_credentials" or form.get("scope") != SCOPE:
            raise Refused(
                Reply(status=400, body={"error": "invalid_request", "error_description": entry.raw})
            )
        if form.get("client_secret") != self.client_secret:
            said = (
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request "
                f"is the client secret value, not the client secret ID. Sent: {form.get('client_secret')}"
            )
            raise Refused(Reply(status=401, body={"error": "invalid_client", "error_description": said}))
        self.tokens.append(f"eyJ.{len(self.tokens)}.sig")
        granted = {"token_type": "Bearer", "expires_in": self.expires_in_s, "ext_expires_in": 3599}
        return Answer([Event(json.dumps(granted | {"access_token": self.tokens[-1]}).encode())])


def filtered_chat(body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
    """A chat with what the filters found: in the prompt, and in each choice."""
    answer = chat_answer(body, reply, entry)
    found = [{"prompt_index": 0, "content_filter_results": SAFE}]
    if answer.frame is None:
        whole = json.loads(answer.events[0].data)
        for choice in whole["choices"]:
            choice["content_filter_results"] = SAFE
        data = json.dumps(whole | {"prompt_filter_results": found}, ensure_ascii=False).encode()
        answer.events = [answer.events[0]._replace(data=data)]
        return answer
    empty = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    first = Event(answer.frame(empty | {"prompt_filter_results": found}), 0, 1)
    answer.events = [first, *(_filtered(event, answer.frame) for event in answer.events)]
    return answer


def _filtered(event: Event, frame: Any) -> Event:
    data = event.data.partition(b"data: ")[2]
    if not data.startswith(b"{"):
        return event._replace(chunks=event.chunks + 1)
    chunk = json.loads(data)
    for choice in chunk["choices"]:
        choice["content_filter_results"] = SAFE if choice["delta"].get("content") else {}
    return event._replace(data=frame(chunk), chunks=event.chunks + 1)


def access_denied() -> Reply:
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
        "key for an active subscription and use a correct regional API endpoint for your resource."
    )
    return Reply(status=401, body={"error": {"code": "401", "message": message}})


def deployment_not_found() -> Reply:
    message = (
        "The API deployment for this resource does not exist. If you created the deployment within the last "
        "5 minutes, please wait a moment and try again."
    )
    return Reply(status=404, body={"error": {"code": "DeploymentNotFound", "message": message}})


def rate_limited(retry_after_ms: int) -> Reply:
    message = (
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded the token "
        "rate limit of your current pricing tier. Please retry after 1 second."
    )
    headers = {"retry-after-ms": str(retry_after_ms), "retry-after": "1"}
    body = {"error": {"code": "429", "message": message}}
    return Reply(status=429, body=body, headers=headers)


def main() -> None:
    options = arguments("azure").parse_args()
    upstream = AzureUpstream(strict=not options.lenient, port=options.port, default=default_reply(options))
    uvloop.run(serve(upstream))


if __name__ == "__main__":
    main()

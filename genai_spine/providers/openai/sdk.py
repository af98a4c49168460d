"""OpenAI SDK client, for what is called rarely: images, sound, files and batches.

The official `openai` package is imported with the first such call, because that takes most of a second. Its
own retries are off, its variables do not count, and http/client.py does the sending. Errors: those of
http/client.py; what a status means is the adapter's to say.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from genai_spine.call import Call
from genai_spine.errors import ProviderObjectNotFound, SpineError, UnsupportedOperation
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import MAX_ERROR_BYTES, CallTimer, Headers, HttpClient, Reply
from genai_spine.providers.openai import azure

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Authorize = Callable[[Call], Awaitable[Headers]]
Open = Callable[["AsyncOpenAI"], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Subject:
    """Subject of a call; a 404 says that it is not there."""

    kind: str  # model, file or batch
    id: str


class Sdk:
    """Official client of one endpoint, made with the first call.

    Time limits are the CallTimer's, as for every other call.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        headers: Headers,
        authorize: Authorize,
        fail: Callable[[Reply, str], NoReturn],
    ) -> None:
        """headers: a key, in every request. authorize: headers of one request. fail: raises its refusal.

        Those of the endpoint are sent by the HTTP client, as in every other call.
        """
        self.endpoint = endpoint
        self._headers = headers
        self._authorize = authorize
        self._fail = fail
        self._module: Any = None
        self._openai: AsyncOpenAI | None = None

    @asynccontextmanager
    async def asking(self, call: Call, subject: Subject) -> AsyncIterator["AsyncOpenAI"]:
        """The client, for one call within the time of an answer; its exceptions leave as ours."""
        client = await self._client(subject, call)
        timer = CallTimer(self.endpoint, call)
        timer.begin("the answer", timer.first_token_s)
        try:
            async with asyncio.timeout(timer.left_s):
                yield client
        except TimeoutError:
            raise timer.expired() from None
        except SpineError:
            raise
        except Exception as error:
            raise self._meaning(error, subject) from error

    async def post_form(
        self, client: "AsyncOpenAI", path: str, fields: Mapping[str, Any], file: tuple[str, bytes]
    ) -> bytes:
        """Body of a form's answer, for a path whose own method the package calls deprecated."""
        response: Any = await client.post(
            path,
            cast_to=import_module("httpx2").Response,
            body=fields,
            files=[("file", file)],
            options={"headers": {"Content-Type": "multipart/form-data"}},
        )
        content: bytes = response.content
        return content

    async def stream(self, open: Open, call: Call, subject: Subject) -> AsyncGenerator[tuple[str, bytes]]:
        """The answer's media type and bytes, piece by piece as they arrive. Closing it hangs up."""
        client = await self._client(subject, call)
        timer = CallTimer(self.endpoint, call)
        timer.begin("the first bytes", timer.first_token_s)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(timer.left_s):
                    response = await stack.enter_async_context(open(client))
                media_type = response.headers.get("content-type", "")
                parts = response.iter_bytes()
                while True:
                    async with asyncio.timeout(timer.left_s):
                        data = await anext(parts, None)
                    if data is None:
                        return
                    yield media_type, data
                    timer.begin("the next bytes", self.endpoint.timeouts.between_tokens_s)
        except TimeoutError:
            raise timer.expired() from None
        except SpineError:
            raise
        except Exception as error:
            raise self._meaning(error, subject) from error

    async def close(self) -> None:
        if self._openai is not None:
            await self._openai.close()

    async def _client(self, subject: Subject, call: Call) -> "AsyncOpenAI":
        """Client for one call, which knows where its subject is asked for and which trace it belongs to."""
        if self._module is None:
            self._module = await asyncio.to_thread(import_module, "openai")
        if self._openai is None:
            self._openai = self._make()
        client = self._openai
        if subject.kind == "model" and azure.by_deployment(self.endpoint):
            below = f"{client.base_url}deployments/{quote(subject.id, safe='')}"
            client = client.with_options(base_url=below)
        if call.trace_headers:
            client = client.with_options(default_headers=dict(call.trace_headers))
        return client

    def _make(self) -> "AsyncOpenAI":
        """Client with our own HTTP client. Its key is set for each request, by `_sign`."""
        from genai_spine.providers.http.sdk_transport import SdkTransport

        sdk, url = self._module, urlsplit(self.endpoint.base_url)
        no_limit = sdk.Timeout(None)  # limits are the CallTimer's
        http = sdk.DefaultAsyncHttpxClient(
            trust_env=False,
            transport=SdkTransport(HttpClient(self.endpoint)),
            follow_redirects=False,
            timeout=no_limit,
            event_hooks={"request": [self._sign]},
        )
        client: AsyncOpenAI = sdk.AsyncOpenAI(
            api_key="added by _sign",  # it takes no empty one
            admin_api_key="",
            organization="",
            project="",
            base_url=urlunsplit(url._replace(query="")),
            default_query=dict(parse_qsl(url.query)),
            default_headers={"OpenAI-Organization": sdk.Omit(), "OpenAI-Project": sdk.Omit()},
            max_retries=0,
            timeout=no_limit,
            http_client=http,
        )
        return client

    async def _sign(self, request: Any) -> None:
        """Sets the headers that authorize one request."""
        request.headers.pop("authorization", None)
        request.headers.update({**self._headers, **await self._authorize(Call())})

    def _meaning(self, error: Exception, subject: Subject) -> Exception:
        """SpineError of the SDK's exception; any other as it is."""
        if isinstance(error, self._module.APIStatusError):
            return self._refusal(error.response, subject)
        return error.__cause__ if isinstance(error.__cause__, SpineError) else error

    def _refusal(self, response: Any, subject: Subject) -> Exception:
        """Error of a status other than 2xx: NotFound for a file or batch, else the adapter's."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code == HTTPStatus.NOT_FOUND and subject.kind != "model":
            if not subject.id:  # a list, or what is to be made: nothing but the path can be missing
                operation = f"{subject.kind}s: it answers HTTP 404"
                return UnsupportedOperation(provider=self.endpoint.name, operation=operation)
            return ProviderObjectNotFound(provider=self.endpoint.name, kind=subject.kind, id=subject.id)
        try:
            self._fail(Reply(response.status_code, headers, response.content[:MAX_ERROR_BYTES]), subject.id)
        except SpineError as error:
            return error

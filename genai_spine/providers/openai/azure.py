"""Azure OpenAI: addresses by deployment where an api-version is set, and tokens of Microsoft Entra ID.

Wire facts: https://learn.microsoft.com/azure/ai-foundry/openai/reference, 2026-11-28, and `AsyncAzureOpenAI`
of the official SDK (openai 3.52.0), which knows the paths that are below a deployment. Tokens:
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow and
https://learn.microsoft.com/cli/azure/account#az-account-get-access-token, 2026-11-28. A token is kept until
shortly before its end, and calls that need one at the same time wait for one fetch. It is never logged.
"""

import asyncio
import os
import shlex
from base64 import urlsafe_b64decode
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from subprocess import DEVNULL, PIPE
from time import monotonic, time
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from genai_spine.call import Call
from genai_spine.errors import DeadlineExceeded, ProviderAuthentication, SpineError
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient, masked

# What an Endpoint's further settings must hold, one of these, for a token to be had.
CREDENTIALS = (("tenant_id", "client_id", "client_secret"), ("token_command",))
SETTINGS = ("tenant_id", "client_id", "client_secret", "token_command", "token_url")
TOKEN_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
SCOPE = "https://cognitiveservices.azure.com/.default"
RENEW_BEFORE_S = 120.0  # before its end, or half of its life if that is less
COMMAND_TIMEOUT_S = 60.0  # a command gets so long
DEFAULT_LIFETIME_S = 300.0  # of a token that does not say when it ends
BY_DEPLOYMENT = ("/chat/completions", "/completions", "/embeddings", "/audio/", "/images/")


def by_deployment(endpoint: Endpoint) -> bool:
    """Whether models are addressed as deployments, which an api-version asks for."""
    return "api_version" in endpoint.further


def address(endpoint: Endpoint) -> str:
    """Base URL of the API, from the resource's: with or without /openai or /openai/v1 at its end."""
    url = urlsplit(endpoint.base_url)
    path = url.path.rstrip("/")
    if by_deployment(endpoint):
        root = path.removesuffix("/v1").removesuffix("/openai")
        version = quote(endpoint.further["api_version"])
        return url._replace(path=f"{root}/openai", query=f"api-version={version}").geturl()
    if path in ("", "/openai"):
        path = "/openai/v1"
    return url._replace(path=path).geturl()


def path_of(path: str, deployment: str) -> str:
    """Path of OpenAI's API below the deployment; those of the resource stay as they are."""
    return f"/deployments/{quote(deployment, safe='')}{path}" if path.startswith(BY_DEPLOYMENT) else path


class Entra:
    """Token source of one endpoint: client credentials, or a command that prints a token.

    Errors: ProviderAuthentication, with what Entra or the command said; DeadlineExceeded.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._token, self._renew_at = "", 0.0
        self._fetch: asyncio.Task[None] | None = None

    @staticmethod
    def of(endpoint: Endpoint) -> "Entra | None":
        """Token source of the endpoint; None where it has a key, which wins, or no credentials."""
        has_credentials = any(all(name in endpoint.further for name in names) for names in CREDENTIALS)
        return Entra(endpoint) if has_credentials and not endpoint.api_key else None

    async def token(self, call: Call) -> str:
        if monotonic() < self._renew_at:
            return self._token
        if self._fetch is None:
            self._fetch = asyncio.create_task(self._renew())
            self._fetch.add_done_callback(self._fetched)
        try:
            # A caller that leaves does not end the fetch, which others may wait for.
            async with asyncio.timeout(call.remaining_s):
                await asyncio.shield(self._fetch)
        except TimeoutError:
            raise DeadlineExceeded() from None
        return self._token

    def forget(self) -> None:
        """Drops the token that the upstream refused: the next call gets another one."""
        self._renew_at = 0.0

    def public(self, text: str) -> str:
        """Upstream's text without the token."""
        return masked(text, self._token)

    async def close(self) -> None:
        """Ends a fetch that is still running."""
        if self._fetch is not None:
            self._fetch.cancel()
            with suppress(asyncio.CancelledError, SpineError):
                await self._fetch

    def _fetched(self, fetch: asyncio.Task[None]) -> None:
        """Frees the place of a fetch that ended, whether anyone still waits for it or not."""
        self._fetch = None
        if not fetch.cancelled():
            fetch.exception()  # seen here as well: everyone who waited for it may be gone

    async def _renew(self) -> None:
        """Fetches a token, and sets when to fetch the next one."""
        command = self.endpoint.further.get("token_command")
        granted = await (self._from_command(command) if command else self._from_login())
        life_s = granted.life_s()
        self._token = granted.token
        self._renew_at = monotonic() + life_s - min(RENEW_BEFORE_S, life_s / 2)

    async def _from_login(self) -> "TokenResponse":
        """Token from Entra's token endpoint, by client credentials."""
        further = self.endpoint.further
        url = further.get("token_url", TOKEN_URL).replace("{tenant}", further["tenant_id"])
        form = {
            "grant_type": "client_credentials",
            "client_id": further["client_id"],
            "client_secret": further["client_secret"],
            "scope": SCOPE,
        }
        # The secret stands where a key does, so that the wire hides it when it is repeated in an error.
        http = HttpClient(replace(self.endpoint, base_url=url, api_key=further["client_secret"], headers={}))
        headers = {"content-type": "application/x-www-form-urlencoded"}
        try:
            reply = await http.post("", urlencode(form).encode(), Call(), headers)
        except SpineError as error:
            raise self._failed("entra_unreachable", f"no token: {error}") from error
        finally:
            await http.close()
        response = _decoded(reply.body)
        if reply.status != HTTPStatus.OK or not response.token:
            problem = response.error_description or response.error or f"HTTP {reply.status} without a token"
            raise self._failed(response.error or str(reply.status), f"Entra: {http.public(problem)}")
        return response

    async def _from_command(self, command: str) -> "TokenResponse":
        """Token from the operator's command, as `az` prints it or bare, within COMMAND_TIMEOUT_S."""
        try:
            program, *arguments = shlex.split(command)
            process = await asyncio.create_subprocess_exec(
                *(program, *arguments),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                env={**os.environ, **self.endpoint.egress.variables},
            )
        except (OSError, ValueError) as error:  # not there; empty, or quotes that do not close
            raise self._failed("token_command", f"the token command did not start: {error}") from error
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                out, problem = await process.communicate()
        except TimeoutError:
            raise self._failed(
                "token_command", f"no token in {COMMAND_TIMEOUT_S:g} s from the command"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            output = problem.decode("utf-8", "replace").strip()[-300:] or "nothing"
            problem_line = f"the token command ended with {process.returncode} and said: {output}"
            raise self._failed("token_command", problem_line)
        granted = _decoded(out)
        bare = out.decode("utf-8", "replace").strip()
        if not granted.token and bare and not bare.startswith("{"):
            granted = TokenResponse(access_token=bare)
        if not granted.token or not granted.token.isascii() or len(granted.token.split()) != 1:
            raise self._failed("token_command", "the token command printed no token")
        return granted

    def _failed(self, code: str, message: str) -> ProviderAuthentication:
        return ProviderAuthentication(
            provider=self.endpoint.name, provider_code=code, provider_message=message
        )


class TokenResponse(Struct):
    """Token, or a refusal: Entra's answer, or what `az account get-access-token` prints."""

    access_token: str = ""
    expires_in: float | None = None  # seconds
    error: str | None = None
    error_description: str | None = None
    az_token: str = msgspec.field(name="accessToken", default="")
    expires_on: float | None = None  # unix time, UTC; az from 2.54
    az_expires_on: str | None = msgspec.field(name="expiresOn", default=None)  # az's local time

    @property
    def token(self) -> str:
        """Token, by either name; "" where there is none."""
        return self.access_token or self.az_token

    def life_s(self) -> float:
        """Seconds until the token ends: as stated, else by its own claim, else DEFAULT_LIFETIME_S."""
        if self.expires_in is not None:
            return max(0.0, self.expires_in)
        end = self.expires_on
        with suppress(ValueError):
            if end is None and self.az_expires_on:
                end = datetime.fromisoformat(self.az_expires_on).timestamp()
        if end is None:
            end = _claimed_end(self.token)
        return DEFAULT_LIFETIME_S if end is None else max(0.0, end - time())


class _Claims(Struct):
    """Claims of a JWT that are read."""

    exp: float | None = None


def _decoded(body: bytes) -> TokenResponse:
    try:
        return msgspec.json.decode(body, type=TokenResponse, strict=False)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return TokenResponse()


def _claimed_end(token: str) -> float | None:
    """Unix time at which a JWT says that it ends; it is not verified, which is the upstream's to do."""
    segments = token.split(".")
    if len(segments) != 3:
        return None
    try:
        claims = urlsafe_b64decode(segments[1] + "=" * (-len(segments[1]) % 4))
        return msgspec.json.decode(claims, type=_Claims).exp
    except (ValueError, msgspec.DecodeError):
        return None

"""Tokens of Entra: where they come from, how long they are kept, and what goes wrong."""

import asyncio
import json
import sys
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.errors import DeadlineExceeded, ProviderAuthentication
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.http.egress import Egress
from genai_spine.providers.openai import azure
from genai_spine.providers.openai.azure import Entra, TokenResponse
from tests.upstreams.azure import AzureUpstream
from tests.upstreams.reply import Reply

TIMEOUTS = Timeouts(connect_s=1, first_token_s=1)


@pytest.fixture
async def up() -> AsyncIterator[AzureUpstream]:
    async with AzureUpstream() as upstream:
        yield upstream


def source(**further: str) -> Entra:
    found = Entra.of(Endpoint("azure", "http://localhost:1", timeouts=TIMEOUTS, further=further))
    assert found is not None
    return found


def login(up: AzureUpstream, url: str | None = None) -> Entra:
    given = {"tenant_id": "t", "client_id": "c", "client_secret": "hush"}
    return source(**given, token_url=url or up.token_url)


def command(tmp_path: Path, program: str) -> Entra:
    """program: what a Python of its own runs."""
    script = tmp_path / "a token.py"
    script.write_text(program)
    return source(token_command=f"{sys.executable} '{script}'")


def jwt(**claims: Any) -> str:
    return f"eyJ.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.sig"


async def test_command_is_told_of_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://other:1")
    script = tmp_path / "proxies.py"
    names = ["HTTPS_PROXY", "https_proxy", "NO_PROXY"]
    script.write_text(f"import os; print('|'.join(os.environ[name] for name in {names}))")
    egress = Egress(https_proxy="http://own:3", no_proxy="a.test")
    found = Entra.of(
        Endpoint("azure", "http://x", further={"token_command": f"{sys.executable} {script}"}, egress=egress)
    )
    assert found is not None
    assert await found.token(Call()) == "http://own:3|http://own:3|a.test"


class TestEntraSources:
    def test_token_source_needs_all_of_its_settings(self) -> None:
        for further in ({}, {"tenant_id": "t", "client_id": "c"}, {"token_url": "u"}):
            assert Entra.of(Endpoint("azure", "u", further=further)) is None
        assert Entra.of(Endpoint("azure", "u", "key", further={"token_command": "x"})) is None

    async def test_many_calls_share_one_fetch(self, up: AzureUpstream) -> None:
        tokens = login(up)
        found = await asyncio.gather(*(tokens.token(Call()) for _ in range(50)))
        assert set(found) == set(up.tokens)
        assert len(up.bill) == 1

    @pytest.mark.parametrize(("expires_in_s", "fetches"), [(3599, 1), (0, 2)])
    async def test_token_is_kept_until_shortly_before_its_end(
        self, up: AzureUpstream, expires_in_s: float, fetches: int
    ) -> None:
        up.expires_in_s = expires_in_s
        tokens = login(up)
        await tokens.token(Call())
        await tokens.token(Call())
        assert len(up.bill) == fetches

    async def test_caller_that_leaves_does_not_end_the_fetch_of_the_others(self, up: AzureUpstream) -> None:
        up.script(Reply(headers_delay_s=0.1), on="/t/oauth2/v2.0/token")
        tokens = login(up)
        leaver, other = (asyncio.create_task(tokens.token(Call())) for _ in range(2))
        await up.bill.until(lambda bill: len(bill) == 1)
        leaver.cancel()
        assert await other == up.tokens[0]
        assert leaver.cancelled()

    async def test_caller_waits_no_longer_than_its_deadline(self, up: AzureUpstream) -> None:
        up.script(Reply(fault="stall"), on="/t/oauth2/v2.0/token")
        tokens = login(up)
        with pytest.raises(DeadlineExceeded):
            await tokens.token(Call(deadline=monotonic() + 0.05))
        await tokens.close()
        await up.bill.until(lambda bill: bill[0].disconnected)

    @pytest.mark.parametrize(
        "printed",
        [
            "tok-1\n",
            json.dumps(
                {"accessToken": "tok-1", "expiresOn": "2099-10-31 21:59:10.000000", "tokenType": "Bearer"}
            ),
            json.dumps({"accessToken": "tok-1", "expires_on": 4096000000, "expiresOn": "x"}),
            json.dumps({"access_token": "tok-1", "expires_in": "3599"}),
        ],
    )
    async def test_command_prints_a_token_or_azs_json(self, tmp_path: Path, printed: str) -> None:
        tokens = command(tmp_path, f"print({printed!r})")
        assert await tokens.token(Call()) == "tok-1"

    async def test_command_runs_once_while_its_token_lives(self, tmp_path: Path) -> None:
        tokens = command(tmp_path, "import os; print(os.getpid())")
        assert await tokens.token(Call()) == await tokens.token(Call())
        tokens.forget()
        assert await tokens.token(Call()) != ""


class TestEntraLifetimes:
    @pytest.mark.parametrize(
        ("granted_at", "life_s"),
        [
            (lambda now: TokenResponse("t", expires_in=3599), 3599),
            (lambda now: TokenResponse("t", expires_in=-5), 0),
            (lambda now: TokenResponse(az_token="t", expires_on=now + 100_000), 100_000),
            (lambda now: TokenResponse(jwt(exp=now + 100_000)), 100_000),
            (lambda now: TokenResponse(jwt(exp=now - 100_000)), 0),
            (lambda now: TokenResponse(jwt()), azure.DEFAULT_LIFETIME_S),
            (lambda now: TokenResponse("a.b.c"), azure.DEFAULT_LIFETIME_S),
            (lambda now: TokenResponse("opaque"), azure.DEFAULT_LIFETIME_S),
        ],
    )
    def test_tokens_life_is_what_is_known_of_it(
        self, granted_at: Callable[[float], TokenResponse], life_s: float
    ) -> None:
        assert granted_at(time()).life_s() == pytest.approx(life_s, abs=600)


class TestEntraFailures:
    @pytest.mark.parametrize(
        ("program", "problem"),
        [
            (
                "import sys; print('Please run az login', file=sys.stderr); sys.exit(3)",
                "with 3 .*run az login",
            ),
            ("", "printed no token"),
            ("print('two words')", "printed no token"),
            ("print('{}')", "printed no token"),
            ("print('{\"accessToken\":')", "printed no token"),
        ],
    )
    async def test_command_that_gives_none_says_why(self, tmp_path: Path, program: str, problem: str) -> None:
        with pytest.raises(ProviderAuthentication, match=problem) as failure:
            await command(tmp_path, program).token(Call())
        assert failure.value.metadata["provider_code"] == "token_command"

    @pytest.mark.parametrize("line", ["no-such-program-of-ours x", "echo 'unclosed", " "])
    async def test_command_that_does_not_start(self, line: str) -> None:
        with pytest.raises(ProviderAuthentication, match="did not start"):
            await source(token_command=line).token(Call())

    async def test_command_that_hangs_is_killed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(azure, "COMMAND_TIMEOUT_S", 0.3)
        with pytest.raises(ProviderAuthentication, match=r"no token in 0.3 s"):
            await command(tmp_path, "import time; time.sleep(60)").token(Call())

    @pytest.mark.parametrize(
        ("reply", "code"),
        [
            (Reply(status=503, body="<html>"), "503"),
            (Reply(body="<html>"), "200"),
            (Reply(body={"token_type": "Bearer"}), "200"),
            (Reply(fault="reset"), "entra_unreachable"),
            (Reply(status=400, body={"error": "unauthorized_client"}), "unauthorized_client"),
        ],
    )
    async def test_login_that_gives_none_says_why(self, up: AzureUpstream, reply: Reply, code: str) -> None:
        up.script(reply, on="/t/oauth2/v2.0/token")
        tokens = login(up)
        outcomes = await asyncio.gather(*(tokens.token(Call()) for _ in range(3)), return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, ProviderAuthentication)
            assert outcome.metadata["provider_code"] == code
        assert len(up.bill) == 1
        assert await tokens.token(Call()) == up.tokens[-1]

    def test_endpoint_does_not_show_its_secrets(self) -> None:
        assert "hush" not in repr(Endpoint("azure", "u", "hush", further={"client_secret": "hush"}))

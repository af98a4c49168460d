"""Signing and event streams: where credentials come from, and what becomes of bytes that are wrong."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EndpointConnectionError
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.bedrock import aws
from tests.upstreams import aws_wire

REQUEST = ("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b%3A0/converse")


def signer(connect_s: float = 5.0) -> aws.Signer:
    endpoint = Endpoint("bedrock", "https://x", timeouts=Timeouts(connect_s=connect_s))
    return aws.Signer(endpoint, "bedrock", "us-east-1")


async def key_of(found: aws.Signer, call: Call | None = None) -> str:
    """The access key that signs."""
    headers = await found.headers(REQUEST, b"{}", call or Call())
    return headers["authorization"].partition("Credential=")[2].partition("/")[0]


class TestAwsEventStream:
    def test_specifications_own_message_is_read_and_written(self) -> None:
        """Vectors of the reference implementations: github.com/awslabs/aws-c-event-stream."""
        empty = bytes.fromhex("000000100000000005c248eb7d98c8ff")
        payload = bytes.fromhex("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936")
        assert aws_wire.frame({}, b"") == empty
        assert aws_wire.frame({}, b"{'foo':'bar'}") == payload

    def test_event_is_named_and_keeps_its_bytes(self) -> None:
        payload = b'{"z":1.0,"a":12345678901234567890}'
        assert aws.EventStream().feed(aws_wire.event("metadata", payload)) == [
            b'{"metadata":{"z":1.0,"a":12345678901234567890}}'
        ]
        assert aws.EventStream().feed(aws_wire.event("ping", b"")) == [b'{"ping":{}}']

    def test_exception_and_an_error_have_name_and_message(self) -> None:
        error = {":message-type": "error", ":error-code": "Gone", ":error-message": "no more"}
        bare = {":message-type": "exception", ":exception-type": "throttlingException"}
        frames = [
            aws_wire.exception("throttlingException", {"message": "slow"}),
            aws_wire.frame(error, b""),
            aws_wire.frame(bare, b"not JSON"),
        ]
        found = [json.loads(payload)["exception"] for payload in aws.EventStream().feed(b"".join(frames))]
        assert found == [
            {"name": "throttlingException", "message": "slow"},
            {"name": "Gone", "message": "no more"},
            {"name": "throttlingException", "message": "not JSON"},
        ]

    def test_events_before_broken_bytes_are_kept(self) -> None:
        good = aws_wire.event("messageStart", {"role": "assistant"})
        first, broken = aws.EventStream().feed(good + b"<html>no event</html>")
        assert first == b'{"messageStart":{"role":"assistant"}}'
        assert "checksum" in json.loads(broken)["broken"]

    @given(
        st.lists(st.tuples(st.sampled_from(["messageStart", "ping", "x" * 200]), st.binary(max_size=300))),
        st.lists(st.integers(1, 40)),
    )
    def test_event_stream_finds_what_botocore_finds_however_the_bytes_are_cut(
        self, events: list[tuple[str, bytes]], sizes: list[int]
    ) -> None:
        stream = b"".join(aws_wire.event(kind, payload) for kind, payload in events)
        theirs = EventStreamBuffer()
        theirs.add_data(stream)
        expected = [
            b'{"%b":%b}' % (message.headers[":event-type"].encode(), message.payload or b"{}")
            for message in theirs
        ]
        decoder, found, at = aws.EventStream(), [], 0
        for size in [*sizes, len(stream)]:
            found += decoder.feed(stream[at : at + size])
            at += size
        assert found == expected
        assert len(found) == len(events)

    @pytest.mark.parametrize(
        "length", [bytes.fromhex("00000000"), bytes.fromhex("0000000f"), bytes.fromhex("7fffffff")]
    )
    def test_length_that_cannot_be_is_broken_and_never_waited_for(self, length: bytes) -> None:
        prelude = length + bytes(4)
        crc = aws_wire.crc32(prelude).to_bytes(4, "big")
        [payload] = aws.EventStream().feed(prelude + crc)
        assert "broken" in json.loads(payload)

    @pytest.mark.parametrize("head", [b"\x03:ab\x63", b"\x05:ab", b"\x01\xff\x07\x00\x01a", b"\x01a\x07\x00"])
    def test_headers_that_cannot_be_read_are_broken(self, head: bytes) -> None:
        prelude = (16 + len(head)).to_bytes(4, "big") + len(head).to_bytes(4, "big")
        message = prelude + aws_wire.crc32(prelude).to_bytes(4, "big") + head
        [payload] = aws.EventStream().feed(message + aws_wire.crc32(message).to_bytes(4, "big"))
        assert "broken" in json.loads(payload) or "exception" in json.loads(payload)


class TestAwsErrors:
    @pytest.mark.parametrize(
        ("headers", "body", "name", "message"),
        [
            ({"x-amzn-errortype": "A:http://x/"}, b'{"message":"m"}', "A", "m"),
            ({}, b'{"__type":"com.amazon.coral.service#B","Message":"m"}', "B", "m"),
            ({"x-amzn-errortype": "A"}, b"<html>", "A", ""),
            ({}, b"[" * 5000, "", ""),
            ({}, b"", "", ""),
        ],
    )
    def test_name_comes_from_the_header_or_the_body(
        self, headers: dict[str, str], body: bytes, name: str, message: str
    ) -> None:
        assert aws.fault(headers, body) == (name, message)


class TestAwsSignatures:
    @pytest.mark.usefixtures("no_aws_credentials")
    @pytest.mark.parametrize("token", [None, "session/token=="])
    @pytest.mark.parametrize("body", [b"", b'{"messages": "\xc3\xa9"}'])
    @pytest.mark.parametrize(
        "url",
        [
            REQUEST[1],
            "http://127.0.0.1:8080/model/arn%3Aaws%3Abedrock%3A%3A1%3Ainference-profile%2Fx%20y/invoke",
            "https://bedrock.us-east-1.amazonaws.com/inference-profiles?maxResults=9&max-a=%2B&nextToken=a%3D",
            "https://host",
        ],
    )
    async def test_signatures_are_botocores(
        self, monkeypatch: Any, url: str, body: bytes, token: str | None
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret/key+")
        if token:
            monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        ours = await signer().headers(("POST", url), body, Call())
        stamp = datetime.strptime(ours["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60
        monkeypatch.setattr(auth, "get_current_datetime", lambda: stamp)
        asked = AWSRequest("POST", url, headers={"content-type": "application/json"}, data=body)
        auth.SigV4Auth(Credentials("AKID", "secret/key+", token), "bedrock", "us-east-1").add_auth(asked)
        assert ours == {name.lower(): value for name, value in asked.headers.items()}

    @pytest.mark.usefixtures("aws_credentials")
    async def test_new_day_has_a_key_of_its_own(self, monkeypatch: Any) -> None:
        found, signed = signer(), []
        for day in (28, 29, 28):
            monkeypatch.setattr(aws, "time", datetime(2026, 11, day, 12, tzinfo=UTC).timestamp)
            signed.append(await found.headers(REQUEST, b"{}", Call()))
        assert [headers["x-amz-date"][:8] for headers in signed] == ["20261128", "20261129", "20261128"]
        assert "/20261129/us-east-1/bedrock" in signed[1]["authorization"]
        assert signed[0] == signed[2]
        signatures = [headers["authorization"].rpartition("=")[2] for headers in signed]
        assert signatures[0] != signatures[1]


class TestAwsCredentials:
    @pytest.mark.usefixtures("aws_credentials")
    async def test_credentials_come_from_the_environment_with_their_token(self) -> None:
        headers = await signer().headers(REQUEST, b"{}", Call())
        assert aws_wire.ACCESS_KEY in headers["authorization"]
        assert headers["x-amz-security-token"] == aws_wire.SESSION_TOKEN
        assert "host" not in headers, "the connection sends its own"

    @pytest.mark.usefixtures("no_aws_credentials")
    async def test_credentials_come_from_a_profile(self, monkeypatch: Any, tmp_path: Path) -> None:
        (tmp_path / "credentials").write_text(
            "[work]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s\n"
        )
        monkeypatch.setenv("AWS_PROFILE", "work")
        assert await key_of(signer()) == "AKIDPROFILE"
        monkeypatch.setenv("AWS_PROFILE", "missing")
        with pytest.raises(errors.ProviderAuthentication, match="missing"):
            await key_of(signer())

    @pytest.mark.usefixtures("no_aws_credentials")
    async def test_credentials_that_are_missing_are_an_error_and_may_come_later(
        self, monkeypatch: Any
    ) -> None:
        found = signer()
        with pytest.raises(errors.ProviderAuthentication, match="no AWS credentials") as failure:
            await key_of(found)
        assert failure.value.metadata["provider_code"] == "credentials"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLATE")
        with pytest.raises(errors.ProviderAuthentication, match="AWS_SECRET_ACCESS_KEY"):
            await key_of(found)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        assert await key_of(found) == "AKIDLATE"

    async def test_who_gives_them_may_not_answer(self, monkeypatch: Any) -> None:
        def unreachable(session: Session) -> None:
            raise EndpointConnectionError(endpoint_url="https://sts.amazonaws.com")

        monkeypatch.setattr(Session, "get_credentials", unreachable)
        with pytest.raises(errors.ProviderUnavailable, match="sts"):
            await key_of(signer())

    async def test_files_that_cannot_be_read_are_the_operators_to_mend(self, monkeypatch: Any) -> None:
        def forbidden(session: Session) -> None:
            raise PermissionError(13, "Permission denied", "/root/.aws/credentials")

        monkeypatch.setattr(Session, "get_credentials", forbidden)
        with pytest.raises(errors.ProviderAuthentication, match="Permission denied"):
            await key_of(signer())

    @pytest.mark.usefixtures("aws_credentials")
    async def test_forgotten_ones_are_looked_up_again(self, monkeypatch: Any) -> None:
        found = signer()
        assert await key_of(found) == aws_wire.ACCESS_KEY
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDROTATED")
        assert await key_of(found) == aws_wire.ACCESS_KEY
        found.forget()
        assert await key_of(found) == "AKIDROTATED"

    async def test_credentials_are_refreshed_before_they_expire(self, monkeypatch: Any) -> None:
        ends = iter(["2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
        fetched: list[int] = []

        def fetch() -> dict[str, str]:
            fetched.append(threading.get_ident())
            key = f"AKID{len(fetched)}"
            return {"access_key": key, "secret_key": "s", "token": "t", "expiry_time": next(ends)}

        made = RefreshableCredentials.create_from_metadata(fetch(), fetch, "test")
        monkeypatch.setattr(Session, "get_credentials", lambda session: made)
        found = signer()
        assert [await key_of(found), await key_of(found)] == ["AKID2", "AKID2"]
        assert len(fetched) == 2
        assert fetched[1] != threading.get_ident(), "the event loop fetches nothing"


class TestAwsCredentialLoading:
    """A source of credentials that takes its time."""

    @pytest.fixture
    async def gate(self, monkeypatch: Any) -> AsyncIterator[Any]:
        opened, asked, begun = threading.Event(), [], asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(session: Session) -> Credentials:
            asked.append(threading.get_ident())
            loop.call_soon_threadsafe(begun.set)
            assert opened.wait(10)
            return Credentials("AKIDSLOW", "s")

        monkeypatch.setattr(Session, "get_credentials", slow)
        yield opened, asked, begun
        opened.set()

    async def test_loop_goes_on_and_all_wait_for_one_load(self, gate: Any) -> None:
        opened, asked, begun = gate
        found = signer()
        waiting = [asyncio.create_task(key_of(found)) for _ in range(20)]
        await begun.wait()
        waiting[0].cancel()
        assert not any(task.done() for task in waiting)
        opened.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == ["AKIDSLOW"] * 19
        assert len(asked) == 1
        assert asked[0] != threading.get_ident()

    async def test_loading_is_waited_for_no_longer_than_a_connection(self, gate: Any) -> None:
        with pytest.raises(errors.ProviderTimeout) as failure:
            await key_of(signer(connect_s=0.05))
        assert failure.value.metadata["phase"] == "finding credentials"

    async def test_callers_deadline_counts(self, gate: Any) -> None:
        with pytest.raises(errors.DeadlineExceeded):
            await key_of(signer(), Call(deadline=monotonic() + 0.05))

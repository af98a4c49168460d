"""Calls with an idempotency key: made once, and told to everybody who asks with the same key."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from random import Random
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
from google.api.httpbody_pb2 import HttpBody

from genai_spine.v1 import completion_service_pb2 as pb
from tests.idempotent_rows import aged, call_rows, violations
from tests.service.running import Running, Upstreams, asked, failure, failure_of, running, text_of
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORDS = [" you"] * 60
PACED = Reply(WORDS, interval_s=0.01)
SLOW = Reply(["late"], first_delay_s=0.3)
numbers = count(1)


def new_key() -> str:
    return f"key-{next(numbers)}"


def headed(key: str | None = None, **headers: str) -> tuple[tuple[str, str], ...]:
    given = {"idempotency-key": key} if key else {}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return tuple(given.items())


class Answer:
    """A whole answer, with its metadata."""

    def __init__(self, message: Any, initial: Any, trailing: Any) -> None:
        self.message = message
        self.headers = dict(initial or ()) | dict(trailing or ())

    @property
    def is_replay(self) -> bool:
        return self.headers.get("x-genai-replay") == "true"


async def complete(service: Running, request: Any, *metadata: tuple[str, str]) -> Answer:
    call = service.completions.CreateCompletion(request, metadata=metadata)
    message = await call
    return Answer(message, await call.initial_metadata(), await call.trailing_metadata())


async def stream(service: Running, request: Any, *metadata: tuple[str, str]) -> Answer:
    call = service.completions.StreamCompletion(request, metadata=metadata)
    chunks = [chunk async for chunk in call]
    return Answer(chunks, await call.initial_metadata(), await call.trailing_metadata())


async def broken_stream(service: Running, key: str) -> tuple[list[pb.CompletionChunk], grpc.aio.AioRpcError]:
    """Chunks of a stream that ends with an error."""
    chunks = []
    try:
        async for chunk in service.completions.StreamCompletion(asked(), metadata=headed(key)):
            chunks.append(chunk)
    except grpc.aio.AioRpcError as error:
        return chunks, error
    raise AssertionError("the stream did not break")


def bytes_of(chunks: list[pb.CompletionChunk]) -> list[bytes]:
    return [chunk.SerializeToString(deterministic=True) for chunk in chunks]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other_server(on_each: Running, all_upstreams: Upstreams) -> AsyncIterator[Running]:
    """A second server with the same database."""
    async with running(all_upstreams, on_each.database_url) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def other(booked: Running, other_server: Running) -> AsyncIterator[Running]:
    yield other_server
    assert await violations(booked.database) == {}


class TestUnary:
    async def test_repeat_gets_the_same_bytes_and_is_not_paid(self, booked: Running) -> None:
        key = new_key()
        first = await complete(booked, asked(), *headed(key, x_request_id="first-of-" + key))
        again = await complete(booked, asked(), *headed(key, x_request_id="again-of-" + key))
        assert again.message.SerializeToString() == first.message.SerializeToString()
        assert (first.is_replay, again.is_replay) == (False, True)
        assert again.headers["x-request-id"] == "first-of-" + key
        assert again.headers["x-genai-replay-id"] == "again-of-" + key
        assert len(booked.openai.bill.calls) == 1
        assert not await booked.executions.by_request("again-of-" + key)
        assert await violations(booked.database) == {}

    async def test_tenants_have_keys_of_their_own(self, booked: Running) -> None:
        key = new_key()
        answers = [
            await complete(booked, asked(), *headed(key, x_tenant_id=tenant))
            for tenant in ("one", "other", "one")
        ]
        assert [answer.is_replay for answer in answers] == [False, False, True]
        assert answers[0].message.id != answers[1].message.id
        assert len(booked.openai.bill.calls) == 2

    async def test_key_in_the_request_is_the_key_in_the_header(self, booked: Running) -> None:
        key = new_key()
        first = await complete(booked, asked(idempotency_key=key))
        again = await complete(booked, asked(), *headed(key))
        assert again.message == first.message
        assert len(booked.openai.bill.calls) == 1

    async def test_repeats_at_the_same_time_share_one_call(self, booked: Running, other: Running) -> None:
        booked.openai.script(SLOW)
        key, request = new_key(), asked()
        answers = await asyncio.gather(
            *(complete(server, request, *headed(key)) for server in (booked, other) * 10)
        )
        assert len({answer.message.SerializeToString() for answer in answers}) == 1
        assert sum(not answer.is_replay for answer in answers) == 1
        assert len(booked.openai.bill.calls) == 1

    async def test_races_for_many_keys_have_one_winner_each(self, booked: Running, other: Running) -> None:
        keys = [new_key() for _ in range(100)]
        answers = await asyncio.gather(
            *(complete(server, asked(key), *headed(key)) for key in keys for server in (booked, other) * 2)
        )
        by_key = [answers[at : at + 4] for at in range(0, len(answers), 4)]
        assert all(len({answer.message.id for answer in same}) == 1 for same in by_key)
        assert len(booked.openai.bill.calls) == len(keys)

    async def test_caller_that_left_finds_the_answer(self, booked: Running) -> None:
        booked.openai.script(SLOW)
        key = new_key()
        leaving = booked.completions.CreateCompletion(asked(), metadata=headed(key))
        await booked.openai.bill.until(lambda bill: len(bill) == 1)
        leaving.cancel()
        answer = await complete(booked, asked(), *headed(key))
        assert answer.is_replay
        assert len(booked.openai.bill.calls) == 1

    async def test_deadline_ends_the_wait_only(self, booked: Running) -> None:
        booked.openai.script(SLOW)
        key = new_key()
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await booked.completions.CreateCompletion(asked(), metadata=headed(key), timeout=0.1)
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await complete(booked, asked(), *headed(key))
        assert len(booked.openai.bill.calls) == 1

    async def test_other_request_with_the_key_is_refused(self, booked: Running) -> None:
        key = new_key()
        await complete(booked, asked(), *headed(key))
        for call in (
            booked.completions.CreateCompletion(asked("Other"), metadata=headed(key)),
            booked.completions.StreamCompletion(asked(), metadata=headed(key)),
        ):
            refused = await failure(call)
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.ALREADY_EXISTS,
                "IDEMPOTENCY_KEY_REUSED",
            )
        assert len(booked.openai.bill.calls) == 1

    async def test_error_that_cost_nothing_is_not_kept(self, booked: Running) -> None:
        booked.openai.script(Reply(status=503), Reply(status=429))
        key = new_key()
        assert (await failure(booked.completions.CreateCompletion(asked(), metadata=headed(key)))).reason == (
            "PROVIDER_UNAVAILABLE"
        )
        assert (await failure(booked.completions.CreateCompletion(asked(), metadata=headed(key)))).reason == (
            "PROVIDER_RATE_LIMITED"
        )
        assert not (await complete(booked, asked(), *headed(key))).is_replay
        assert len(booked.openai.bill.calls) == 3

    async def test_error_that_a_repeat_cannot_help_is_told_again(self, booked: Running) -> None:
        booked.openai.script(Reply(status=400, body={"error": {"message": "no", "code": "bad"}}))
        key = new_key()
        first, again = [
            await failure(booked.completions.CreateCompletion(asked(), metadata=headed(key)))
            for _ in range(2)
        ]
        assert again == first
        assert first.reason == "PROVIDER_REJECTED"
        assert len(booked.openai.bill.calls) == 1

    async def test_error_before_the_provider_is_not_kept(self, booked: Running) -> None:
        key = new_key()
        wrong = booked.completions.CreateCompletion(asked(provider="nobody"), metadata=headed(key))
        assert (await failure(wrong)).reason == "INVALID_REQUEST"
        await complete(booked, asked(), *headed(key))

    async def test_stored_completion_has_the_body_once(self, booked: Running) -> None:
        key = new_key()
        request = asked(disconnect_policy=pb.DISCONNECT_POLICY_CONTINUE)
        first = await complete(booked, request, *headed(key))
        [row] = [row for row in await call_rows(booked.database) if row["key"] == key]
        assert (row["body"], row["completion_id"]) == (None, first.message.id)
        again = await complete(booked, request, *headed(key))
        assert again.message.SerializeToString() == first.message.SerializeToString()
        assert await violations(booked.database) == {}

    @pytest.mark.parametrize("key", ["", "x" * 10_000, "a\0b"])
    async def test_key_that_is_none_is_refused(self, service: Running, key: str) -> None:
        refused = await failure(service.completions.CreateCompletion(asked(idempotency_key=key)))
        assert refused.fields == ["idempotency_key"]
        assert not service.openai.bill.calls

    async def test_long_header_is_refused(self, service: Running) -> None:
        refused = await failure(service.completions.CreateCompletion(asked(), metadata=headed("x" * 2000)))
        assert refused.fields == ["idempotency_key"]

    async def test_key_may_be_any_text(self, booked: Running) -> None:
        key = "Schlüssel 鍵 🔑 '; DROP TABLE idempotent_calls; --" + new_key()
        for _ in range(2):
            await complete(booked, asked(idempotency_key=key))
        assert len(booked.openai.bill.calls) == 1

    async def test_two_keys_in_one_call_are_refused(self, service: Running) -> None:
        call = service.completions.CreateCompletion(asked(idempotency_key="a"), metadata=headed("b"))
        assert (await failure(call)).fields == ["idempotency_key"]


class TestStreams:
    async def test_repeat_gets_the_same_chunks(self, booked: Running, other: Running) -> None:
        booked.openai.script(PACED)
        key = new_key()
        first = await stream(booked, asked(), *headed(key))
        assert [chunk.sequence for chunk in first.message] == list(range(len(first.message)))
        for server in (booked, other):
            again = await stream(server, asked(), *headed(key))
            assert bytes_of(again.message) == bytes_of(first.message)
            assert again.is_replay
        assert len(booked.openai.bill.calls) == 1

    async def test_listeners_of_all_servers_hear_a_running_stream(
        self, booked: Running, other: Running
    ) -> None:
        booked.openai.script(PACED)
        key = new_key()

        async def late(server: Running, delay_s: float) -> Answer:
            await asyncio.sleep(delay_s)
            return await stream(server, asked(), *headed(key))

        answers = await asyncio.gather(
            *(late(server, delay / 10) for delay in range(7) for server in (booked, other))
        )
        assert len({tuple(bytes_of(answer.message)) for answer in answers}) == 1
        assert text_of(answers[0].message) == "".join(WORDS)
        assert len(booked.openai.bill.calls) == 1

    async def test_stream_is_cut_again_and_again_and_resumed_anywhere(
        self, booked: Running, other: Running
    ) -> None:
        booked.openai.default = Reply(WORDS, interval_s=0.005)
        random, cuts = Random(5), 0

        async def one(every: int) -> None:
            nonlocal cuts
            key = new_key()
            received: list[pb.CompletionChunk] = []
            while not (received and received[-1].HasField("cost")):
                headers = {"x_genai_resume_after": str(received[-1].sequence)} if received else {}
                server = random.choice((booked, other))
                cut = server.completions.StreamCompletion(asked(), metadata=headed(key, **headers))
                for _ in range(every):
                    if (chunk := await cut.read()) is grpc.aio.EOF:
                        break
                    received.append(chunk)
                cut.cancel()
                cuts += 1
            whole = await stream(booked, asked(), *headed(key))
            assert bytes_of(received) == bytes_of(whole.message)
            assert text_of(received) == "".join(WORDS)

        await asyncio.gather(*(one(every) for every in (1, 1, 1, 1, 2, 3, 5, 8)))
        assert cuts > 300
        assert len(booked.openai.bill.calls) == 8
        assert all(entry.finished for entry in booked.openai.bill.calls)

    async def test_resume_from_the_request(self, booked: Running) -> None:
        key = new_key()
        whole = await stream(booked, asked(idempotency_key=key))
        rest = await stream(booked, asked(idempotency_key=key, resume_after=0))
        assert bytes_of(rest.message) == bytes_of(whole.message[1:])
        last = whole.message[-1].sequence
        assert (await stream(booked, asked(idempotency_key=key, resume_after=last))).message == []

    @pytest.mark.parametrize("after", ["-1", "x", "", "1.5", "4294967296", "99999999999999999999"])
    async def test_place_that_is_none_is_refused(self, service: Running, after: str) -> None:
        call = service.completions.StreamCompletion(
            asked(), metadata=headed("a key", x_genai_resume_after=after)
        )
        assert (await failure(call)).fields == ["x-genai-resume-after"]

    async def test_place_behind_the_end_is_refused(self, booked: Running) -> None:
        key = new_key()
        await stream(booked, asked(), *headed(key))
        for after in (1000, 2**32 - 1):
            call = booked.completions.StreamCompletion(asked(idempotency_key=key, resume_after=after))
            assert (await failure(call)).fields == ["resume_after"]

    async def test_stream_that_nobody_knows_is_not_begun_in_the_middle(self, booked: Running) -> None:
        call = booked.completions.StreamCompletion(asked(idempotency_key=new_key(), resume_after=3))
        assert (await failure(call)).reason == "STREAM_LOST"
        assert not booked.openai.bill.calls

    async def test_resuming_without_a_key_is_refused(self, service: Running) -> None:
        call = service.completions.StreamCompletion(asked(resume_after=3))
        assert (await failure(call)).fields == ["resume_after"]
        call = service.completions.StreamCompletion(asked(), metadata=headed(x_genai_resume_after="3"))
        assert (await failure(call)).fields == ["resume_after"]

    async def test_stream_that_broke_is_told_with_its_error(self, booked: Running, other: Running) -> None:
        booked.openai.script(Reply(WORDS, fault="truncate", after=5))
        key, told = new_key(), []
        for server in (booked, other, booked):
            chunks, error = await broken_stream(server, key)
            told.append((bytes_of(chunks), error.code(), error.details()))
        assert told[0] == told[1] == told[2]
        assert told[0][0]
        assert len(booked.openai.bill.calls) == 1

    async def test_stream_without_a_listener_ends_after_its_time(
        self, all_upstreams: Upstreams, upstreams: Upstreams, sqlite_url: str
    ) -> None:
        async with running(all_upstreams, sqlite_url, keyed_grace_s=0.2) as server:
            upstreams.openai.script(Reply([" you"] * 5000, interval_s=0.01))
            call = server.completions.StreamCompletion(asked(), metadata=headed("left"))
            received = [await call.read() for _ in range(3)]
            call.cancel()
            await upstreams.openai.bill.until(lambda bill: bill[0].disconnected)
            again, error = await broken_stream(server, "left")
            assert failure_of(error).reason == "STREAM_LOST"
            assert bytes_of(again)[:3] == bytes_of(received)
            assert await violations(server.database) == {}

    async def test_stream_of_a_server_whose_lease_was_lost_is_still_its_own(
        self, all_upstreams: Upstreams, upstreams: Upstreams, database_url: str
    ) -> None:
        async with (
            running(all_upstreams, database_url, lease_ttl=6.0) as first,
            running(all_upstreams, database_url) as second,
        ):
            upstreams.openai.script(Reply(WORDS, interval_s=0.06))
            before = first.server.foundation.ledger.server_id
            call = first.completions.StreamCompletion(asked(), metadata=headed("k"))
            told = [await call.read()]
            async with first.database.begin() as connection:
                await connection.exec_driver_sql("UPDATE leases SET lease_until = started_at")

            async def moved() -> bool:
                [row] = await call_rows(first.database)
                return row["server_id"] != before

            await until(moved)
            assert first.server.foundation.ledger.server_id != before
            followed = await stream(second, asked(), *headed("k"))
            while chunk := await call.read():
                told.append(chunk)
            assert bytes_of(followed.message) == bytes_of(told)
            assert len(upstreams.openai.bill.calls) == 1
            assert await violations(first.database) == {}


class TestExpiry:
    async def test_expired_key_is_a_new_call_and_is_swept(
        self, all_upstreams: Upstreams, upstreams: Upstreams, database_url: str
    ) -> None:
        async with running(all_upstreams, database_url) as server:
            calls = server.server.foundation.sweeper._sweeps["idempotent_calls"]
            await stream(server, asked(), *headed("stream"))
            await complete(server, asked(), *headed("unary"))
            await aged(server.database, blocks_until=-1)
            await calls()
            lost = await failure(server.completions.StreamCompletion(asked(), metadata=headed("stream")))
            assert lost.reason == "STREAM_LOST"
            assert len(upstreams.openai.bill.calls) == 2
            await aged(server.database, expires_at=-1)
            assert not (await complete(server, asked(), *headed("unary"))).is_replay
            assert len(upstreams.openai.bill.calls) == 3
            await calls()
            assert [row["key"] for row in await call_rows(server.database)] == ["unary"]
            assert await violations(server.database) == {}


class TestOpenAI:
    async def test_lost_stream_ends_with_an_event_that_says_so(
        self, all_upstreams: Upstreams, upstreams: Upstreams, sqlite_url: str
    ) -> None:
        chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        async with running(all_upstreams, sqlite_url, keyed_grace_s=0.2) as server:
            upstreams.openai.script(Reply([" you"] * 5000, interval_s=0.01))
            body = HttpBody(data=msgspec.json.encode(chat))
            metadata = (*headed("left"), ("x-envoy-original-path", "/v1/chat/completions"))
            call = server.facade.CreateChatCompletion(body, metadata=metadata)
            received = [(await call.read()).data for _ in range(3)]
            call.cancel()
            await upstreams.openai.bill.until(lambda bill: bill[0].disconnected)
            again = await server.post("/v1/chat/completions", chat, idempotency_key="left")
            assert again.parts[:3] == received
            assert again.events[-1]["error"]["details"]["reason"] == "STREAM_LOST"
            assert await violations(server.database) == {}

    async def test_chat_is_told_again_with_its_headers(self, booked: Running) -> None:
        key = new_key()
        first = await keyed_chat(booked, key)
        again = await keyed_chat(booked, key)
        assert again.data == first.data
        same = {k: v for k, v in again.headers.items() if not k.startswith("x-genai-replay")}
        assert same == first.headers
        assert again.headers["x-genai-replay"] == "true"
        assert len(booked.openai.bill.calls) == 1

    async def test_stream_is_told_again(self, booked: Running) -> None:
        booked.openai.script(PACED)
        key = new_key()
        first = await keyed_chat(booked, key, stream=True)
        again = await keyed_chat(booked, key, stream=True)
        assert again.data == first.data
        assert [event["sequence"] for event in first.events[:-1]] == list(range(len(first.events) - 1))

    async def test_error_says_why(self, booked: Running) -> None:
        key = new_key()
        await keyed_chat(booked, key)
        reused = await keyed_chat(booked, key, stream=True)
        assert reused.problem["status"] == 409
        assert reused.problem["code"] == "CONFLICT"
        assert reused.problem["details"]["reason"] == "IDEMPOTENCY_KEY_REUSED"
        assert reused.headers["x-should-retry"] == "false"


async def keyed_chat(service: Running, key: str, **fields: Any) -> Any:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], **fields}
    return await service.post("/v1/chat/completions", body, idempotency_key=key)

"""Sessions over a real gRPC channel: what the model gets to see, and what is kept when a send goes wrong."""

import asyncio
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from genai_spine.v1 import execution_pb2
from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub
from tests.service.chats import MODEL, begun
from tests.service.running import Running, Upstreams, failure, running
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

WINDOW, SUMMARY = pb.HISTORY_POLICY_WINDOW, pb.HISTORY_POLICY_SUMMARY


async def test_send_passes_the_whole_history_and_stores_both_messages(booked: Running) -> None:
    chat = await begun(booked, system_prompt="Be brief.")
    first = await chat.send("One", metadata={"n": 1})
    second = await chat.send("Two")
    assert chat.asked[1] == [
        ("system", "Be brief."),
        ("user", "One"),
        ("assistant", first.content),
        ("user", "Two"),
    ]
    said = await chat.messages()
    assert [(each.role, each.content) for each in said] == [*chat.asked[1], ("assistant", second.content)]
    assert said[1].metadata["n"] == 1
    assert [each.sequence for each in said[1:]] == [0, 1, 2, 3]
    assert (second.message, second.response) == (said[3], said[4])
    session = await chat.session()
    assert session.message_count == 4
    assert session.total_tokens == sum(each.tokens for each in said) == first.tokens + second.tokens
    assert session.total_cost.cost_ticks == sum(each.message_cost.cost_ticks for each in said) > 0


async def test_row_of_a_send_says_session_and_user(booked: Running) -> None:
    chat = await begun(booked)
    answer = await chat.send(user="u1")
    [row] = await booked.rows(answer.request_id)
    assert (row.id, row.session_id, row.end_user) == (answer.execution_id, chat.id, "u1")
    assert (row.usage.input_tokens, row.cost.cost_ticks) == (
        answer.input_tokens,
        answer.response.message_cost.cost_ticks,
    )


async def test_every_message_has_model_tokens_and_cost(service: Running) -> None:
    chat = await begun(service, system_prompt="x")
    await chat.send()
    system, asked, answer = await chat.messages()
    for each in (system, asked):
        assert (each.model, each.tokens, each.message_cost.cost_usd, each.latency_ms) == (MODEL, 0, 0, 0)
    assert answer.model.startswith(MODEL)
    assert answer.tokens == answer.input_tokens + answer.output_tokens > 0
    assert answer.message_cost.cost_usd == answer.message_cost.cost_ticks / 1e10 > 0


async def test_options_of_a_send_reach_the_provider(service: Running) -> None:
    chat = await begun(service)
    await chat.send(temperature=0.25, max_tokens=9)
    body = service.openai.bill.calls[0].body
    assert (body["temperature"], body.get("max_tokens", body.get("max_completion_tokens"))) == (0.25, 9)


class TestPolicies:
    async def test_window_passes_the_last_messages_and_the_system_message(self, service: Running) -> None:
        chat = await begun(service, system_prompt="S", history_policy=WINDOW, history_window=3)
        for text in ("One", "Two", "Three"):
            await chat.send(text)
        roles_and_first = [(role, content) for role, content in chat.asked[2]]
        assert [role for role, _ in roles_and_first] == ["system", "user", "assistant", "user"]
        assert roles_and_first[1] == ("user", "Two")

    async def test_summary_takes_the_place_of_older_messages_and_is_kept(self, service: Running) -> None:
        chat = await begun(service, system_prompt="S", history_policy=SUMMARY, history_window=2)
        for text in ("One", "Two"):
            await chat.send(text)
        service.openai.script(Reply("They counted to two."), Reply("Three it is."))
        answer = await chat.send("Three")
        made, asked = chat.asked[2:]
        assert "User: One" in made[1][1]
        assert "Two" not in made[1][1]
        assert [role for role, _ in asked] == ["system", "user", "assistant", "user"]
        assert asked[0][1].startswith("S\n\n")
        assert asked[0][1].endswith("They counted to two.")
        assert asked[1] == ("user", "Two")
        session = await chat.session()
        assert (session.summary.text, session.summary.message_count) == ("They counted to two.", 2)
        said = sum(each.tokens for each in await chat.messages())
        assert session.summary.tokens > 0
        assert session.total_tokens == said + session.summary.tokens
        rows = await service.rows(answer.request_id)
        assert {row.session_id for row in rows} == {chat.id}
        assert [row.capability for row in rows] == ["session-summary", ""]
        assert session.summary.cost.cost_ticks == rows[0].cost.cost_ticks > 0

    async def test_next_summary_builds_on_the_one_before(self, service: Running) -> None:
        chat = await begun(service, history_policy=SUMMARY, history_window=2)
        service.openai.script(Reply("a"), Reply("b"), Reply("first summary"), Reply("c"), Reply("second"))
        for text in ("One", "Two", "Three", "Four"):
            await chat.send(text)
        made = chat.asked[4]
        assert "first summary" in made[1][1]
        assert "User: Two" in made[1][1]
        assert "User: One" not in made[1][1]
        assert (await chat.session()).summary.message_count == 4

    async def test_summary_that_was_made_is_kept_when_the_send_fails(self, service: Running) -> None:
        chat = await begun(service, history_policy=SUMMARY, history_window=1)
        await chat.send("One")
        await chat.send("Two")
        service.openai.script(Reply("the summary"), openai_errors.server_error())
        failed = await failure(chat.stub.SendMessage(chat.said("Three")))
        assert failed.reason == "PROVIDER_UNAVAILABLE"
        session = await chat.session()
        assert (session.message_count, session.summary.text) == (4, "the summary")
        assert len(service.openai.bill.calls) == 4
        await chat.send("Three")
        assert len(service.openai.bill.calls) == 5

    async def test_policy_can_be_changed_in_the_middle(self, service: Running) -> None:
        chat = await begun(service)
        for text in ("One", "Two", "Three"):
            await chat.send(text)
        change = pb.UpdateSessionRequest(
            session_id=chat.id, session=pb.Session(history_policy=WINDOW, history_window=1)
        )
        await chat.stub.UpdateSession(change)
        await chat.send("Four")
        assert chat.asked[3] == [("user", "Four")]


class TestFailures:
    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            (openai_errors.server_error(), "PROVIDER_UNAVAILABLE"),
            (openai_errors.rate_limited(), "PROVIDER_RATE_LIMITED"),
            (openai_errors.context_length_exceeded(), "CONTEXT_LENGTH_EXCEEDED"),
            (Reply(""), "PROVIDER_ERROR"),
            (Reply("half an answer", fault="close"), "PROVIDER_UNAVAILABLE"),
        ],
    )
    @pytest.mark.parametrize("method", ["SendMessage", "StreamMessage"])
    async def test_send_that_fails_leaves_no_message(
        self, booked: Running, reply: Reply, reason: str, method: str
    ) -> None:
        chat = await begun(booked)
        await chat.send("One")
        before = await chat.session()
        booked.openai.script(reply)
        failed = await failure(getattr(chat.stub, method)(chat.said("Two")))
        assert failed.reason == reason
        assert await chat.session() == before
        assert len(await chat.messages()) == 2
        assert (await chat.send("Three")).message.sequence == 2

    async def test_unknown_model_is_found_out_by_the_send_and_not_before(self, service: Running) -> None:
        chat = await begun(service, model="claude-3")
        failed = await failure(chat.stub.SendMessage(chat.said("One")))
        assert failed.reason == "MODEL_NOT_FOUND"
        assert await chat.messages() == []

    @pytest.mark.parametrize("method", ["SendMessage", "StreamMessage"])
    async def test_caller_who_leaves_has_said_nothing_and_the_row_says_what_it_cost(
        self, booked: Running, method: str
    ) -> None:
        late = {"SendMessage": 5.0, "StreamMessage": 0.0}
        chat = await begun(booked)
        booked.openai.script(Reply([" you"] * 400, interval_s=0.02, first_delay_s=late[method]))
        request_id = f"left-{method}-{chat.id}"
        call = getattr(chat.stub, method)(chat.said("One"), metadata=(("x-request-id", request_id),))
        if method == "StreamMessage":
            assert (await call.read()).text
        else:
            await booked.openai.bill.until(lambda bill: bool(bill.calls))
        call.cancel()
        await booked.idle()
        [row] = await booked.rows(request_id)
        assert (row.state, row.session_id) == (execution_pb2.EXECUTION_STATE_CANCELLED, chat.id)
        assert (await chat.session()).message_count == 0
        booked.openai.reset()
        assert (await asyncio.wait_for(chat.send("Two"), 10)).message.sequence == 0

    async def test_deadline_that_passes_stores_nothing(self, service: Running) -> None:
        chat = await begun(service)
        service.openai.script(Reply("late", first_delay_s=5))
        failed = await failure_code(chat.stub.SendMessage(chat.said("One"), timeout=0.3))
        assert failed == grpc.StatusCode.DEADLINE_EXCEEDED
        assert await chat.messages() == []

    async def test_session_deleted_in_the_middle_of_a_send_stays_deleted(self, booked: Running) -> None:
        chat = await begun(booked)
        booked.openai.script(Reply([" you"] * 10, interval_s=0.1))
        failing = asyncio.create_task(failure(chat.stub.StreamMessage(chat.said("One"))))
        await booked.openai.bill.until(lambda bill: bool(bill.calls))
        await chat.stub.DeleteSession(pb.DeleteSessionRequest(session_id=chat.id))
        assert (await failing).reason == "SESSION_NOT_FOUND"

    async def test_every_method_knows_no_session_that_is_not_there(self, service: Running) -> None:
        stub: Any = SessionServiceStub(service.channel)
        for id in ("9a0c0b0e-0000-4000-8000-000000000000", "x"):
            for call in (
                stub.GetSession(pb.GetSessionRequest(session_id=id)),
                stub.UpdateSession(pb.UpdateSessionRequest(session_id=id, session=pb.Session(title="t"))),
                stub.DeleteSession(pb.DeleteSessionRequest(session_id=id)),
                stub.SendMessage(pb.SendMessageRequest(session_id=id, content="c")),
                stub.StreamMessage(pb.SendMessageRequest(session_id=id, content="c")),
                stub.ListMessages(pb.ListMessagesRequest(session_id=id)),
                stub.RegenerateMessage(pb.RegenerateMessageRequest(session_id=id)),
                stub.BranchSession(pb.BranchSessionRequest(session_id=id)),
                stub.ExportSession(pb.ExportSessionRequest(session_id=id)),
            ):
                assert (await failure(call)).reason == "SESSION_NOT_FOUND"
        assert service.openai.bill.calls == []


async def failure_code(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code()


class TestTogether:
    async def test_sends_in_one_session_go_one_after_the_other(self, booked: Running) -> None:
        chat = await begun(booked)
        booked.openai.script(*(Reply(f"answer {number}", first_delay_s=0.05) for number in range(6)))
        answers = await asyncio.gather(*(chat.send(f"question {number}") for number in range(6)))
        said = await chat.messages()
        assert [each.role for each in said] == ["user", "assistant"] * 6
        assert {answer.message.content for answer in answers} == {f"question {n}" for n in range(6)}
        for answer in answers:
            assert said[answer.message.sequence + 1].content == answer.content
        assert [len(asked) for asked in chat.asked] == [1, 3, 5, 7, 9, 11]
        session = await chat.session()
        assert session.total_cost.cost_ticks == sum(each.message_cost.cost_ticks for each in said)

    async def test_50_sends_to_as_many_sessions_at_once_have_exact_sums(self, booked: Running) -> None:
        chats = [await begun(booked) for _ in range(50)]
        answers = await asyncio.gather(*(chat.send(f"Number {n}") for n, chat in enumerate(chats)))
        for chat, answer in zip(chats, answers, strict=True):
            session = await chat.session()
            assert answer.session_id == chat.id
            assert (session.message_count, session.total_tokens) == (2, answer.tokens)
            assert session.total_cost.cost_ticks == answer.response.message_cost.cost_ticks
            [row] = await booked.rows(answer.request_id)
            assert (row.session_id, row.cost.cost_ticks) == (chat.id, answer.response.message_cost.cost_ticks)

    async def test_send_that_waits_in_vain_is_refused_at_its_deadline(self, service: Running) -> None:
        chat = await begun(service)
        service.openai.script(Reply([" you"] * 100, interval_s=0.02))
        first = chat.stub.StreamMessage(chat.said("One"))
        await first.read()
        code = await failure_code(chat.stub.SendMessage(chat.said("Two"), timeout=0.8))
        assert code == grpc.StatusCode.ALREADY_EXISTS
        first.cancel()
        await service.idle()
        assert len(service.openai.bill.calls) == 1


async def test_send_that_takes_longer_than_a_lease_keeps_the_others_waiting(
    upstreams: Upstreams, sqlite_url: str
) -> None:
    async with running(upstreams, sqlite_url, lease_ttl=1.0) as short:
        chat = await begun(short)
        short.openai.script(Reply("first", first_delay_s=2.5), Reply("second"))
        slow = asyncio.create_task(chat.send("One"))
        await short.openai.bill.until(lambda bill: bool(bill.calls))
        assert (await chat.send("Two")).message.sequence == 2
        assert (await slow).content == "first"
        assert [len(asked) for asked in chat.asked] == [1, 3]


async def test_send_that_lost_its_lease_stores_nothing(upstreams: Upstreams, sqlite_url: str) -> None:
    """As after a pause of its process that was longer than the lease."""
    async with running(upstreams, sqlite_url) as alone:
        chat = await begun(alone)
        alone.openai.script(Reply("late", first_delay_s=1.0))
        failing = asyncio.create_task(failure(chat.stub.SendMessage(chat.said("One"))))
        await alone.openai.bill.until(lambda bill: bool(bill.calls))
        async with alone.server.database.engine.begin() as connection:
            await connection.execute(sa.text("UPDATE sessions SET send_token = 'of another'"))
        assert (await failing).reason == "CONFLICT"
        assert await chat.messages() == []


async def test_stream_sends_text_as_it_comes_and_both_messages_at_the_end(booked: Running) -> None:
    chat = await begun(booked)
    booked.openai.script(Reply(["Good ", "morning."], interval_s=0.02))
    events = [event async for event in chat.stub.StreamMessage(chat.said("Hi"))]
    assert [event.text for event in events[:-1]] == ["Good ", "morning."]
    result = events[-1].result
    assert result.content == result.response.content == "Good morning."
    assert [result.message, result.response] == await chat.messages()
    [row] = await booked.rows(result.request_id)
    assert (row.id, row.streamed, row.session_id) == (result.execution_id, True, chat.id)
    assert result.finish_reason == 1


async def test_metadata_must_be_small_and_finite(service: Running) -> None:
    stub: Any = SessionServiceStub(service.channel)
    number = "metadata.fields[n].number_value"
    for bad, field in (({"n": float("nan")}, number), ({"t": "x" * 70_000}, "metadata")):
        request = pb.CreateSessionRequest(model="m", metadata=bad)
        failed = await failure(stub.CreateSession(request))
        assert (failed.reason, failed.fields) == ("INVALID_FIELDS", [field])


async def test_change_sets_what_is_given_and_clears_what_is_empty(service: Running) -> None:
    chat = await begun(service, title="T", system_prompt="S", metadata={"a": 1})
    changed = await chat.stub.UpdateSession(
        pb.UpdateSessionRequest(
            session_id=chat.id, session=pb.Session(title="", model="gpt-4o-mini", provider="openai")
        )
    )
    assert not changed.HasField("title")
    assert (changed.model, changed.provider, changed.system_prompt) == ("gpt-4o-mini", "openai", "S")
    assert changed.update_time.ToNanoseconds() > changed.create_time.ToNanoseconds()
    await chat.send("One")
    assert service.openai.bill.calls[0].body["model"] == "gpt-4o-mini"
    said = await chat.messages()
    assert said[0].model == "gpt-4o-mini"
    changed = await chat.stub.UpdateSession(
        pb.UpdateSessionRequest(
            session_id=chat.id, session=pb.Session(system_prompt="", provider="", metadata={"b": 2})
        )
    )
    assert (changed.system_prompt, changed.HasField("provider"), dict(changed.metadata)) == (
        "",
        False,
        {"b": 2},
    )
    assert [each.role for each in await chat.messages()] == ["user", "assistant"]

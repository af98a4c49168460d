"""The rules of the sessions' store, on SQLite and on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from genai_spine.call import DEFAULT_TENANT
from genai_spine.errors import EtagMismatch, InvalidFields, SessionNotFound
from genai_spine.sessions.sessions import SessionLibrary
from genai_spine.store.database import Database
from genai_spine.store.session_messages import SessionMessages
from genai_spine.store.sessions import Sessions
from genai_spine.v1 import session_service_pb2 as pb

TTL_S = 30.0
SUMS = """
    SELECT count(m.id), coalesce(sum(m.input_tokens + m.output_tokens), 0), coalesce(sum(m.cost_ticks), 0)
    FROM session_messages m WHERE m.session_id = :id
"""


@pytest.fixture
async def chats(database: Database) -> SessionLibrary:
    return SessionLibrary(Sessions(database), SessionMessages(database))


@pytest.fixture
async def other_process(database_url: str) -> AsyncIterator[SessionLibrary]:
    """The same database through connections of its own."""
    database = Database(database_url)
    yield SessionLibrary(Sessions(database), SessionMessages(database))
    await database.close()


async def begun(chats: SessionLibrary, **fields: object) -> pb.Session:
    return await chats.create(pb.CreateSessionRequest(**({"model": "m"} | fields)), DEFAULT_TENANT)


def turn(session: pb.Session, tokens: int = 7, text: str = "Hello") -> list[pb.ExportedMessage]:
    """What a send says: a question and its answer."""
    entries = []
    for role, used in (("user", 0), ("assistant", tokens)):
        entry = pb.ExportedMessage()
        message = entry.message
        message.id, message.session_id, message.role, message.model = str(uuid4()), session.id, role, "m"
        message.sequence, message.content = session.message_count + len(entries), text
        message.input_tokens = message.tokens = used
        message.message_cost.cost_ticks = used * 3
        message.create_time.FromDatetime(datetime.now(UTC))
        entries.append(entry)
    return entries


async def send(chats: SessionLibrary, id: str, tokens: int = 7, text: str = "Hello") -> None:
    token = str(uuid4())
    session = None
    while session is None:
        session = await chats.sessions.claim(id, DEFAULT_TENANT, token, TTL_S)
        if session is None:
            await asyncio.sleep(0.005)
    assert await chats.messages.end_send(token, turn(session, tokens, text))


async def sums(database: Database, id: str) -> tuple[int, int, int]:
    async with database.engine.connect() as connection:
        count, tokens, ticks = (await connection.execute(sa.text(SUMS), {"id": id})).one()
        return int(count), int(tokens), int(ticks)


def told(session: pb.Session) -> tuple[int, int, int]:
    return session.message_count, session.total_tokens, session.total_cost.cost_ticks


async def test_every_field_of_a_session_survives_the_database(chats):
    fields = {"title": "Über\0", "model": "m" * 256, "system_prompt": "S\n'\"\\", "provider": "openai"}
    fields |= {"history_policy": pb.HISTORY_POLICY_WINDOW, "history_window": 7}
    made = await begun(chats, metadata={"a": [1, 2.5, None, True, {"b": "\0é"}]}, **fields)
    kept = await chats.get(made.id, DEFAULT_TENANT)
    made.title = made.title.replace("\0", "\ufffd")  # PostgreSQL keeps no NUL in a text
    assert kept == made


async def test_one_send_at_a_time_has_a_session(chats, other_process):
    session = await begun(chats)
    assert await chats.sessions.claim(session.id, DEFAULT_TENANT, "first", TTL_S) == session
    assert await other_process.sessions.claim(session.id, DEFAULT_TENANT, "second", TTL_S) is None
    assert await chats.sessions.renew(session.id, "first", TTL_S)
    assert not await chats.sessions.renew(session.id, "second", TTL_S)
    await chats.sessions.release(session.id, "second")
    assert await other_process.sessions.claim(session.id, DEFAULT_TENANT, "second", TTL_S) is None
    await chats.sessions.release(session.id, "first")
    assert await other_process.sessions.claim(session.id, DEFAULT_TENANT, "second", TTL_S) is not None


async def test_lease_of_a_send_that_died_runs_out_and_what_it_says_later_is_not_stored(chats, other_process):
    session = await begun(chats)
    assert await chats.sessions.claim(session.id, DEFAULT_TENANT, "dead", 0.0)
    claimed = await other_process.sessions.claim(session.id, DEFAULT_TENANT, "alive", TTL_S)
    assert claimed is not None
    assert not await chats.messages.end_send("dead", turn(session))
    assert not await chats.sessions.keep_summary(session.id, "dead", pb.HistorySummary(text="s"))
    assert await other_process.messages.end_send("alive", turn(claimed))
    assert (await chats.get(session.id, DEFAULT_TENANT)).message_count == 2


async def test_lease_that_is_renewed_outlives_its_first_time(chats):
    session = await begun(chats)
    assert await chats.sessions.claim(session.id, DEFAULT_TENANT, "one", 1.0)
    assert await chats.sessions.renew(session.id, "one", TTL_S)
    await asyncio.sleep(1.1)  # the first time
    assert await chats.sessions.claim(session.id, DEFAULT_TENANT, "two", TTL_S) is None


async def test_turn_is_stored_whole_or_not_at_all(chats, database):
    session = await begun(chats)
    assert await chats.sessions.claim(session.id, DEFAULT_TENANT, "t", TTL_S)
    said = turn(session)
    said[1].message.id = said[0].message.id
    with pytest.raises(IntegrityError):
        await chats.messages.end_send("t", said)
    assert await sums(database, session.id) == (0, 0, 0)
    assert told(await chats.get(session.id, DEFAULT_TENANT)) == (0, 0, 0)
    assert await chats.messages.end_send("t", turn(session))


async def test_two_messages_never_have_one_number(chats):
    session = await begun(chats)
    await send(chats, session.id)
    assert await chats.sessions.claim(session.id, DEFAULT_TENANT, "t", TTL_S)
    with pytest.raises(IntegrityError):
        await chats.messages.end_send("t", turn(session))  # numbered as if nothing had been said


async def test_sums_are_exact_after_50_sends_to_different_sessions_at_once(chats, database):
    made = [await begun(chats) for _ in range(10)]
    await asyncio.gather(*(send(chats, made[number % 10].id, 1000 + number) for number in range(50)))
    for session in made:
        now = await chats.get(session.id, DEFAULT_TENANT)
        assert told(now) == await sums(database, session.id)
        assert now.message_count == 10


async def test_sends_of_two_processes_to_one_session_lose_nothing(chats, other_process, database):
    session = await begun(chats)
    await asyncio.gather(*(send((chats, other_process)[n % 2], session.id, n + 1) for n in range(20)))
    now = await chats.get(session.id, DEFAULT_TENANT)
    assert told(now) == await sums(database, session.id) == (40, 210, 630)
    said = await chats.messages.page(session.id, 500, 0)
    assert [message.sequence for message in said] == list(range(40))


async def test_answer_that_takes_the_place_of_another_takes_its_sums_too(chats, database):
    session = await begun(chats)
    await send(chats, session.id, 1000)
    [_, old] = await chats.messages.page(session.id, 10, 0)
    claimed = await chats.sessions.claim(session.id, DEFAULT_TENANT, "t", TTL_S)
    fresh = turn(session, 10)[1]
    assert claimed is not None
    assert await chats.messages.end_send("t", [fresh], old)
    assert (
        told(await chats.get(session.id, DEFAULT_TENANT)) == await sums(database, session.id) == (2, 10, 30)
    )


async def test_deletion_removes_messages_and_files_and_only_those(chats, database):
    session, other = await begun(chats), await begun(chats)
    for each in (session, other):
        assert await chats.sessions.claim(each.id, DEFAULT_TENANT, "t", TTL_S)
        said = turn(each)
        said[0].attachments.add(filename="f", media_type="text/plain", data=b"x" * 100)
        assert await chats.messages.end_send("t", said)
    await chats.remove(pb.DeleteSessionRequest(session_id=session.id), DEFAULT_TENANT)
    async with database.engine.connect() as connection:
        for table, rest in (("sessions", 1), ("session_messages", 2), ("session_attachments", 1)):
            count = await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))
            assert count.scalar_one() == rest


async def test_branch_has_copies_and_their_sums(chats, database):
    session = await begun(chats)
    assert await chats.sessions.claim(session.id, DEFAULT_TENANT, "t", TTL_S)
    said = turn(session, 5)
    said[0].attachments.add(filename="f", media_type="text/plain", data=b"file")
    assert await chats.messages.end_send("t", said)
    await send(chats, session.id, 9)
    first = (await chats.messages.page(session.id, 1, 1))[0]
    child = await chats.branch(
        pb.BranchSessionRequest(session_id=session.id, message_id=first.id), DEFAULT_TENANT
    )
    assert told(child) == await sums(database, child.id) == (2, 5, 15)
    [copied, _] = await chats.messages.between(child.id, 0, 10)
    assert (copied.attachments[0].data, copied.message.id != said[0].message.id) == (b"file", True)
    assert told(await chats.get(session.id, DEFAULT_TENANT)) == (4, 14, 42)


async def test_list_has_the_newest_change_first_and_pages(chats):
    made = [await begun(chats, title=f"t{number}") for number in range(5)]
    await send(chats, made[1].id)
    request = pb.ListSessionsRequest(limit=2)
    seen = []
    for offset in (0, 2, 4):
        request.offset = offset
        page = await chats.page(request, DEFAULT_TENANT)
        assert (page.total, page.limit, page.offset) == (5, 2, offset)
        seen += [session.title for session in page.sessions]
    assert seen == ["t1", "t4", "t3", "t2", "t0"]


async def change(chats, id: str, mask: str = "", **fields) -> pb.Session:
    request = pb.UpdateSessionRequest(session_id=id, session=pb.Session(**fields))
    request.update_mask.paths.extend(mask.split(",") if mask else [])
    return await chats.change(request, DEFAULT_TENANT)


async def test_of_50_parallel_changes_with_one_etag_one_wins(chats, other_process):
    session = await begun(chats)
    changes = (
        change((chats, other_process)[number % 2], session.id, title=f"t{number}", etag=session.etag)
        for number in range(50)
    )
    found = await asyncio.gather(*changes, return_exceptions=True)
    [won] = [each for each in found if isinstance(each, pb.Session)]
    lost = [each for each in found if isinstance(each, EtagMismatch)]
    assert len(lost) == 49
    assert {each.metadata["etag"] for each in lost} == {won.etag}
    assert await chats.get(session.id, DEFAULT_TENANT) == won


async def test_each_of_50_parallel_changes_without_etag_counts(chats):
    session = await begun(chats)
    found = await asyncio.gather(*(change(chats, session.id, title=f"t{number}") for number in range(50)))
    assert len({each.etag for each in found} | {session.etag}) == 51


async def test_message_changes_the_etag_and_a_lease_does_not(chats):
    session = await begun(chats)
    assert (await chats.sessions.claim(session.id, DEFAULT_TENANT, "t", 0.0)).etag == session.etag
    await send(chats, session.id)
    assert (await chats.get(session.id, DEFAULT_TENANT)).etag != session.etag
    for etag in (session.etag, "x", "-1", "9" * 40):
        with pytest.raises(EtagMismatch):
            await chats.remove(pb.DeleteSessionRequest(session_id=session.id, etag=etag), DEFAULT_TENANT)
    now = (await chats.get(session.id, DEFAULT_TENANT)).etag
    await chats.remove(pb.DeleteSessionRequest(session_id=session.id, etag=now), DEFAULT_TENANT)
    with pytest.raises(SessionNotFound):
        await change(chats, session.id, title="t", etag=now)


@pytest.mark.parametrize(
    "written", ["", " ", "x", '"{}"', 'W/"{}"', "*", "0{}", "+{}", "{}\0", "-1", "9" * 64]
)
async def test_nothing_but_the_etag_itself_changes_or_removes_a_session(chats, written):
    session = await begun(chats, title="before")
    etag = written.replace("{}", session.etag)
    with pytest.raises(EtagMismatch):
        await change(chats, session.id, title="after", etag=etag)
    with pytest.raises(EtagMismatch):
        await chats.remove(pb.DeleteSessionRequest(session_id=session.id, etag=etag), DEFAULT_TENANT)
    assert await chats.get(session.id, DEFAULT_TENANT) == session


async def test_mask_clears_what_is_unset_and_leaves_the_rest(chats):
    fields = {"title": "T", "provider": "openai", "system_prompt": "S", "metadata": {"a": 1}}
    fields |= {"history_policy": pb.HISTORY_POLICY_WINDOW, "history_window": 7}
    session = await begun(chats, **fields)
    cleared = await change(chats, session.id, "title,metadata,history_window,etag", provider="anthropic")
    assert (cleared.HasField("title"), dict(cleared.metadata), cleared.history_window) == (False, {}, 20)
    assert (cleared.provider, cleared.system_prompt, cleared.model) == ("openai", "S", session.model)
    assert cleared.history_policy == pb.HISTORY_POLICY_WINDOW
    whole = await change(chats, session.id, "*", model="m2")
    assert (whole.model, whole.HasField("provider"), whole.system_prompt) == ("m2", False, "")
    assert whole.history_policy == pb.HISTORY_POLICY_ALL
    assert whole == await chats.get(session.id, DEFAULT_TENANT)


@pytest.mark.parametrize(
    ("mask", "field"),
    [
        ("message_count", "update_mask"),
        ("id", "update_mask"),
        ("metadata.a", "update_mask"),
        ("model", "session.model"),
    ],
)
async def test_mask_names_fields_that_can_be_changed(chats, mask, field):
    session = await begun(chats)
    with pytest.raises(InvalidFields) as raised:
        await change(chats, session.id, mask, title="t")
    assert raised.value.metadata["field"] == field
    assert await chats.get(session.id, DEFAULT_TENANT) == session


async def test_sessions_page_by_token_while_others_are_changed(chats):
    made = [await begun(chats, title=f"t{number}") for number in range(5)]
    request = pb.ListSessionsRequest(page_size=2)
    first = await chats.page(request, DEFAULT_TENANT)
    await send(chats, made[4].id)  # it was on the first page, and stays the first
    await send(chats, made[0].id)  # it goes to the front, and is missed
    request.page_token = first.next_page_token
    second = await chats.page(request, DEFAULT_TENANT)
    titles = [[session.title for session in page.sessions] for page in (first, second)]
    assert titles == [["t4", "t3"], ["t2", "t1"]]
    assert (second.total, second.next_page_token) == (5, "")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("müller", {"by title"}),
        ("MÜLLER", {"by title"}),
        ("straße", {"by content"}),
        ("STRASSE", {"by content"}),
        ("100%", {"by content"}),
        ("1_0", set()),
        ("%", {"by content"}),
        ("nothing", set()),
        ("a\0b", set()),
    ],
)
async def test_search_finds_title_and_content_whatever_the_case(chats, search, found):
    titled = await begun(chats, title="Herr Müller", metadata={"n": "by title"})
    spoken = await begun(chats, metadata={"n": "by content"})
    await send(chats, spoken.id, text="Die Straße ist zu 100% frei")
    await send(chats, titled.id, text="x")
    page = await chats.page(pb.ListSessionsRequest(search=search), DEFAULT_TENANT)
    assert {session.metadata["n"] for session in page.sessions} == found
    assert page.total == len(found)


async def test_messages_come_in_pages_with_the_system_message_first(chats):
    session = await begun(chats, system_prompt="S")
    for number in range(3):
        await send(chats, session.id, text=str(number))
    seen = []
    for offset in range(0, 8, 2):
        page = await chats.list_messages(
            pb.ListMessagesRequest(session_id=session.id, limit=2, offset=offset), DEFAULT_TENANT
        )
        assert page.total == 7
        seen += [(message.role, message.content) for message in page.messages]
    expected = [(role, str(number)) for number in range(3) for role in ("user", "assistant")]
    assert seen == [("system", "S"), *expected]
    assert (
        await chats.list_messages(pb.ListMessagesRequest(session_id=session.id, offset=100), DEFAULT_TENANT)
    ).total == 7


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("system_prompt", ["", "S"])
async def test_messages_page_by_token(chats, size, system_prompt):
    session = await begun(chats, system_prompt=system_prompt)
    for number in range(3):
        await send(chats, session.id, text=str(number))
    whole = (
        await chats.list_messages(pb.ListMessagesRequest(session_id=session.id), DEFAULT_TENANT)
    ).messages
    request, pages = pb.ListMessagesRequest(session_id=session.id, page_size=size), []
    while request.page_token or not pages:
        pages.append(await chats.list_messages(request, DEFAULT_TENANT))
        request.page_token = pages[-1].next_page_token
    assert [message for page in pages for message in page.messages] == list(whole)
    assert {len(page.messages) for page in pages[:-1]} <= {size}
    assert pages[-1].messages


async def test_sends_and_lists_read_by_index(sqlite_url):
    """PostgreSQL's planner reads a small table whole, whatever the indexes."""
    queries = {
        "SELECT * FROM sessions WHERE tenant_id = 'x' ORDER BY updated_at DESC, id DESC LIMIT 50":
            "ix_sessions_updated_at",
        "SELECT * FROM session_messages WHERE session_id = 'x' AND sequence >= 5 ORDER BY sequence":
            "ux_session_messages",
        "SELECT * FROM session_attachments WHERE message_id IN ('a', 'b')": "sqlite_autoindex",
    }  # fmt: skip
    database = Database(sqlite_url)
    try:
        async with database.engine.connect() as connection:
            for query, index in queries.items():
                plan = str((await connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}"))).all())
                assert index in plan
                assert "TEMP B-TREE" not in plan
    finally:
        await database.close()


async def test_created_at_of_old_sessions_is_kept_to_the_microsecond(chats):
    session = await begun(chats)
    session.id = str(uuid4())
    session.create_time.FromDatetime(datetime(2020, 2, 29, 1, 2, 3, 456789, UTC) - timedelta(days=1))
    await chats.sessions.add(session, DEFAULT_TENANT)
    assert (await chats.get(session.id, DEFAULT_TENANT)).create_time == session.create_time

"""Sessions over a real gRPC channel: files, other answers, branches, export and import."""

import json
from typing import Any

import grpc
import pytest

from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub
from tests.service.chats import FILES, MODEL, Chat, begun
from tests.service.running import Running, failure
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")


class TestAttachments:
    async def test_files_go_to_the_model_now_and_with_each_later_send(self, booked: Running) -> None:
        chat = await begun(booked)
        answer = await chat.send("Look", attachments=FILES)
        await chat.send("And now?")
        first, second = chat.asked
        kinds = [part["type"] for part in first[0][1]]
        assert kinds == ["text", "text", "image_url", "file"]
        assert first[0][1][1]["text"] == "\n\nFile note.txt:\nüber"
        assert second[0] == first[0]
        infos = [(each.filename, each.media_type, each.size_bytes) for each in answer.message.attachments]
        assert infos == [
            ("note.txt", "text/plain", 5),
            ("a.png", "image/png", 24),
            ("b.pdf", "application/pdf", 8),
        ]
        assert (await chat.messages())[0].attachments == answer.message.attachments

    @pytest.mark.parametrize(
        ("file", "field"),
        [
            (pb.Attachment(filename="a", media_type="video/mp4", data=b"x"), "attachments[0].media_type"),
            (pb.Attachment(filename="a", media_type="text/plain", data=b"\xff"), "attachments[0].data"),
            (pb.Attachment(filename="a", media_type="text/plain"), "attachments[0].data"),
            (pb.Attachment(media_type="text/plain", data=b"x"), "attachments[0].filename"),
        ],
    )
    async def test_bad_file_is_refused_by_its_field(
        self, service: Running, file: pb.Attachment, field: str
    ) -> None:
        chat = await begun(service)
        failed = await failure(chat.stub.SendMessage(chat.said("Look", attachments=[file])))
        assert (failed.reason, failed.fields) == ("INVALID_FIELDS", [field])
        assert service.openai.bill.calls == []

    async def test_model_that_takes_no_images_refuses_and_nothing_is_stored(self, service: Running) -> None:
        chat = await begun(service, model="builtin:extractive")
        request = chat.said("Look", attachments=[FILES[1]])
        assert (await failure(chat.stub.SendMessage(request))).reason == "UNSUPPORTED_OPTION"
        assert await chat.messages() == []


class TestRegenerate:
    async def test_new_answer_takes_the_place_of_the_last_one(self, booked: Running) -> None:
        chat = await begun(booked)
        await chat.send("One")
        booked.openai.script(Reply("A much longer answer than the other."), Reply("Short."))
        old = await chat.send("Two")
        answer = await chat.stub.RegenerateMessage(
            pb.RegenerateMessageRequest(session_id=chat.id, temperature=1.5)
        )
        assert chat.asked[2] == chat.asked[1]
        assert booked.openai.bill.calls[2].body["temperature"] == 1.5
        said = await chat.messages()
        assert [each.content for each in said[2:]] == ["Two", "Short."]
        assert answer.message == said[2] == old.message
        assert answer.response == said[3]
        assert answer.id != old.id
        session = await chat.session()
        assert session.message_count == 4
        assert session.total_tokens == sum(each.tokens for each in said)
        assert session.total_cost_ticks == sum(each.cost_ticks for each in said)

    async def test_answer_stays_when_the_next_one_fails(self, booked: Running) -> None:
        chat = await begun(booked)
        await chat.send("One")
        before = await chat.messages()
        booked.openai.script(openai_errors.server_error())
        failed = await failure(chat.stub.RegenerateMessage(pb.RegenerateMessageRequest(session_id=chat.id)))
        assert failed.reason == "PROVIDER_UNAVAILABLE"
        assert await chat.messages() == before

    async def test_nothing_to_answer_is_a_conflict(self, service: Running) -> None:
        chat = await begun(service, system_prompt="S")
        failed = await failure(chat.stub.RegenerateMessage(pb.RegenerateMessageRequest(session_id=chat.id)))
        assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "CONFLICT")


class TestBranches:
    async def test_branch_goes_its_own_way_from_a_message_on(self, booked: Running) -> None:
        chat = await begun(booked, title="Root", system_prompt="S", metadata={"a": 1})
        file = FILES[0]
        first = await chat.send("One", attachments=[file])
        await chat.send("Two")
        request = pb.BranchSessionRequest(session_id=chat.id, message_id=first.id)
        branched = await chat.stub.BranchSession(request)
        assert (branched.parent_session_id, branched.title, branched.system_prompt) == (chat.id, "Root", "S")
        assert branched.metadata["a"] == 1
        assert (branched.message_count, branched.total_tokens) == (2, first.tokens)
        child = Chat(booked, branched)
        await child.send("Other")
        assert chat.asked[2][:3] == chat.asked[1][:3]
        assert chat.asked[2][3] == ("user", "Other")
        assert (await chat.session()).message_count == 4
        await chat.stub.DeleteSession(pb.DeleteSessionRequest(session_id=chat.id))
        said = await child.messages()
        assert len(said) == 5
        assert said[1].attachments[0].filename == "note.txt"

    async def test_branch_that_ends_with_a_question_is_answered_by_regenerate(self, service: Running) -> None:
        chat = await begun(service)
        answer = await chat.send("One")
        request = pb.BranchSessionRequest(session_id=chat.id, message_id=answer.message.id, title="B")
        child = Chat(service, await chat.stub.BranchSession(request))
        again = await child.stub.RegenerateMessage(pb.RegenerateMessageRequest(session_id=child.id))
        assert [each.content for each in await child.messages()] == ["One", again.content]
        session = await child.session()
        assert (session.title, session.message_count, session.total_tokens) == ("B", 2, again.tokens)

    async def test_message_of_another_session_is_not_found(self, service: Running) -> None:
        chat, other = await begun(service), await begun(service)
        answer = await other.send("One")
        request = pb.BranchSessionRequest(session_id=chat.id, message_id=answer.id)
        assert (await failure(chat.stub.BranchSession(request))).reason == "MESSAGE_NOT_FOUND"


class TestTexts:
    async def test_json_comes_back_through_import(self, booked: Running) -> None:
        chat = await begun(booked, title="Über", system_prompt="S", metadata={"a": [1, None, "x"]})
        await chat.send("One\0", attachments=FILES, metadata={"k": True})
        await chat.send("Two")
        exported = await chat.stub.ExportSession(pb.ExportSessionRequest(session_id=chat.id))
        assert exported.media_type == "application/json"
        made = await chat.stub.ImportSession(pb.ImportSessionRequest(json=exported.text))
        again = await chat.stub.ExportSession(pb.ExportSessionRequest(session_id=made.id))
        assert made.id != chat.id
        assert without_ids(json.loads(again.text)) == without_ids(json.loads(exported.text))
        await Chat(booked, made).send("Three")
        assert chat.asked[2][:-1][:4] == chat.asked[1][:4]

    async def test_markdown_is_for_people(self, service: Running) -> None:
        chat = await begun(service, title="Sky", system_prompt="Be brief.")
        service.openai.script(Reply("Because."))
        await chat.send("Why?", attachments=[FILES[0]])
        request = pb.ExportSessionRequest(session_id=chat.id, format="markdown")
        text = (await chat.stub.ExportSession(request)).text
        assert text.startswith(f"# Sky\n\n{MODEL}, 20")
        assert "## System\n\nBe brief.\n\n## User\n\nWhy?\n\n*File: note.txt (text/plain, 5 bytes)*" in text
        assert text.endswith("## Assistant\n\nBecause.\n")

    async def test_export_without_files_names_them_only(self, service: Running) -> None:
        chat = await begun(service)
        await chat.send("Look", attachments=[FILES[0]])
        request = pb.ExportSessionRequest(session_id=chat.id, include_attachments=False)
        said = json.loads((await chat.stub.ExportSession(request)).text)["messages"][0]
        assert said["message"]["attachments"][0]["filename"] == "note.txt"
        assert "attachments" not in said

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            ("[]", "json"),
            ('{"version": 1, "session": {"model": 5}}', "json"),
            ("{}", "version"),
            ('{"version": 2, "session": {"model": "m"}}', "version"),
            ('{"version": 1, "session": {}}', "session.model"),
            ('{"version": 1, "session": {"model": "m"}, "messages": [{"message": {"role": "system"}}]}',
             "messages[0].message.role"),
            ('{"version": 1, "session": {"model": "m"}, "messages": [{"message": {"role": "user"}}]}',
             "messages[0].message.content"),
            ('{"version": 1, "session": {"model": "m"}, "messages": [{"message": '
             '{"role": "user", "content": "c", "cost_ticks": "-1"}}]}', "messages"),
            ('{"version": 1, "session": {"model": "m"}, "messages": [{"message": '
             '{"role": "user", "content": "c", "input_tokens": 4294967295}}]}', "messages"),
            ('{"version": 1, "session": {"model": "m", "metadata": ' + '{"a":' * 500 + "1" + "}" * 500 + "}}",
             "json"),
        ],
    )  # fmt: skip
    async def test_what_is_no_export_is_refused_by_its_field(
        self, service: Running, text: str, field: str
    ) -> None:
        stub: Any = SessionServiceStub(service.channel)
        failed = await failure(stub.ImportSession(pb.ImportSessionRequest(json=text)))
        assert (failed.reason, failed.fields[0]) == ("INVALID_FIELDS", field)


def without_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [without_ids(each) for each in value]
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in ("id", "session_id", "updated_at")}
        return {key: without_ids(each) for key, each in kept.items()}
    return value

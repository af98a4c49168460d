"""Logs and ledger hold no content: what a caller or a model said is in the answer to the caller alone."""

import json

import pytest
import sqlalchemy as sa
from google.protobuf.struct_pb2 import Struct
from structlog.testing import capture_logs

from genai_spine.store.database import Database
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import prompt_service_pb2, session_service_pb2
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub
from tests.service.running import Running, Upstreams, asked, failure, running
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "Xyzzy-Plugh"
PATH = "x-envoy-original-path"
SCHEMA = json.dumps({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]})


async def say_it_everywhere(service: Running) -> list[str]:
    """Messages of errors that quote what was said, as the callers got them."""
    prompts, sessions = PromptServiceStub(service.channel), SessionServiceStub(service.channel)
    variables = [prompt_service_pb2.PromptVariable(name="age", type="integer")]
    prompt = prompt_service_pb2.Prompt(
        name="Age", slug="age", user_prompt_template="{age}", preferred_model="gpt-4o", variables=variables
    )
    await prompts.CreatePrompt(prompt_service_pb2.CreatePromptRequest(prompt=prompt))
    said = Struct()
    said.update({"age": SECRET})
    execute = prompt_service_pb2.ExecutePromptRequest(prompt_slug="age", variables=said)
    render = prompt_service_pb2.RenderPromptRequest(prompt_id="age", variables=said)
    form = pb.ResponseFormat(json_schema=pb.JsonSchema(name="a", schema_json=SCHEMA))
    strict = asked(response_format=form)
    service.openai.default = Reply(json.dumps({"age": SECRET}))
    template = prompt_service_pb2.Prompt(name="T", slug="t", user_prompt_template="{{ " + SECRET + " +* }}")
    listed = session_service_pb2.ListSessionsRequest(page_token=SECRET)
    searched = [(PATH, f"/v1/sessions?search={SECRET}")]
    calls = [
        prompts.ExecutePrompt(execute),
        prompts.RenderPrompt(render),
        service.completions.CreateCompletion(strict),
        service.completions.StreamCompletion(strict),
        prompts.CreatePrompt(prompt_service_pb2.CreatePromptRequest(prompt=template)),
        sessions.ListSessions(listed, metadata=searched),
        service.completions.CreateCompletion(asked(stop_sequences=[SECRET] * 99)),
    ]
    found = [(await failure(call)).message for call in calls]
    posted = await service.post("/v1/chat/completions", {"model": "gpt-4o", "messages": SECRET})
    found.append(posted.problem["message"])
    found.append((await service.chat(temperature=SECRET)).problem["message"])
    service.openai.default = Reply(SECRET, fault="malformed")
    found.append((await failure(service.completions.CreateCompletion(asked()))).message)
    return found


async def test_no_line_of_the_log_and_no_row_of_the_ledger_says_what_was_said(
    upstreams: Upstreams, database_url: str
) -> None:
    with capture_logs() as lines:
        async with running(upstreams, database_url) as service:
            messages = await say_it_everywhere(service)
            await service.idle()
    assert sum(SECRET in message for message in messages) >= 4, messages
    calls = [line for line in lines if line["event"] == "call"]
    assert len(calls) > len(messages)
    paths = {line["path"] for line in calls if "path" in line}
    assert {path for path in paths if "sessions" in path} == {"/v1/sessions"}
    assert not [line for line in lines if SECRET in str(line)]
    database = Database(database_url)
    async with database.connect() as connection:
        rows = (await connection.execute(sa.text("SELECT * FROM executions"))).mappings().all()
    await database.close()
    assert {row["error_reason"] for row in rows} >= {"SCHEMA_MISMATCH", "PROVIDER_ERROR"}
    assert not [row for row in rows if SECRET in str(dict(row))]

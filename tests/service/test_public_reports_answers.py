"""Whole answers as public bug reports have them: what the caller gets, and what the ledger says."""

import json
from typing import Any

import pytest

from genai_spine.v1 import execution_pb2
from tests.service.public_reports import (
    COUNTS,
    OSLO,
    OWN,
    ROME,
    TOOLS,
    Read,
    Report,
    answer_of,
    check,
    piece,
    read,
    whole,
)
from tests.service.running import Running
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")


def calls(*pieces: dict[str, Any], finish: str = "tool_calls") -> Reply:
    return whole(finish, content=None, tool_calls=list(pieces))


ONE_CALL = Read(calls=(("call_a", "weather", OSLO),), finish="tool_calls", tokens=(7, 5))
ANSWERS = [
    *(
        Report(
            "T3",
            "lmstudio-ai/lmstudio-bug-tracker#830, openai/openai-dotnet#428, nugget/thane-ai-agent#1396",
            calls(piece(OSLO, None, name="weather", id=""), piece(ROME, None, name="clock", **unknown)),
            Read(calls=((OWN, "weather", OSLO), (OWN, "clock", ROME)), finish="tool_calls"),
        )
        for unknown in ({}, {"id": ""}, {"id": None})
    ),
    *(
        Report(
            "T4",
            "QwenLM/qwen-code#6249, brave/brave-browser#56601",
            calls(piece(nothing, None, id="call_a", name="clock")),
            Read(calls=(("call_a", "clock", ""),), finish="tool_calls"),
        )
        for nothing in ("", None)
    ),
    Report(
        "T7",
        "ggml-org/llama.cpp#20198, sipeed/picoclaw#1292",
        calls(piece({"city": "Oslo"}, None, id="call_a", name="weather")),
        ONE_CALL,
    ),
    Report(
        "T9",
        "vercel/ai#12218, openvinotoolkit/model_server#3927, Blaizzy/mlx-vlm#990",
        calls(piece(OSLO, None, id="call_a", name="weather"), finish="stop"),
        ONE_CALL,
    ),
    Report(
        "T9",
        "length stays length",
        calls(piece(OSLO, None, id="call_a", name="weather"), finish="length"),
        Read(calls=(("call_a", "weather", OSLO),), finish="length"),
    ),
    Report(
        "R1",
        "BerriAI/litellm#20246, vllm-project/vllm#34030",
        whole(content="Hi", reasoning="Hm."),
        Read(text="Hi", reasoning="Hm.", finish="stop", tokens=(7, 5)),
    ),
    Report(
        "X1",
        "elizaOS/eliza#30904, elie222/rakazo#416, HKUDS/nanobot#4952",
        Reply(body=json.dumps(whole(content="Go \ud83d!").body)),
        Read(text="Go \ufffd!", finish="stop"),
    ),
]
OOM = {"message": "out of memory", "code": 500}
FAULTS = [
    Report(
        "S12",
        "editor-code-assistant/eca#233, mistralai/client-js#69",
        Reply(body={"object": "error", **OOM}),
        Read(error="out of memory"),
    ),
    Report(
        "S13",
        "damianvtran/local-operator#223, genkit-ai/genkit#6079",
        Reply(
            body={"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "out of memory"}}]}
        ),
        Read(error="out of memory"),
    ),
    *(
        Report(
            "E2", "n8n-io/n8n#37959, vercel/ai#20351, openai/openai-agents-python#604", reply, Read(error="")
        )
        for reply in (
            Reply(body={"error": OOM}),
            Reply(body={"id": "x", "usage": COUNTS}),
            Reply(body={"id": "x", "choices": None}),
            Reply(body={"id": "x", "choices": []}),
            Reply(body=""),
            Reply(body="<html><title>Welcome</title></html>"),
        )
    ),
]


@pytest.mark.parametrize("report", [case.param for case in ANSWERS])
async def test_an_odd_answer_is_whole(service: Running, report: Report) -> None:
    service.openai.script(report.reply)
    posted = await answer_of(service, report, streamed=False, tools=TOOLS)
    check(read(posted, False), report.read)
    [row] = await service.rows(posted.headers["x-request-id"])
    assert (row.usage.input_tokens, row.usage.output_tokens) == (7, 5)


@pytest.mark.parametrize("report", [case.param for case in FAULTS])
async def test_an_answer_that_is_none_is_an_error_in_the_ledger_too(service: Running, report: Report) -> None:
    service.openai.default = report.reply
    for streamed in (False, True):
        posted = await answer_of(service, report, streamed=streamed)
        check(read(posted, streamed), report.read)
        assert posted.problem["status"] in (500, 502)
        row = (await service.rows(posted.headers["x-request-id"]))[0]
        assert row.state == execution_pb2.EXECUTION_STATE_FAILED


@pytest.mark.parametrize(
    ("status", "found"), [(429, 429), (402, 502), (413, 400), (520, 502), (529, 502), (502, 502)]
)
@pytest.mark.parametrize("report", ["openai/codex#7682"], ids=lambda name: f"E1 {name}")
async def test_a_page_in_the_place_of_an_error_is_its_title(
    service: Running, report: str, status: int, found: int
) -> None:
    page = f"<html><head><title>{status} no</title></head><body><h1>{report}</h1></body></html>"
    service.openai.default = Reply(status=status, body=page)
    problem = (await service.chat()).problem
    assert problem["status"] == found
    assert "<" not in problem["message"]
    assert f"{status} no" in problem["message"]


@pytest.mark.parametrize("code", [429, "429"])
@pytest.mark.parametrize("report", ["openai/openai-agents-python#604"], ids=lambda name: f"E2 {name}")
async def test_the_code_of_an_error_is_its_status(service: Running, report: str, code: Any) -> None:
    service.openai.default = Reply(body={"error": {"message": report, "code": code}})
    assert (await service.chat()).problem["status"] == 429


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("report", ["retries"], ids=lambda name: f"Y1 {name}")
async def test_an_answer_that_was_billed_is_asked_for_once(
    service: Running, report: str, streamed: bool
) -> None:
    service.openai.default = Reply(body={"id": report, "choices": [], "usage": COUNTS})
    posted = await service.chat(stream=streamed)
    assert posted.problem["status"] == 502
    assert posted.headers["x-should-retry"] == "false"
    assert len(service.openai.bill.calls) == 1
    [row] = await service.rows(posted.headers["x-request-id"])
    assert (row.usage.input_tokens, row.usage.output_tokens) == (7, 5)


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
STRICT = SCHEMA | {"additionalProperties": False}
FORMS = [{"schema": SCHEMA}, {"schema": STRICT, "strict": True}]
PROSE = [
    '<think>maybe {"n":1}</think>{"n":2}',
    '<think>a {b} c</think>\n```json\n{"n": 2}\n```',
    '```\n{"n":2}\n```',
    'Sure! {"n":2} Is that all?',
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("form", FORMS, ids=["", "strict"])
@pytest.mark.parametrize("said", PROSE)
@pytest.mark.parametrize(
    "report",
    ["admonstrator/zettelrobbe#74, langchain-ai/langchain#35530, sgl-project/sglang#6441"],
    ids=lambda name: f"K7 {name}",
)
async def test_json_in_prose_is_json(
    service: Running, report: str, said: str, form: dict[str, Any], streamed: bool
) -> None:
    service.openai.script(Reply(said))
    wanted = {"type": "json_schema", "json_schema": {"name": "x", **form}}
    posted = await service.chat(
        stream=streamed, response_format=wanted, messages=[{"role": "user", "content": report}]
    )
    assert json.loads(read(posted, streamed).text or "") == {"n": 2}

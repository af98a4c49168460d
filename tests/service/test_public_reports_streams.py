"""Streams as public bug reports have them: what each caller gets of it, and what the ledger says."""

import json

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
    calling,
    check,
    chunk,
    counted,
    event,
    piece,
    read,
    sent,
    stream,
    whole,
)
from tests.service.running import Running
from tests.upstreams.reply import Reply
from tests.upstreams.server import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITH_TOOLS = {"tools": TOOLS}
END = chunk("stop")
CALLED = chunk("tool_calls")
BOTH_CALLS = Read(
    calls=(("call_a", "weather", OSLO), ("call_b", "clock", ROME)), finish="tool_calls", tokens=(7, 5)
)
ONE_CALL = Read(calls=(("call_a", "weather", OSLO),), finish="tool_calls", tokens=(7, 5))
HI = Read(text="Hi", finish="stop", tokens=(7, 5), calls=())
AB = Read(text="AB", finish="stop", tokens=(7, 5))
A, B = chunk(content="A"), chunk(content="B")
LATE_NAME = "vercel/ai#14722, vercel/ai#16507"
NO_ID = "lmstudio-ai/lmstudio-bug-tracker#830, openai/openai-dotnet#428, nugget/thane-ai-agent#1396"
FINISHES = "vercel/ai#12218, openvinotoolkit/model_server#3927, Blaizzy/mlx-vlm#990"
OBJECTS = "ggml-org/llama.cpp#20198, sipeed/picoclaw#1292"

CALLS = [
    Report(
        "T1",
        "ollama/ollama#15457, huggingface/smolagents#1958",
        stream(
            calling(piece(OSLO, id="call_a", name="weather")),
            calling(piece(ROME, id="call_b", name="clock")),
            CALLED,
            counted(),
        ),
        BOTH_CALLS,
    ),
    *(
        Report(
            "T2",
            LATE_NAME,
            stream(
                calling(piece('{"city":', id="call_a", **unnamed)),
                calling(piece('"Oslo"}', name="weather")),
                CALLED,
                counted(),
            ),
            ONE_CALL,
        )
        for unnamed in ({}, {"name": ""}, {"name": None})
    ),
    *(
        Report(
            "T3",
            NO_ID,
            stream(
                calling(piece(OSLO, 0, name="weather", **unknown)),
                calling(piece(ROME, 1, name="clock", **unknown)),
                CALLED,
                counted(),
            ),
            Read(calls=((OWN, "weather", OSLO), (OWN, "clock", ROME)), finish="tool_calls"),
        )
        for unknown in ({}, {"id": ""}, {"id": None})
    ),
    *(
        Report(
            "T4",
            "QwenLM/qwen-code#6249, brave/brave-browser#56601",
            stream(calling(piece(nothing, id="call_a", name="clock")), CALLED, counted()),
            Read(calls=(("call_a", "clock", ""),), finish="tool_calls"),
        )
        for nothing in ("", None)
    ),
    Report(
        "T5",
        "maximhq/bifrost#1829, QwenLM/Qwen-Agent#943",
        stream(
            calling(piece("", 0, id="call_a", name="weather"), piece("", 1, id="call_b", name="clock")),
            *(
                calling(piece(part, index))
                for pair in zip((OSLO[:4], OSLO[4:]), (ROME[:4], ROME[4:]), strict=True)
                for index, part in enumerate(pair)
            ),
            CALLED,
            counted(),
        ),
        BOTH_CALLS,
    ),
    Report(
        "T7",
        OBJECTS,
        stream(calling(piece({"city": "Oslo"}, id="call_a", name="weather")), CALLED, counted()),
        ONE_CALL,
    ),
    Report(
        "T9",
        FINISHES,
        stream(calling(piece(OSLO, id="call_a", name="weather")), END, counted()),
        ONE_CALL,
    ),
]
GROWING = [
    {**chunk(content=text), "usage": COUNTS | {"completion_tokens": spent, "total_tokens": 7 + spent}}
    for spent, text in ((1, "H"), (2, "i"))
]
LONG = "x" * 3_000_000
TOKENS = [("Hi ", "Hi "), ("", "\\xf0"), ("\U0001f642", "\\x99"), ("", "<eos>")]
FRAMING = "miruamel/xuan#194"

TEXTS = [
    Report(
        "U1", "cline/cline#11304, bytedance/deer-flow#4537", stream(*GROWING, chunk("stop"), counted()), HI
    ),
    Report(
        "U2",
        "pydantic/pydantic-ai#5165, RooCodeInc/Roo-Code#9105, cline/cline#8527",
        stream(chunk(content="Hi"), END, counted(None)),
        HI,
    ),
    Report(
        "U3",
        "diegosouzapw/OmniRoute#9750",
        stream(chunk(content="Hi"), END, counted([{"delta": {}}])),
        HI,
    ),
    Report(
        "R1",
        "BerriAI/litellm#20246, vllm-project/vllm#34030",
        stream(chunk(reasoning="Hm."), chunk(content="Hi"), END, counted()),
        Read(text="Hi", reasoning="Hm.", finish="stop"),
    ),
    *(
        Report("S1", FRAMING, sent(body.replace("\n", "\r\n"), bytes_per_write=size), AB)
        for body in ["".join(event(each) for each in (A, B, END, counted(), "[DONE]"))]
        for size in (1, 2, 7, None)
    ),
    Report(
        "S2",
        "dataelement/Clawith#106, nullclaw/nullclaw#509",
        sent("".join(event(each) for each in (A, B, END, counted(), "[DONE]")).replace("data: ", "data:")),
        AB,
    ),
    Report(
        "S4",
        "open-webui/open-webui#17626, microsoft/Agents-for-python#507, SamSaffron/term-llm#347",
        stream(chunk(content=LONG), END, counted()),
        Read(text=LONG, finish="stop", tokens=(7, 5)),
    ),
    Report(
        "S5",
        "openai/openai-go#227",
        sent(
            ": hello\n\nretry: 100\n\n"
            + "".join(
                f": ping\n\nevent: message\nid: {number}\n{event(each)}"
                for number, each in enumerate((A, B, END, counted(), "[DONE]"))
            )
        ),
        AB,
    ),
    Report(
        "S6",
        "openai/openai-python#3819, elizaOS/eliza#19260, assistant-ui/assistant-ui#6954",
        sent("\ufeff" + "".join(event(each) for each in (A, B, END, counted(), "[DONE]"))),
        AB,
    ),
    Report(
        "S7",
        "multi-line data",
        sent(
            "".join(
                "".join(f"data: {line}\n" for line in json.dumps(each, indent=1).split("\n")) + "\n"
                for each in (A, B, END, counted())
            )
            + event("[DONE]")
        ),
        AB,
    ),
    Report(
        "S8",
        "waybarrios/vllm-mlx#101",
        sent("".join(event(each) for each in (A, B, END, counted())).rstrip("\n")),
        AB,
    ),
    Report(
        "S8",
        "an empty data line",
        sent(event(A) + "data:\n\n" + "".join(map(event, (B, END, counted())))),
        AB,
    ),
    Report("S15", "xiaoliu10/claude-code-router-next#45", whole(content="Hi"), HI),
    Report(
        "L2",
        "ml-explore/mlx-lm#1630",
        stream(
            *(
                chunk(content=said, logprobs=[{"token": token, "logprob": -1.0, "bytes": None}])
                for said, token in TOKENS
            ),
            END,
            counted(),
        ),
        Read(text="Hi \U0001f642", logprobs=tuple(token for _, token in TOKENS)),
        {"logprobs": True},
    ),
    Report(
        "X1",
        "elizaOS/eliza#30904, elie222/rakazo#416, HKUDS/nanobot#4952",
        stream(*(json.dumps(chunk(content=half)) for half in ("Go ", "\ud83d", "\ude80!")), END, counted()),
        Read(text="Go \U0001f680!", finish="stop"),
    ),
    Report(
        "D1",
        "microsoft/autogen#6465, uezo/aiavatarkit#124, pydantic/logfire#64",
        stream(
            {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]},
            A,
            B,
            {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}]},
            END,
            counted(),
        ),
        AB,
    ),
]
OOM = {"message": "out of memory", "code": 500}
OF_ROUTER = {"finish_reason": "error", "error": {"code": 502, "message": "out of memory"}}
FAULTS = [
    Report("S10", "vllm-project/vllm#52852", stream(A, done=False), Read(error="ended before")),
    Report("S11", "vllm-project/guidellm#743", stream(A, {"error": OOM}), Read(error="out of memory")),
    Report(
        "S12",
        "editor-code-assistant/eca#233, mistralai/client-js#69, vllm-project/guidellm#743",
        stream(A, {"object": "error", **OOM}),
        Read(error="out of memory"),
    ),
    Report(
        "S13",
        "damianvtran/local-operator#223, genkit-ai/genkit#6079",
        stream(A, {"id": "x", "choices": [{"index": 0, "delta": {"content": ""}, **OF_ROUTER}]}),
        Read(error="out of memory"),
    ),
]


@pytest.mark.parametrize("report", [case.param for case in CALLS])
async def test_calls_of_a_stream_are_whole(service: Running, report: Report) -> None:
    service.openai.script(report.reply)
    posted = await answer_of(service, report, streamed=True, **WITH_TOOLS)
    check(read(posted, True), report.read)


@pytest.mark.parametrize("report", [case.param for case in TEXTS])
async def test_a_streams_text_is_whole_and_its_usage_is_booked(service: Running, report: Report) -> None:
    service.openai.script(report.reply)
    posted = await answer_of(service, report, streamed=True)
    check(read(posted, True), report.read)
    [row] = await service.rows(posted.headers["x-request-id"])
    assert (row.state, row.usage.input_tokens, row.usage.output_tokens) == (
        execution_pb2.EXECUTION_STATE_SUCCEEDED,
        7,
        5,
    )


@pytest.mark.parametrize("report", [case.param for case in FAULTS])
async def test_a_stream_that_failed_is_an_error_to_the_caller_and_in_the_ledger(
    service: Running, report: Report
) -> None:
    service.openai.script(report.reply)
    posted = await answer_of(service, report, streamed=True)
    check(read(posted, True), report.read)
    [row] = await service.rows(posted.headers["x-request-id"])
    assert row.state == execution_pb2.EXECUTION_STATE_FAILED
    assert row.error_reason


@pytest.mark.parametrize("report", ["waybarrios/vllm-mlx#101"], ids=lambda name: f"S9 {name}")
async def test_a_stream_that_is_complete_ends_although_its_connection_stays(
    service: Running, report: str
) -> None:
    service.openai.script(Reply("Hi", fault="stall", after=-1))
    posted = await service.chat(stream=True)
    check(read(posted, True), Read(text="Hi", finish="stop"))
    [row] = await service.rows(posted.headers["x-request-id"])
    assert row.state == execution_pb2.EXECUTION_STATE_SUCCEEDED, report


THINKING = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
SAYING = [{"type": "text", "text": "Hi"}]
PARTS = "n8n-io/n8n#37352, n8n-io/n8n#19856, vercel/ai#8072"


@pytest.mark.parametrize(
    ("report", "streamed"),
    [
        pytest.param(Report("R2", PARTS, reply, Read(text="Hi", reasoning="Hm.", finish="stop")), streamed)
        for reply, streamed in (
            (stream(chunk(content=THINKING), chunk(content=SAYING), END, counted()), True),
            (whole(content=THINKING + SAYING), False),
        )
    ],
    ids=[f"R2 {PARTS} {how}" for how in ("streamed", "whole")],
)
async def test_content_in_chunks_is_text_and_reasoning(
    serving: Running, vendors: dict[str, Upstream], report: Report, streamed: bool
) -> None:
    vendors["mistral"].script(report.reply)
    posted = await answer_of(serving, report, streamed=streamed, model="mistral:magistral-medium")
    check(read(posted, streamed), report.read)

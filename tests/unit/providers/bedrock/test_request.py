"""Our requests in Converse's form: who speaks when, kinds of content, tools, forms."""

import json
from typing import Any

import msgspec
import pytest

from genai_spine.errors import InvalidFields, UnsupportedOption
from genai_spine.providers.base import Endpoint, Provider, Route
from genai_spine.providers.bedrock.request import write_request
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.upstreams.bedrock import CLAUDE, NOVA

PNG = b"\x89PNG"
FUNCTION = message_pb2.FunctionTool(name="weather", parameters_json='{"z":1.0,"a":12345678901234567890}')
TOOLS = [
    message_pb2.Tool(function=FUNCTION),
    message_pb2.Tool(function=message_pb2.FunctionTool(name="time")),
]


def text(words: str) -> message_pb2.ContentPart:
    return message_pb2.ContentPart(text=words)


def message(role: "message_pb2.Role", *parts: message_pb2.ContentPart, **fields: Any) -> message_pb2.Message:
    return message_pb2.Message(role=role, content=parts, **fields)


def user(*parts: message_pb2.ContentPart, **fields: Any) -> message_pb2.Message:
    return message(message_pb2.ROLE_USER, *parts, **fields)


def calling(arguments: str, call_id: str = "c1") -> message_pb2.Message:
    call = message_pb2.ToolCall(
        id=call_id, function=message_pb2.FunctionCall(name="weather", arguments_json=arguments)
    )
    return message(message_pb2.ROLE_ASSISTANT, tool_calls=[call])


def raw(*messages: message_pb2.Message, **fields: Any) -> str:
    asked = pb.CreateCompletionRequest(**{"model": CLAUDE, "messages": messages} | fields)
    return msgspec.json.encode(
        write_request(asked, Route(Provider(Endpoint("bedrock")), asked.model))
    ).decode()


def written(*messages: message_pb2.Message, **fields: Any) -> Any:
    return json.loads(raw(*messages, **fields))


def image(**fields: Any) -> message_pb2.Message:
    return user(message_pb2.ContentPart(image=message_pb2.ImagePart(**fields)))


def file(**fields: Any) -> message_pb2.ContentPart:
    return message_pb2.ContentPart(file=message_pb2.FilePart(**fields))


class TestConverseTurns:
    def test_who_speaks_twice_speaks_once_and_results_share_a_turn(self) -> None:
        both = calling("{}")
        both.tool_calls.extend(calling("{}", "c2").tool_calls)
        body = written(
            user(text("a")),
            user(text("b")),
            both,
            message(message_pb2.ROLE_TOOL, text("1"), tool_call_id="c1"),
            message(message_pb2.ROLE_TOOL, text("2"), tool_call_id="c2"),
            user(text("c")),
        )
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
        assert [list(block) for block in body["messages"][2]["content"]] == [
            ["toolResult"],
            ["toolResult"],
            ["text"],
        ]

    def test_instructions_stand_apart_wherever_they_were(self) -> None:
        body = written(
            user(text("a")),
            message(message_pb2.ROLE_SYSTEM, text("s")),
            message(message_pb2.ROLE_DEVELOPER, text("d")),
        )
        assert body["system"] == [{"text": "s"}, {"text": "d"}]
        assert len(body["messages"]) == 1

    def test_instructions_are_text(self) -> None:
        picture = message_pb2.ContentPart(image=message_pb2.ImagePart(data=PNG, media_type="image/png"))
        with pytest.raises(UnsupportedOption, match=r"messages\[0\].content\[0\]"):
            raw(message(message_pb2.ROLE_SYSTEM, picture), user(text("a")))

    def test_content_that_says_nothing_is_left_out(self) -> None:
        body = written(
            user(text("")), user(text("a"), text("")), message(message_pb2.ROLE_ASSISTANT, text(""))
        )
        assert body["messages"] == [{"role": "user", "content": [{"text": "a"}]}]

    def test_refusal_is_what_the_model_said(self) -> None:
        body = written(
            user(text("a")),
            message(message_pb2.ROLE_ASSISTANT, message_pb2.ContentPart(refusal="I will not")),
        )
        assert body["messages"][1] == {"role": "assistant", "content": [{"text": "I will not"}]}

    def test_prompt_becomes_a_users_message(self) -> None:
        assert written(prompt=pb.TextPrompt(text="Go on"))["messages"] == [
            {"role": "user", "content": [{"text": "Go on"}]}
        ]


class TestConverseTools:
    def test_arguments_go_back_to_the_digit(self) -> None:
        exact = '{"z": 12345678901234567890, "a": 1.0}'
        assert f'"input":{exact}' in raw(user(text("a")), calling(exact))
        assert written(user(text("a")), calling(""))["messages"][1]["content"][0]["toolUse"]["input"] == {}

    @pytest.mark.parametrize("arguments", ["{", "[]", "null", '"x"'])
    def test_arguments_that_are_no_object_name_their_field(self, arguments: str) -> None:
        with pytest.raises(InvalidFields, match=r"messages\[1\].tool_calls\[0\].function.arguments_json"):
            raw(user(text("a")), calling(arguments))

    def test_schemas_keep_order_and_numbers(self) -> None:
        assert '"json":{"z":1.0,"a":12345678901234567890}' in raw(user(text("a")), tools=TOOLS)

    def test_ids_of_other_providers_are_made_to_fit_on_both_sides(self) -> None:
        long = "call/" + "x" * 80
        body = written(
            user(text("a")),
            calling("{}", long),
            message(message_pb2.ROLE_TOOL, text("1"), tool_call_id=long),
        )
        used = body["messages"][1]["content"][0]["toolUse"]["toolUseId"]
        assert used == body["messages"][2]["content"][0]["toolResult"]["toolUseId"]
        assert used == "call_" + "x" * 59

    def test_function_of_the_older_style_is_known_by_its_name(self) -> None:
        body = written(
            user(text("a")),
            calling("{}", ""),
            message(message_pb2.ROLE_FUNCTION, text("1"), name="weather"),
        )
        used = body["messages"][2]["content"][0]["toolResult"]["toolUseId"]
        assert used == body["messages"][1]["content"][0]["toolUse"]["toolUseId"] == "call_1"

    @pytest.mark.parametrize(
        ("choice", "names", "sent"),
        [
            (message_pb2.ToolChoice(), ["weather", "time"], None),
            (
                message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_AUTO),
                ["weather", "time"],
                {"auto": {}},
            ),
            (
                message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED),
                ["weather", "time"],
                {"any": {}},
            ),
            (message_pb2.ToolChoice(function_name="time"), ["weather", "time"], {"tool": {"name": "time"}}),
            (
                message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED, allowed_tools=["time"]),
                ["time"],
                {"any": {}},
            ),
        ],
    )
    def test_choices(self, choice: message_pb2.ToolChoice, names: list[str], sent: Any) -> None:
        config = written(user(text("a")), tools=TOOLS, tool_choice=choice)["toolConfig"]
        assert [tool["toolSpec"]["name"] for tool in config["tools"]] == names
        assert config.get("toolChoice") == sent

    def test_choice_of_none_shows_no_tools(self) -> None:
        none = message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_NONE)
        assert "toolConfig" not in written(user(text("a")), tools=TOOLS, tool_choice=none)
        with pytest.raises(UnsupportedOption, match="tool_choice"):
            raw(user(text("a")), calling("{}"), tools=TOOLS, tool_choice=none)

    def test_strict_tool_says_so(self) -> None:
        strict = message_pb2.Tool(function=message_pb2.FunctionTool(name="f", description="", strict=True))
        [tool] = written(user(text("a")), tools=[strict])["toolConfig"]["tools"]
        assert tool["toolSpec"] == {"name": "f", "inputSchema": {"json": {"type": "object"}}, "strict": True}


class TestConverseContent:
    @pytest.mark.parametrize(
        ("fields", "form"),
        [
            ({"data": PNG, "media_type": "image/png"}, "png"),
            ({"data": PNG, "media_type": "image/JPG"}, "jpeg"),
            ({"url": "data:image/webp;base64,iVBORw=="}, "webp"),
            ({"url": "data:image/gif;name=x;base64,iVBORw=="}, "gif"),
        ],
    )
    def test_images_are_sent_themselves(self, fields: dict[str, Any], form: str) -> None:
        [block] = written(image(**fields))["messages"][0]["content"]
        assert block == {"image": {"format": form, "source": {"bytes": "iVBORw=="}}}

    @pytest.mark.parametrize(
        ("fields", "place", "what"),
        [
            ({"url": "https://x/a.png"}, "image.url", "by URL"),
            ({"data": PNG, "media_type": "image/tiff"}, "image", "image/tiff"),
            ({"data": PNG}, "image", "unknown"),
        ],
    )
    def test_other_images_are_refused_by_their_place(
        self, fields: dict[str, Any], place: str, what: str
    ) -> None:
        with pytest.raises(UnsupportedOption, match=what) as raised:
            raw(image(**fields))
        assert raised.value.metadata["field"] == f"messages[0].content[0].{place}"

    def test_documents_get_a_format_and_a_name_of_their_own(self) -> None:
        parts = [
            file(file_data="data:application/pdf;base64,eA==", filename="Report_2026: final.pdf"),
            file(file_data="data:application/octet-stream;base64,eA==", filename="table.CSV"),
            file(file_data="data:text/markdown;charset=utf-8;base64,eA==", filename="table.csv"),
            file(file_data="data:text/html;base64,eA=="),
            file(file_data="data:text/html;base64,eA==", filename="日本"),
        ]
        blocks = written(user(*parts))["messages"][0]["content"]
        assert [(block["document"]["format"], block["document"]["name"]) for block in blocks] == [
            ("pdf", "Report 2026 final"),
            ("csv", "table"),
            ("md", "table (2)"),
            ("html", "document"),
            ("html", "document (2)"),
        ]

    @pytest.mark.parametrize(
        ("fields", "place"),
        [
            ({"file_id": "file-1"}, "file.file_id"),
            ({"file_data": "eA=="}, "file.file_data"),
            ({"file_data": "data:application/zip;base64,eA==", "filename": "a.zip"}, "file"),
        ],
    )
    def test_other_files_are_refused_by_their_place(self, fields: dict[str, Any], place: str) -> None:
        with pytest.raises(UnsupportedOption) as raised:
            raw(user(file(**fields)))
        assert raised.value.metadata["field"] == f"messages[0].content[0].{place}"

    def test_tool_may_answer_with_an_image(self) -> None:
        picture = message_pb2.ContentPart(image=message_pb2.ImagePart(data=PNG, media_type="image/png"))
        body = written(
            user(text("a")), calling("{}"), message(message_pb2.ROLE_TOOL, picture, tool_call_id="c1")
        )
        assert list(body["messages"][2]["content"][0]["toolResult"]["content"][0]) == ["image"]


class TestConverseCaching:
    @pytest.mark.parametrize(
        ("model", "cache", "point"),
        [
            (CLAUDE, message_pb2.PROMPT_CACHE_5M, {"type": "default"}),
            (CLAUDE, message_pb2.PROMPT_CACHE_1H, {"type": "default", "ttl": "1h"}),
            (NOVA, message_pb2.PROMPT_CACHE_1H, {"type": "default"}),
            ("meta.llama3-70b-instruct-v1:0", message_pb2.PROMPT_CACHE_5M, None),
        ],
    )
    def test_mark_is_a_point_after_the_message(self, model: str, cache: Any, point: Any) -> None:
        body = written(user(text("a"), prompt_cache=cache), model=model)
        points = [block["cachePoint"] for block in body["messages"][0]["content"][1:]]
        assert points == ([point] if point else [])


class TestConverseThinking:
    def test_thinking_of_claude_goes_back_whichever_platform_it_came_from(self) -> None:
        own = '[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}}]'
        anthropics = '[{"type":"thinking","thinking":"hm","signature":"s"}]'
        others = '[{"type":"reasoning","id":"rs_1","encrypted_content":"e","summary":[]}]'
        for state, expected in ((own, json.loads(own)), (anthropics, json.loads(own)), (others, [])):
            said = message(message_pb2.ROLE_ASSISTANT, text("b"), reasoning="hm", reasoning_state_json=state)
            blocks = written(user(text("a")), said)["messages"][1]["content"]
            assert blocks == [*expected, {"text": "b"}]

    def test_state_that_is_no_array_is_a_bad_field(self) -> None:
        with pytest.raises(InvalidFields, match="reasoning_state_json"):
            raw(user(text("a")), message(message_pb2.ROLE_ASSISTANT, text("b"), reasoning_state_json="{}"))


class TestConverseOwnFields:
    def test_own_fields_stand_beside_ours(self) -> None:
        own = (
            '{"guardrailConfig":{"guardrailIdentifier":"g"},"inferenceConfig":{"maxTokens":5,"temperature":1},'
            '"additionalModelRequestFields":{"anthropic_beta":["x"]}}'
        )
        body = written(user(text("a")), temperature=0.5, top_k=3, provider_options_json=own)
        assert body["guardrailConfig"] == {"guardrailIdentifier": "g"}
        assert body["inferenceConfig"] == {"maxTokens": 5, "temperature": 0.5}
        assert body["additionalModelRequestFields"] == {"anthropic_beta": ["x"], "top_k": 3}

    def test_own_field_of_the_wrong_kind_is_a_bad_field(self) -> None:
        with pytest.raises(InvalidFields, match="inferenceConfig"):
            raw(user(text("a")), provider_options_json='{"inferenceConfig":3}')

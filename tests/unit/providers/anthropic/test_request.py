"""Our requests as the Messages API takes them."""

from typing import Any

import msgspec
import pytest

from genai_spine.errors import InvalidFields
from genai_spine.providers.anthropic.request import countable, version, write_request
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

OLD, MIDDLE, LATEST = "claude-sonnet-4-20250514", "claude-opus-4-6", "claude-opus-4-7"
WEATHER = message_pb2.Tool(
    function=message_pb2.FunctionTool(name="weather", parameters_json='{"type":"object"}')
)
TIME = message_pb2.Tool(function=message_pb2.FunctionTool(name="time"))


def text(said: str, role: Any = message_pb2.ROLE_USER, **fields: Any) -> message_pb2.Message:
    return message_pb2.Message(role=role, content=[message_pb2.ContentPart(text=said)], **fields)


def written(*messages: message_pb2.Message, **fields: Any) -> Any:
    """The body as it goes out."""
    request = pb.CreateCompletionRequest(**({"model": OLD, "messages": messages or [text("Hi")]} | fields))
    return msgspec.json.decode(msgspec.json.encode(write_request(request, request.model, stream=False)))


def calling(*calls: tuple[str, str, str], **fields: Any) -> message_pb2.Message:
    """calls: id, name, arguments."""
    made = [
        message_pb2.ToolCall(id=id, function=message_pb2.FunctionCall(name=n, arguments_json=a))
        for id, n, a in calls
    ]
    return message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=made, **fields)


def result(id: str, said: str, **fields: Any) -> message_pb2.Message:
    return text(said, message_pb2.ROLE_TOOL, tool_call_id=id, **fields)


class TestAnthropicVersions:
    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            ("claude-sonnet-4-20250514", (4, 0)),
            ("claude-4-sonnet-20250514", (4, 0)),
            ("claude-opus-4-1-20250805", (4, 1)),
            ("claude-haiku-4-5", (4, 5)),
            ("claude-3-5-haiku-latest", (3, 5)),
            ("claude-3-haiku-20240307", (3, 0)),
            ("claude-opus-5", (5, 0)),
            ("claude-fable-5-1", (5, 1)),
            ("claude-2.1", (2, 0)),
            ("claude-mythos-preview", (99, 0)),
        ],
    )
    def test_name_tells_its_version(self, model: str, expected: tuple[int, int]) -> None:
        assert version(model) == expected


class TestAnthropicTurns:
    def test_answer_has_4096_tokens_unless_the_caller_says_otherwise(self) -> None:
        assert written() == {
            "model": OLD,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
            "max_tokens": 4096,
        }
        assert written(provider_options_json='{"max_tokens": 7}')["max_tokens"] == 7
        assert written(provider_options_json='{"max_tokens": 7}', max_tokens=9)["max_tokens"] == 9

    def test_instructions_are_hoisted_in_their_order_wherever_they_stood(self) -> None:
        body = written(
            text("one", message_pb2.ROLE_SYSTEM),
            text("Hi"),
            text("two", message_pb2.ROLE_DEVELOPER),
            text("three", message_pb2.ROLE_SYSTEM),
        )
        assert [block["text"] for block in body["system"]] == ["one", "two", "three"]
        assert [turn["role"] for turn in body["messages"]] == ["user"]

    def test_messages_of_one_role_in_a_row_are_one_turn(self) -> None:
        body = written(
            text("a"),
            text("b"),
            text("c", message_pb2.ROLE_ASSISTANT),
            text("d", message_pb2.ROLE_ASSISTANT),
            text("e"),
        )
        said = [(turn["role"], [block["text"] for block in turn["content"]]) for turn in body["messages"]]
        assert said == [("user", ["a", "b"]), ("assistant", ["c", "d"]), ("user", ["e"])]

    def test_results_of_one_turn_stand_together_before_what_the_user_says_next(self) -> None:
        calls = calling(("a", "weather", '{"n": 12345678901234567890}'), ("b", "time", ""))
        body = written(text("Hi"), calls, result("a", "sunny"), result("b", ""), text("And?"))
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
        assert body["messages"][1]["content"] == [
            {"type": "tool_use", "id": "a", "name": "weather", "input": {"n": 12345678901234567890}},
            {"type": "tool_use", "id": "b", "name": "time", "input": {}},
        ]
        assert body["messages"][2]["content"] == [
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "sunny"}]},
            {"type": "tool_result", "tool_use_id": "b"},
            {"type": "text", "text": "And?"},
        ]

    def test_ids_that_this_api_refuses_are_changed_alike_in_call_and_result(self) -> None:
        body = written(text("Hi"), calling(("fc:1|x", "time", "{}")), result("fc:1|x", "noon"))
        assert body["messages"][1]["content"][0]["id"] == "fc_1_x"
        assert body["messages"][2]["content"][0]["tool_use_id"] == "fc_1_x"

    def test_function_calls_of_the_old_style_find_their_results(self) -> None:
        body = written(
            text("Hi"),
            calling(("", "time", "{}")),
            text("noon", message_pb2.ROLE_FUNCTION, name="time"),
            calling(("", "time", "{}")),
            text("one", message_pb2.ROLE_FUNCTION, name="time"),
        )
        ids = [
            block.get("id", block.get("tool_use_id"))
            for turn in body["messages"]
            for block in turn["content"]
        ]
        assert ids == [None, "call_1", "call_1", "call_2", "call_2"]

    def test_texts_of_white_space_which_the_api_refuses_are_left_out(self) -> None:
        body = written(text("Hi"), text(" \n", message_pb2.ROLE_ASSISTANT), text(""), text("?"))
        assert [block["text"] for block in body["messages"][0]["content"]] == ["Hi", "?"]

    def test_bare_text_is_what_the_user_says(self) -> None:
        body = written(messages=[], prompt=pb.TextPrompt(text="Go on"))
        assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Go on"}]}]

    def test_arguments_that_are_no_object_are_refused_by_their_place(self) -> None:
        with pytest.raises(InvalidFields, match=r"messages\[1\]\.tool_calls\[0\]\.function\.arguments_json"):
            written(text("Hi"), calling(("a", "time", '{"cut')))

    def test_system_message_holds_text_only(self) -> None:
        image = message_pb2.ContentPart(image=message_pb2.ImagePart(url="https://example.com/a.png"))
        with pytest.raises(InvalidFields, match=r"messages\[0\]\.content"):
            written(message_pb2.Message(role=message_pb2.ROLE_SYSTEM, content=[image]), text("Hi"))

    def test_call_with_free_text_that_another_provider_made_is_an_object_with_it(self) -> None:
        call = message_pb2.ToolCall(id="a", custom=message_pb2.CustomCall(name="write", input="ls -l"))
        body = written(
            text("Hi"),
            message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=[call]),
            result("a", "none"),
        )
        [block] = body["messages"][1]["content"]
        assert (block["name"], block["input"]) == ("write", {"input": "ls -l"})


class TestAnthropicThoughts:
    STATE = (
        '[{"type":"thinking","thinking":"hm","signature":"s","later":1.0},'
        '{"type":"redacted_thinking","data":"d"}]'
    )

    def test_thoughts_go_back_byte_by_byte_and_first(self) -> None:
        asked = pb.CreateCompletionRequest(
            model=OLD,
            messages=[
                text("Hi"),
                calling(("a", "time", "{}"), reasoning_state_json=self.STATE, reasoning="hm"),
                result("a", "noon"),
            ],
        )
        body = msgspec.json.encode(write_request(asked, asked.model, stream=True)).decode()
        assert f'"content":{self.STATE[:-1]},{{"type":"tool_use"' in body

    def test_thoughts_of_another_provider_are_left_out(self) -> None:
        state = '[{"reasoningContent":{"text":"hm"}},{"type":"reasoning","id":"rs_1"}]'
        body = written(text("Hi"), text("yes", message_pb2.ROLE_ASSISTANT, reasoning_state_json=state))
        assert body["messages"][1]["content"] == [{"type": "text", "text": "yes"}]

    @pytest.mark.parametrize("state", ["{", "{}", "[1]"])
    def test_reasoning_state_that_is_no_array_of_objects_is_refused(self, state: str) -> None:
        with pytest.raises(InvalidFields, match=r"messages\[1\]\.reasoning_state_json"):
            written(text("Hi"), text("yes", message_pb2.ROLE_ASSISTANT, reasoning_state_json=state))


class TestAnthropicParts:
    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            (
                message_pb2.FilePart(file_data="data:application/pdf;base64,JVBERg==", filename="a.pdf"),
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                    "title": "a.pdf",
                },
            ),
            (
                message_pb2.FilePart(file_data="data:text/csv;charset=utf-8;base64,w6ksYg=="),
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é,b"}},
            ),
            (
                message_pb2.FilePart(file_data="data:image/png;base64,iVBORw=="),
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
                },
            ),
            (
                message_pb2.FilePart(file_id="f"),
                {"type": "document", "source": {"type": "file", "file_id": "f"}},
            ),
        ],
    )
    def test_file_is_a_document_or_an_image(self, file: message_pb2.FilePart, expected: Any) -> None:
        part = message_pb2.ContentPart(file=file)
        body = written(message_pb2.Message(role=message_pb2.ROLE_USER, content=[part]))
        assert body["messages"][0]["content"] == [expected]

    @pytest.mark.parametrize(
        "data",
        ["data:application/zip;base64,UEs=", "JVBERg==", "data:text/plain", "data:text/plain;base64,/w=="],
    )
    def test_file_of_another_kind_is_refused_by_its_place(self, data: str) -> None:
        part = message_pb2.ContentPart(file=message_pb2.FilePart(file_data=data))
        with pytest.raises(InvalidFields, match=r"messages\[0\]\.content\[0\]\.file\.file_data"):
            written(message_pb2.Message(role=message_pb2.ROLE_USER, content=[part]))

    @pytest.mark.parametrize(
        ("image", "source"),
        [
            (message_pb2.ImagePart(url="https://a/b"), {"type": "url", "url": "https://a/b"}),
            (
                message_pb2.ImagePart(url="data:image/png;base64,iVBORw=="),
                {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
            ),
            (
                message_pb2.ImagePart(data=b"\x89PNG", media_type="image/png"),
                {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
            ),
        ],
    )
    def test_image_is_sent_by_its_address_or_itself(self, image: message_pb2.ImagePart, source: Any) -> None:
        part = message_pb2.ContentPart(image=image)
        body = written(message_pb2.Message(role=message_pb2.ROLE_USER, content=[part]))
        assert body["messages"][0]["content"] == [{"type": "image", "source": source}]


class TestAnthropicCaching:
    def test_mark_is_put_on_the_last_block_of_its_message(self) -> None:
        body = written(
            text("rules", message_pb2.ROLE_SYSTEM, prompt_cache=message_pb2.PROMPT_CACHE_1H),
            text("more", message_pb2.ROLE_SYSTEM),
            text("a"),
            message_pb2.Message(
                role=message_pb2.ROLE_USER,
                content=[message_pb2.ContentPart(text="b"), message_pb2.ContentPart(text="c")],
                prompt_cache=message_pb2.PROMPT_CACHE_5M,
            ),
        )
        assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        assert "cache_control" not in body["system"][1]
        marks = [block.get("cache_control") for block in body["messages"][0]["content"]]
        assert marks == [None, None, {"type": "ephemeral", "ttl": "5m"}]

    def test_cache_marks_beyond_four_leave_the_last_four(self) -> None:
        body = written(*(text(str(n), prompt_cache=message_pb2.PROMPT_CACHE_5M) for n in range(6)))
        marks = ["cache_control" in block for block in body["messages"][0]["content"]]
        assert marks == [False, False, True, True, True, True]


class TestAnthropicTools:
    @pytest.mark.parametrize(
        ("choice", "expected"),
        [
            (message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_AUTO), {"type": "auto"}),
            (message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_NONE), {"type": "none"}),
            (message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED), {"type": "any"}),
            (message_pb2.ToolChoice(function_name="time"), {"type": "tool", "name": "time"}),
        ],
    )
    def test_choices(self, choice: message_pb2.ToolChoice, expected: Any) -> None:
        assert written(tools=[WEATHER, TIME], tool_choice=choice)["tool_choice"] == expected
        alone = written(tools=[WEATHER, TIME], tool_choice=choice, parallel_tool_calls=False)["tool_choice"]
        one_at_most = {} if expected["type"] == "none" else {"disable_parallel_tool_use": True}
        assert alone == expected | one_at_most

    def test_choice_without_tools_which_the_api_refuses_is_left_out(self) -> None:
        assert "tool_choice" not in written(
            tool_choice=message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_NONE)
        )

    def test_tools_are_shown_to_the_model_when_they_are_allowed(self) -> None:
        choice = message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED, allowed_tools=["time"])
        body = written(tools=[WEATHER, TIME], tool_choice=choice)
        assert [tool["name"] for tool in body["tools"]] == ["time"]
        assert body["tool_choice"] == {"type": "any"}

    def test_tools_of_the_apis_own_stand_beside_ours_and_can_be_chosen_alone(self) -> None:
        own = '{"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":1.0}]}'
        body = written(tools=[TIME], provider_options_json=own)
        assert [tool["name"] for tool in body["tools"]] == ["web_search", "time"]
        choice = message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_NONE)
        alone = written(provider_options_json=own, tool_choice=choice)
        assert (len(alone["tools"]), alone["tool_choice"]) == (1, {"type": "none"})

    @pytest.mark.parametrize("own", ['{"tools":{}}', '{"output_config":[]}'])
    def test_fields_of_the_callers_own_that_cannot_be_joined_with_ours_are_refused(self, own: str) -> None:
        with pytest.raises(InvalidFields, match="provider_options_json"):
            written(
                provider_options_json=own, model=LATEST, tools=[TIME], reasoning_effort="REASONING_EFFORT_LOW"
            )

    def test_tool_without_parameters_takes_an_empty_object(self) -> None:
        assert written(tools=[TIME])["tools"] == [
            {"name": "time", "input_schema": {"type": "object", "properties": {}}}
        ]

    def test_key_order_and_numbers_of_a_schema_are_kept(self) -> None:
        schema = '{"properties":{"z":{"const":1.0},"a":{"const":12345678901234567890}}}'
        tool = message_pb2.Tool(function=message_pb2.FunctionTool(name="t", parameters_json=schema))
        request = pb.CreateCompletionRequest(model=OLD, messages=[text("Hi")], tools=[tool])
        body = msgspec.json.encode(write_request(request, request.model, stream=False)).decode()
        assert f'"input_schema":{schema[:-1]},"type":"object"}}' in body

    def test_strict_is_passed_on(self) -> None:
        schema = '{"type":"object","properties":{},"additionalProperties":false}'
        tool = message_pb2.Tool(
            function=message_pb2.FunctionTool(name="t", parameters_json=schema, strict=True)
        )
        body = written(model=LATEST, tools=[tool])
        assert body["tools"] == [{"name": "t", "input_schema": msgspec.json.decode(schema), "strict": True}]


class TestAnthropicThinking:
    @pytest.mark.parametrize(
        ("fields", "thinking", "max_tokens"),
        [
            ({"reasoning_effort": "REASONING_EFFORT_HIGH"}, 16384, 16384 + 4096),
            ({"reasoning_effort": "REASONING_EFFORT_MINIMAL"}, 1024, 1024 + 4096),
            ({"reasoning_effort": "REASONING_EFFORT_HIGH", "max_tokens": 8000}, 6000, 8000),
            ({"reasoning_effort": "REASONING_EFFORT_LOW", "max_tokens": 1025}, 1024, 1025),
            ({"reasoning_max_tokens": 5000}, 5000, 9096),
            ({"reasoning_max_tokens": 5000, "max_tokens": 5001}, 5000, 5001),
        ],
    )
    def test_budget_is_at_least_1024_and_below_max_tokens(
        self, fields: Any, thinking: int, max_tokens: int
    ) -> None:
        body = written(**fields)
        assert body["thinking"] == {"type": "enabled", "budget_tokens": thinking}
        assert body["max_tokens"] == max_tokens

    @pytest.mark.parametrize(
        "fields",
        [
            {"reasoning_effort": "REASONING_EFFORT_LOW", "max_tokens": 1024},
            {"reasoning_max_tokens": 5000, "max_tokens": 5000},
        ],
    )
    def test_limit_without_room_for_an_answer_is_refused(self, fields: Any) -> None:
        with pytest.raises(InvalidFields, match="max_tokens: must be above"):
            written(**fields)

    @pytest.mark.parametrize("model", [MIDDLE, LATEST, "claude-mythos-preview"])
    def test_newer_models_are_told_the_effort(self, model: str) -> None:
        body = written(model=model, reasoning_effort="REASONING_EFFORT_MAX")
        assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
        assert body["output_config"] == {"effort": "max"}
        assert body["max_tokens"] == 24576 + 4096

    @pytest.mark.parametrize("model", [OLD, LATEST])
    def test_reasoning_that_is_not_wanted_is_said(self, model: str) -> None:
        body = written(model=model, reasoning_effort="REASONING_EFFORT_NONE")
        assert body["thinking"] == {"type": "disabled"}


class TestAnthropicFormats:
    SCHEMA = '{"type":"object","properties":{"z":{"type":"integer"}},"additionalProperties":false}'

    def form(self, **fields: Any) -> pb.ResponseFormat:
        return pb.ResponseFormat(json_schema=pb.JsonSchema(name="n", schema_json=self.SCHEMA, **fields))

    def test_schema_goes_out_in_the_apis_own_field_beside_what_the_caller_put_there(self) -> None:
        body = written(
            model=MIDDLE,
            response_format=self.form(),
            reasoning_effort="REASONING_EFFORT_LOW",
            provider_options_json='{"output_config":{"task_budget":1}}',
        )
        schema = msgspec.json.decode(self.SCHEMA)
        assert body["output_config"] == {
            "task_budget": 1,
            "effort": "low",
            "format": {"type": "json_schema", "schema": schema},
        }
        assert "system" not in body

    def test_schema_keeps_what_the_api_takes_and_says_the_rest_in_words(self) -> None:
        form = self.form()
        day = '{"type":"string","format":"date","minLength":1}'
        form.json_schema.schema_json = f'{{"type":"array","minItems":1,"maxItems":3,"items":{day}}}'
        body = written(model=MIDDLE, response_format=form)
        assert body["output_config"]["format"]["schema"] == {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "format": "date", "description": "minLength 1"},
            "description": "maxItems 3",
        }

    def test_older_model_is_told_the_schema_in_words_after_the_instructions(self) -> None:
        body = written(
            text("rules", message_pb2.ROLE_SYSTEM), text("Hi"), response_format=self.form(description="a z")
        )
        assert "output_config" not in body
        rules, schema, description = (block["text"] for block in body["system"])
        assert rules == "rules"
        assert schema.endswith(self.SCHEMA)
        assert description == "The JSON of the answer is n: a z"

    def test_any_object_is_asked_for_in_words(self) -> None:
        form = pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT)
        assert "JSON object" in written(model=LATEST, response_format=form)["system"][0]["text"]

    def test_text_needs_no_words(self) -> None:
        form = pb.ResponseFormat(kind=pb.ResponseFormat.KIND_TEXT)
        assert "system" not in written(response_format=form)


def test_sampling_at_the_apis_default_is_not_said_because_newer_models_refuse_it() -> None:
    body = written(temperature=1, top_p=1)
    assert not {"temperature", "top_p"} & set(body)
    assert (
        written(temperature=0, top_p=0.5, top_k=1).items()
        >= {"temperature": 0, "top_p": 0.5, "top_k": 1}.items()
    )


def test_caller_is_named_in_the_metadata() -> None:
    assert written(user="u1")["metadata"] == {"user_id": "u1"}


def test_count_leaves_out_what_does_not_change_the_input() -> None:
    request = pb.CreateCompletionRequest(
        model=OLD,
        messages=[text("rules", message_pb2.ROLE_SYSTEM), text("Hi")],
        tools=[TIME],
        temperature=0.5,
        max_tokens=9,
        stop_sequences=["x"],
        user="u",
    )
    assert set(countable(request, request.model)) == {"model", "messages", "system", "tools"}

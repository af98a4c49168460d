"""A model's answer is read, checked against the caller's schema and, where it can be, asked for again."""

import json
import time
from typing import Any

import pytest

from genai_spine.chunks import ChunkBuilder
from genai_spine.errors import InvalidFields, SchemaMismatch, UnsupportedOption
from genai_spine.json_schema import answers
from genai_spine.json_schema.answers import ExpectedAnswer, StreamedAnswer, complete_choice, parsed
from genai_spine.json_schema.describe import with_instruction
from genai_spine.json_schema.rewrite import SchemaRules
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
JSON_OBJECT = pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT)
STRICT = SchemaRules(closed=True, all_required=True, object_only=True)


def user(text: str = "Who?") -> message_pb2.Message:
    return message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text=text)])


def asking(schema: Any = PERSON, **fields: Any) -> pb.CreateCompletionRequest:
    form = pb.ResponseFormat(json_schema=pb.JsonSchema(name="person", schema_json=json.dumps(schema)))
    given = {"provider": "p", "model": "m", "response_format": form, "messages": [user()]}
    return pb.CreateCompletionRequest(**given | fields)


def expected(request: pb.CreateCompletionRequest, rules: SchemaRules | None = None) -> ExpectedAnswer:
    return ExpectedAnswer(request.response_format, rules, "p", "m")


def mismatch(text: str, request: pb.CreateCompletionRequest, **options: Any) -> tuple[str, str]:
    with pytest.raises(SchemaMismatch) as caught:
        parsed(text, expected(request), **options)
    found = caught.value.metadata
    assert (found["provider"], found["model"]) == ("p", "m")
    return found["path"], found["problem"]


def text_of(message: message_pb2.Message) -> str:
    return "".join(part.text for part in message.content)


class TestJsonAnswerReading:
    @pytest.mark.parametrize(
        "around",
        [
            "{}",
            "\ufeff {}\n",
            "```json\n{}\n```",
            "```\n{}```",
            "``` {} ```",
            "Here it is:\n\n```json\n{}\n```\nAnything else?",
            "Sure! {} I hope that helps.",
            "See [1] and {{this}}: {}",
            "The set {{x | x > 1}} is meant. {}",
            '<think>maybe {{"name": 5}}?</think>\n{}',
            '{{"name": 5}} is wrong, {} is right',
            '{{"name": Ann, "x": {{}}}} is broken, {} is not',
        ],
    )
    @pytest.mark.parametrize("answer", ['{"name":"Ann"}', '{ "z": 1.50,\n  "name": "A```b }" , "a": 1E400 }'])
    def test_json_is_found_in_what_models_write_around_it(self, around: str, answer: str) -> None:
        text = around.replace("{{", "\0").replace("}}", "\1").replace("{}", answer)
        assert parsed(text.replace("\0", "{").replace("\1", "}"), expected(asking())) == answer

    @pytest.mark.parametrize(
        "text",
        [
            '{"name": "An',
            '{"name": "Ann"',
            '{"name": "Ann", "more": {"name": "Bob"}, "and',
            '{"name": "Ann", "ok": tr',
            '{"name": "Ann", "n": -',
            '{"name": "Ann", "n": 1.',
            'Sure:\n```json\n{"name": "Ann",',
        ],
    )
    def test_cut_json_is_an_error_and_nothing_inside_it_is_taken(self, text: str) -> None:
        assert mismatch(text, asking()) == ("$", "the answer ends before its JSON is complete")
        limit = "max_tokens cut the answer before its JSON was complete"
        assert mismatch(text, asking(), finish_reason=pb.FINISH_REASON_LENGTH) == ("$", limit)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "the answer is empty"),
            ("<think>so", "the answer is empty"),
            ("I do not know.", "the answer holds no JSON"),
            ('{"name": Ann}', "the JSON is broken: Expecting value at character 9"),
            ('{"name": "Ann", x: {"name": "Bob"}}', "the JSON is broken"),
            ('{"name":' * 3000, "the JSON is nested too deeply"),
        ],
    )
    def test_answer_without_json_is_said_to_hold_none(self, text: str, problem: str) -> None:
        path, found = mismatch(text, asking())
        assert path == "$"
        assert found.startswith(problem)

    def test_problem_is_that_of_the_longest_json(self) -> None:
        assert mismatch('[1] {"name": 5, "why": "not"}', asking()) == ("$.name", "5 is not of type string")

    def test_scalars_are_answers_too(self) -> None:
        assert parsed("```\n5\n```", expected(asking({"type": "integer"}))) == "5"
        assert parsed('"x"', expected(asking({"type": "string"}))) == '"x"'

    @pytest.mark.parametrize(
        "text", ["[1,[2,", '{"', "[", "{ ", "``` ", '{"a":1} ', "[[[[", "``", "\\", '["\\u']
    )
    def test_hostile_answers_are_read_in_bounded_time(self, text: str) -> None:
        started = time.process_time()
        with pytest.raises(SchemaMismatch):
            parsed(text * (200_000 // len(text)), expected(asking()))
        assert time.process_time() - started < 3


class TestJsonAnswerShape:
    def test_object_around_the_answer_is_taken_off(self) -> None:
        asked = asking({"type": "array", "items": {"type": "integer"}})
        assert parsed('{"value": [1, 2]}', expected(asked, STRICT)) == "[1,2]"
        assert parsed("[1, 2]", expected(asked, STRICT)) == "[1, 2]"
        assert parsed("[1, 2]", expected(asked)) == "[1, 2]"

    def test_fillers_are_taken_out_and_the_rest_keeps_its_order_and_digits(self) -> None:
        properties = {"b": {"type": "string"}, "a": {"type": ["number", "null"]}, "z": {}}
        asked = asking({"type": "object", "properties": properties})
        text = '{"z":1.50,"b":null,"a":null,"big":123456789012345678901234567890}'
        assert (
            parsed(text, expected(asked, STRICT))
            == '{"z":1.50,"a":null,"big":123456789012345678901234567890}'
        )

    def test_original_schema_judges_and_not_the_portable_one(self) -> None:
        asked = asking({"type": "object", "properties": {"age": {"type": "integer", "maximum": 130}}})
        assert mismatch('{"age": 131}', asked) == ("$.age", "131 is greater than the maximum of 130")

    def test_json_object_without_a_schema_is_one_object(self) -> None:
        asked = asking(response_format=JSON_OBJECT)
        assert parsed('```json\n{"any": 1}\n```', expected(asked)) == '{"any": 1}'
        assert mismatch("[1]", asked) == ("$", "must be a JSON object")


class TestJsonAnswerChoices:
    def test_parsed_json_is_set(self) -> None:
        message = message_pb2.Message(
            content=[message_pb2.ContentPart(text='{"name":'), message_pb2.ContentPart(text='"Ann"}')]
        )
        choice = pb.Choice(message=message, finish_reason=pb.FINISH_REASON_STOP)
        complete_choice(choice, expected(asking()))
        assert choice.parsed_json == '{"name":"Ann"}'

    @pytest.mark.parametrize(
        "choice",
        [
            pb.Choice(message=message_pb2.Message(content=[message_pb2.ContentPart(refusal="No.")])),
            pb.Choice(message=message_pb2.Message(tool_calls=[message_pb2.ToolCall(id="a")])),
            pb.Choice(finish_reason=pb.FINISH_REASON_CONTENT_FILTER),
        ],
    )
    def test_refusals_calls_and_filtered_answers_are_left_alone(self, choice: pb.Choice) -> None:
        before = pb.Choice()
        before.CopyFrom(choice)
        complete_choice(choice, expected(asking()))
        assert choice == before

    def test_stream_is_checked_at_its_end(self) -> None:
        collected = StreamedAnswer(expected(asking()))
        for pieces_of in (['{"na', "{"], ['me":"Ann"}', '"name":"Bob"}']):
            deltas = [pb.ChoiceDelta(index=index, content=text) for index, text in enumerate(pieces_of)]
            collected.take(pb.CompletionChunk(choices=deltas))
        assert [(delta.index, delta.parsed_json) for delta in collected.checked()] == [
            (0, '{"name":"Ann"}'),
            (1, '{"name":"Bob"}'),
        ]

    def test_chunk_keeps_the_json_that_it_brings(self) -> None:
        collected = StreamedAnswer(expected(asking()))
        chunk = pb.CompletionChunk(choices=[pb.ChoiceDelta(index=0, content="{")])
        assert collected.take(chunk)
        assert chunk == pb.CompletionChunk(choices=[pb.ChoiceDelta(index=0, content="{")])
        with pytest.raises(SchemaMismatch):
            collected.checked()

    @pytest.mark.parametrize("size", [1, 3, 1000])
    @pytest.mark.parametrize(
        ("text", "reasoning"),
        [
            ('{"name":"Ann"}', ""),
            (' \n{"name":"Ann"}\n', ""),
            ('\ufeff{"name":"Ann"}', ""),
            ('<think>so {"name":"Bob"} no</think>\n\n{"name":"Ann"}', 'so {"name":"Bob"} no'),
            ('<think></think>```json\n{"name":"Ann"}\n```', ""),
            ('```json\n{"name":"Ann"}\n```\nThat is all.', ""),
            ('```{"name":"Ann"}```', ""),
            ('```JSON  \r\n{"name":"Ann"}\r\n```', ""),
            ('{"name":"Ann"}\n\nHope this {helps}!', ""),
            ('Sure, here {it} is: {"name":"Ann"} Bye.', ""),
            ('Sure:\n```json\n{"name":"Ann"}\n```', ""),
            ('thoughts first</think>{"name":"Ann"}', ""),
        ],
    )
    def test_json_of_an_answer_is_its_content_whole_and_streamed(
        self, text: str, reasoning: str, size: int
    ) -> None:
        collected, sent = StreamedAnswer(expected(asking())), ChunkBuilder()
        deltas = [pb.ChoiceDelta(content=text[at : at + size]) for at in range(0, len(text), size)]
        for delta in (*deltas, pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP)):
            chunk = pb.CompletionChunk(choices=[delta])
            if collected.take(chunk):
                assert not sent.choice().delta.finish_reason
                sent.add(chunk)
        sent.add(pb.CompletionChunk(choices=collected.checked()))
        streamed = sent.completion().choices[0]
        whole = pb.Choice(
            message=message_pb2.Message(content=[message_pb2.ContentPart(text=text)]),
            finish_reason=pb.FINISH_REASON_STOP,
        )
        complete_choice(whole, expected(asking()))
        for choice in (streamed, whole):
            assert text_of(choice.message).strip() == choice.parsed_json == '{"name":"Ann"}'
            assert (choice.message.reasoning, choice.finish_reason) == (reasoning, pb.FINISH_REASON_STOP)

    @pytest.mark.parametrize("size", [1, 5, 1000])
    def test_strings_of_the_json_hide_their_brackets(self, size: int) -> None:
        text = '{"name":"}\\\\\\"}{[","x":[{"y":"\\u007d"},[]]} and more }'
        collected, sent = StreamedAnswer(expected(asking(response_format=JSON_OBJECT))), ""
        for at in range(0, len(text), size):
            chunk = pb.CompletionChunk(choices=[pb.ChoiceDelta(content=text[at : at + size])])
            collected.take(chunk)
            sent += chunk.choices[0].content
        assert sent == text.partition(" and")[0]

    def test_stream_that_only_looked_like_json_is_a_mismatch(self) -> None:
        collected = StreamedAnswer(expected(asking()))
        collected.take(pb.CompletionChunk(choices=[pb.ChoiceDelta(content='{it} is {"name":"Ann"}')]))
        with pytest.raises(SchemaMismatch, match="other words"):
            collected.checked()

    def test_words_before_a_call_are_no_json_and_go_out(self) -> None:
        collected = StreamedAnswer(expected(asking()))
        words = pb.CompletionChunk(choices=[pb.ChoiceDelta(content="Let me look.")])
        assert not collected.take(words)
        call = pb.CompletionChunk(choices=[pb.ChoiceDelta(tool_calls=[pb.ToolCallDelta(id="a", name="f")])])
        assert collected.take(call)
        assert call.choices[0].content == "Let me look."
        end = pb.CompletionChunk(choices=[pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_TOOL_CALLS)])
        assert collected.take(end)
        assert end.choices[0].finish_reason
        assert collected.checked() == []

    def test_words_of_a_filtered_answer_go_out_at_its_end(self) -> None:
        collected = StreamedAnswer(expected(asking()))
        filtered = pb.ChoiceDelta(content="I must", finish_reason=pb.FINISH_REASON_CONTENT_FILTER)
        assert not collected.take(pb.CompletionChunk(choices=[filtered]))
        assert collected.checked() == [
            pb.ChoiceDelta(content="I must", finish_reason=pb.FINISH_REASON_CONTENT_FILTER)
        ]


class TestJsonAnswerRequests:
    def test_bad_schemas_are_refused_before_anything_is_spent(self) -> None:
        with pytest.raises(InvalidFields) as refusal:
            answers.check(asking({"type": "persona"}))
        assert refusal.value.metadata["field"] == "response_format.json_schema.schema_json"
        answers.check(asking())
        answers.check(pb.CreateCompletionRequest())

    def test_json_alone_is_read(self) -> None:
        assert answers.wants_json(asking())
        assert answers.wants_json(asking(response_format=JSON_OBJECT))
        text = pb.ResponseFormat(kind=pb.ResponseFormat.KIND_TEXT)
        assert not answers.wants_json(asking(response_format=text))
        assert not answers.wants_json(pb.CreateCompletionRequest())
        hint = asking()
        hint.response_format.json_schema.unchecked = True
        assert not answers.wants_json(hint)

    def test_schema_is_said_in_the_system_message(self) -> None:
        system = message_pb2.Message(
            role=message_pb2.ROLE_SYSTEM, content=[message_pb2.ContentPart(text="Be nice")]
        )
        request = asking(messages=[system, user()])
        told = with_instruction(request, {"response_format"}, "p")
        assert text_of(told.messages[0]).startswith("Be nice\n\nAnswer with one JSON value")
        assert text_of(told.messages[0]).endswith(request.response_format.json_schema.schema_json)
        assert told.response_format == JSON_OBJECT
        assert len(told.messages) == 2
        assert text_of(request.messages[0]) == "Be nice"

    def test_system_message_is_made_where_there_is_none(self) -> None:
        told = with_instruction(asking(), set(), "p")
        assert [message.role for message in told.messages] == [message_pb2.ROLE_SYSTEM, message_pb2.ROLE_USER]
        assert not told.HasField("response_format")

    def test_provider_is_not_held_to_an_object_when_a_list_is_wanted(self) -> None:
        told = with_instruction(asking({"type": "array"}), {"response_format"}, "p")
        assert not told.HasField("response_format")

    def test_bare_text_gets_the_schema_in_front(self) -> None:
        request = asking(messages=[], prompt=pb.TextPrompt(text="Who?"))
        assert with_instruction(request, set(), "p").prompt.text.endswith('["name"]}\n\nWho?')
        tokens = pb.TextPrompt(tokens=pb.TokenList(tokens=[1]))
        with pytest.raises(UnsupportedOption):
            with_instruction(asking(messages=[], prompt=tokens), set(), "p")

    def test_repair_shows_the_answer_and_the_problem(self) -> None:
        request = asking(choice_count=2)
        again = answers.repair_request(request, '{"name": 5}', "$.name: 5 is not of type string")
        assert [message.role for message in again.messages] == [
            message_pb2.ROLE_USER,
            message_pb2.ROLE_ASSISTANT,
            message_pb2.ROLE_USER,
        ]
        assert text_of(again.messages[1]) == '{"name": 5}'
        assert "$.name: 5 is not of type string" in text_of(again.messages[2])
        assert again.response_format == request.response_format
        assert not again.HasField("choice_count")
        assert len(request.messages) == 1

    def test_repair_of_an_empty_answer_has_no_empty_message(self) -> None:
        again = answers.repair_request(asking(), "", "$: the answer is empty")
        assert [message.role for message in again.messages] == [message_pb2.ROLE_USER, message_pb2.ROLE_USER]

    def test_repair_of_a_bare_text_is_a_conversation(self) -> None:
        request = asking(messages=[], prompt=pb.TextPrompt(text="Who?"))
        again = answers.repair_request(request, "x", "$: the answer holds no JSON")
        assert not again.HasField("prompt")
        assert [text_of(message) for message in again.messages][:2] == ["Who?", "x"]

    def test_answer_that_a_limit_cut_is_not_tried_again(self) -> None:
        def error_of(text: str) -> SchemaMismatch:
            with pytest.raises(SchemaMismatch) as caught:
                parsed(text, expected(asking()), pb.FINISH_REASON_LENGTH)
            return caught.value

        assert not answers.can_be_repaired(asking(), error_of('{"name'))
        assert answers.can_be_repaired(asking(), error_of('{"name":5}'))
        tokens = pb.TextPrompt(tokens=pb.TokenList(tokens=[1]))
        assert not answers.can_be_repaired(asking(messages=[], prompt=tokens), error_of('{"name":5}'))

"""What is asked about a symbol, what is read from the answer, and how long is waited between attempts."""

import json

import jsonschema
import pytest

from genai_spine.errors import ContentFiltered, InvalidFields, ProviderError, ProviderRateLimited
from genai_spine.symbols.prompt import Prompt
from genai_spine.symbols.question import JobRules, Question, UnusableAnswer, summary
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

PROMPT = Prompt("What is it for?", 5)


def asked(model: str) -> pb.CreateCompletionRequest:
    return Question(PROMPT, model).request("name")


def answered(text: str = "", **fields: object) -> pb.Completion:
    message = message_pb2.Message(role=message_pb2.ROLE_ASSISTANT)
    message.content.add(text=text)
    return pb.Completion(provider="openai", choices=[pb.Choice(message=message, **fields)])  # type: ignore[arg-type]


class TestRequest:
    def test_structured_output_has_one_field(self) -> None:
        request = asked("gpt-4o-mini")
        form = request.response_format.json_schema
        schema = json.loads(form.schema_json)
        assert list(schema["properties"]) == ["summary"]
        assert form.strict
        jsonschema.validate({"summary": "x"}, schema)

    def test_temperature_and_length(self) -> None:
        request = asked("gpt-4o-mini")
        assert (request.model, request.temperature, request.max_tokens) == ("name", 0.3, 150)
        assert not request.reasoning_effort

    @pytest.mark.parametrize(
        ("model", "effort"),
        [
            ("gpt-5-nano", pb.REASONING_EFFORT_MINIMAL),
            ("gpt-5-nano-2025-08-07", pb.REASONING_EFFORT_MINIMAL),
            ("openai/gpt-5", pb.REASONING_EFFORT_MINIMAL),
            ("gpt-5.2-mini", pb.REASONING_EFFORT_NONE),
            ("o3-mini", pb.REASONING_EFFORT_LOW),
            ("gpt-5-codex", pb.REASONING_EFFORT_UNSPECIFIED),
        ],
    )
    def test_a_model_that_thinks_gets_no_temperature_and_is_told_to_think_little(
        self, model: str, effort: "pb.ReasoningEffort"
    ) -> None:
        request = asked(model)
        assert not request.HasField("temperature")
        assert request.reasoning_effort == effort

    def test_a_model_for_chats_gets_the_temperature(self) -> None:
        assert asked("gpt-5-chat-latest").temperature == 0.3
        assert asked("olmo2").temperature == 0.3


class TestSummary:
    @pytest.mark.parametrize(
        "text",
        [
            '{"summary": "It parses."}',
            '{"summary": "  It parses.\\n"}',
            'Here it is:\n```json\n{"summary": "It parses."}\n```',
        ],
    )
    def test_it_is_the_field(self, text: str) -> None:
        assert summary(answered(text)) == "It parses."

    @pytest.mark.parametrize("text", ["", "It parses.", "[]", '{"summary": ""}', '{"summary": 3}', "{}"])
    def test_without_the_field_there_is_none(self, text: str) -> None:
        with pytest.raises(UnusableAnswer) as caught:
            summary(answered(text))
        assert isinstance(caught.value.error, ProviderError)
        assert "has no summary" in str(caught.value.error)

    def test_a_cut_answer_says_so(self) -> None:
        with pytest.raises(UnusableAnswer, match="cut at 150 tokens"):
            summary(answered('{"summary": "It pa', finish_reason=pb.FINISH_REASON_LENGTH))

    def test_a_refusal_is_told(self) -> None:
        refused = pb.Completion(choices=[pb.Choice()])
        refused.choices[0].message.content.add(refusal="I will not.")
        with pytest.raises(UnusableAnswer) as caught:
            summary(refused)
        assert isinstance(caught.value.error, ContentFiltered)

    def test_an_answer_without_a_choice_is_unusable(self) -> None:
        with pytest.raises(UnusableAnswer):
            summary(pb.Completion())


class TestWaits:
    def test_waits_double_up_to_the_longest(self) -> None:
        error = ProviderError(provider="p", provider_message="m")
        waits = [JobRules().wait_s(attempt, error) for attempt in range(1, 9)]
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]

    def test_the_configured_waits_are_used(self) -> None:
        rules = JobRules(first_wait_s=0.5, max_wait_s=1.5)
        error = InvalidFields([("a", "b")])
        assert [rules.wait_s(attempt, error) for attempt in (1, 2, 3)] == [0.5, 1.0, 1.5]

    def test_a_provider_may_ask_for_more_up_to_the_longest(self) -> None:
        def limited(seconds: float) -> ProviderRateLimited:
            return ProviderRateLimited(provider="p", provider_message="m", retry_after_s=seconds)

        rules = JobRules()
        assert [rules.wait_s(1, limited(seconds)) for seconds in (0.1, 7, 900)] == [1, 7, 60]

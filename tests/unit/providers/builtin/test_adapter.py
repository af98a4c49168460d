"""The built-in provider: extractive answers, hashed embeddings, honest refusals."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.errors import InvalidFields, ModelNotFound, UnsupportedOperation, UnsupportedOption
from genai_spine.providers.base import Endpoint
from genai_spine.providers.builtin.adapter import MAX_CHARS, MAX_DIMENSIONS, Builtin
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.validation import check
from tests.direct import direct

ARTICLE = (
    "The James Webb Space Telescope launched in December 2021 from French Guiana. It carries a mirror of 6.5 "
    "metres made of gold-coated beryllium. The weather that morning was warm. Astronomers use the telescope "
    "to observe the first galaxies in infrared light. A sunshield keeps the instruments of the telescope "
    "cold. Did many people watch the launch? The telescope orbits the second Lagrange point."
)
SENTENCES = re.split(r"(?<=[.?]) ", ARTICLE)
LONG = " ".join(f"Report {number} says that the river rose by {number} metres." for number in range(4_500))
JSON = pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT)


@pytest.fixture
def builtin() -> Builtin:
    return Builtin(Endpoint(name="builtin"))


def message_of(text: str, role: message_pb2.Role = message_pb2.ROLE_USER) -> message_pb2.Message:
    return message_pb2.Message(role=role, content=[message_pb2.ContentPart(text=text)])


def asking(text: str, **fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(model="extractive", messages=[message_of(text)], **fields)


def embedding(*texts: str, **fields: Any) -> pb.CreateEmbeddingsRequest:
    inputs = [pb.EmbeddingInput(text=text) for text in texts]
    return pb.CreateEmbeddingsRequest(model="hashing", inputs=inputs, **fields)


async def answer(builtin: Builtin, text: str, **fields: Any) -> pb.Choice:
    return (await direct(builtin).complete(asking(text, **fields), Call())).choices[0]


async def reply(builtin: Builtin, text: str, **fields: Any) -> str:
    return (await answer(builtin, text, **fields)).message.content[0].text


async def test_summary_is_sentences_of_the_text_in_their_order(builtin: Builtin) -> None:
    text = await reply(builtin, ARTICLE)
    places = [ARTICLE.index(sentence) for sentence in SENTENCES if sentence in text]
    assert len(places) == 3
    assert places == sorted(places)
    assert " ".join(sentence for sentence in SENTENCES if sentence in text) == text


async def test_same_request_gets_the_same_answer(builtin: Builtin) -> None:
    warm = asking(ARTICLE, temperature=2, top_p=0.5, top_k=3, seed=7, presence_penalty=2)
    direct(builtin).check_options(warm)
    completions = [await direct(builtin).complete(request, Call()) for request in (asking(ARTICLE), warm)]
    completions.append(await direct(Builtin(Endpoint(name="other"))).complete(asking(ARTICLE), Call()))
    assert len({completion.choices[0].SerializeToString() for completion in completions}) == 1
    assert len({completion.id for completion in completions}) == 3


async def test_short_message_gets_an_honest_note(builtin: Builtin) -> None:
    text = await reply(builtin, "Say hello in French")
    assert "no language model answered" in text
    assert "Key phrases seen: French." in text
    assert "GENAI_OPENAI_API_KEY" in text
    assert len(text) < 400


async def test_instruction_before_the_text_is_not_part_of_the_summary(builtin: Builtin) -> None:
    bare = await reply(builtin, ARTICLE)
    assert await reply(builtin, f"Please summarize this article in three sentences:\n\n{ARTICLE}") == bare


async def test_last_user_message_is_read(builtin: Builtin) -> None:
    request = asking("One. Two. Three.")
    request.messages.insert(0, message_of("Be brief.", message_pb2.ROLE_SYSTEM))
    request.messages.extend([message_of("An answer.", message_pb2.ROLE_ASSISTANT), message_of(ARTICLE)])
    request.messages.append(message_of("Result. Of a. Tool.", message_pb2.ROLE_TOOL))
    completion = await direct(builtin).complete(request, Call())
    assert completion.choices[0].message.content[0].text == await reply(builtin, ARTICLE)


async def test_prompt_is_read_like_a_message(builtin: Builtin) -> None:
    request = pb.CreateCompletionRequest(model="extractive", prompt=pb.TextPrompt(text=ARTICLE))
    direct(builtin).check_options(request)
    completion = await direct(builtin).complete(request, Call())
    assert completion.choices[0].message.content[0].text == await reply(builtin, ARTICLE)


async def test_summary_shrinks_to_fit_max_tokens(builtin: Builtin) -> None:
    choice = await answer(builtin, ARTICLE, max_tokens=20)
    assert choice.message.content[0].text in SENTENCES
    assert choice.finish_reason == pb.FINISH_REASON_STOP


@pytest.mark.parametrize("text", [ARTICLE, "Hi"])
async def test_answer_that_cannot_fit_is_cut(builtin: Builtin, text: str) -> None:
    completion = await direct(builtin).complete(asking(text, max_tokens=4), Call())
    assert completion.usage.output_tokens == 4
    assert completion.choices[0].finish_reason == pb.FINISH_REASON_LENGTH
    whole = await reply(builtin, text)
    assert completion.choices[0].message.content[0].text.split()[0] in whole


async def test_answer_ends_before_the_first_stop_sequence(builtin: Builtin) -> None:
    whole = await reply(builtin, ARTICLE)
    choice = await answer(builtin, ARTICLE, stop_sequences=["nowhere", "Telescope", "Space"])
    assert choice.message.content[0].text == whole[: whole.index("Space")]
    assert choice.finish_reason == pb.FINISH_REASON_STOP


async def test_stop_sequence_at_the_start_leaves_nothing(builtin: Builtin) -> None:
    request = asking("Hi", stop_sequences=["This"])
    completion = await direct(builtin).complete(request, Call())
    assert not completion.choices[0].message.content
    assert completion.usage.output_tokens == 0
    streamed = await fold(direct(builtin).stream(request, Call()))
    assert streamed.choices == completion.choices


async def test_choices_are_equal_and_all_counted(builtin: Builtin) -> None:
    one = await direct(builtin).complete(asking(ARTICLE), Call())
    three = await direct(builtin).complete(asking(ARTICLE, choice_count=3), Call())
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert len({choice.message.SerializeToString() for choice in three.choices}) == 1
    assert three.usage.output_tokens == 3 * one.usage.output_tokens
    assert three.usage.input_tokens == one.usage.input_tokens


async def test_json_object_has_summary_and_keywords(builtin: Builtin) -> None:
    answered = json.loads(await reply(builtin, ARTICLE, response_format=JSON))
    assert answered["summary"] == await reply(builtin, ARTICLE)
    assert answered["keywords"][0] == "James Webb Space"
    assert len(answered["keywords"]) <= 10
    assert json.loads(await reply(builtin, "", response_format=JSON)) == {"summary": "", "keywords": []}


@pytest.mark.parametrize(
    "fields",
    [{}, {"choice_count": 3}, {"max_tokens": 7}, {"stop_sequences": ["mirror"]}, {"response_format": JSON}],
)
async def test_stream_spells_out_the_whole_answer(builtin: Builtin, fields: dict[str, Any]) -> None:
    request = asking(ARTICLE, **fields)
    whole, streamed = (
        await direct(builtin).complete(request, Call()),
        await fold(direct(builtin).stream(request, Call())),
    )
    for completion in (whole, streamed):
        assert completion.id.startswith("builtin-")
        assert completion.create_time.seconds > 0
        completion.ClearField("id")
        completion.ClearField("create_time")
    assert streamed == whole


async def test_stream_comes_in_small_pieces_with_usage_at_the_end(builtin: Builtin) -> None:
    chunks = [chunk async for chunk in direct(builtin).stream(asking(ARTICLE), Call())]
    texts = [chunk.choices[0].content for chunk in chunks]
    assert len(chunks) > 5
    assert all(0 < len(text.split()) <= 5 for text in texts[:-1])
    assert [chunk.HasField("usage") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices[0].finish_reason == pb.FINISH_REASON_STOP
    assert len({chunk.id for chunk in chunks}) == 1


async def test_stream_lets_others_run_between_its_pieces(builtin: Builtin) -> None:
    order: list[str] = []

    async def read(name: str, chunks: AsyncIterator[pb.CompletionChunk]) -> None:
        async for _ in chunks:
            order.append(name)

    async with asyncio.TaskGroup() as group:
        for name in "ab":
            group.create_task(read(name, direct(builtin).stream(asking("Hi"), Call())))
    assert order[:6] == ["a", "b", "a", "b", "a", "b"]


async def test_usage_adds_up_and_counts_every_message(builtin: Builtin) -> None:
    request = asking("Hello, world!")
    request.messages.insert(0, message_of("Be kind.", message_pb2.ROLE_SYSTEM))
    usage = (await direct(builtin).complete(request, Call())).usage
    assert usage.input_tokens == usage.uncached_input_tokens == 4 + 3
    assert usage.output_tokens == usage.visible_output_tokens > 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_provenance == usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED


async def test_text_is_read_up_to_its_limit(builtin: Builtin) -> None:
    start = f"{ARTICLE} " * (MAX_CHARS // (len(ARTICLE) + 1) + 1)
    tail = " The zebra escaped. The zebra ate. The zebra slept. Zebra, zebra, zebra."
    assert await reply(builtin, start[:MAX_CHARS] + tail) == await reply(builtin, start[:MAX_CHARS])


@pytest.mark.parametrize(
    "text", ["", " ", "😀" * 50, "?!" * 500, "x" * 1_000_000, "\u202eمرحبا", "东京。" * 900]
)
async def test_odd_text_is_answered(builtin: Builtin, text: str) -> None:
    completion = await direct(builtin).complete(asking(text), Call())
    assert completion.choices[0].message.content[0].text
    response = await direct(builtin).embed(embedding(text), Call())
    assert any(response.embeddings[0].values)


async def test_event_loop_turns_while_a_long_text_is_read(builtin: Builtin) -> None:
    assert len(LONG) > MAX_CHARS
    task = asyncio.create_task(direct(builtin).complete(asking(LONG), Call()))
    turns = 0
    while not task.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert task.result().choices[0].message.content
    assert turns > 20


async def test_long_texts_are_read_one_at_a_time(builtin: Builtin, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = threading.Lock()

    def count(text: str) -> int:
        assert reading.acquire(blocking=False)
        threading.Event().wait(0.01)
        reading.release()
        return 1

    monkeypatch.setattr("genai_spine.providers.builtin.adapter.extractive.count_tokens", count)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(direct(builtin).complete(asking(ARTICLE * 4), Call()))


async def test_network_is_not_used(builtin: Builtin, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was used")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    await direct(builtin).complete(asking(ARTICLE * 3), Call())
    await direct(builtin).embed(embedding(ARTICLE), Call())
    await builtin.list_models()
    await builtin.health()
    await builtin.close()


async def test_text_never_reaches_the_log(builtin: Builtin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    for text in (ARTICLE, "", "a" * 5_000, "1 2 3. 4 5 6. 7 8 9."):
        await direct(builtin).complete(asking(text), Call())
    assert not [record for record in caplog.records if record.name.startswith("yake")]


REFUSED = {
    "tools": asking("Hi", tools=[message_pb2.Tool(function=message_pb2.FunctionTool(name="f"))]),
    "logit_bias": asking("Hi", logit_bias={1: 1}),
    "logprobs": asking("Hi", logprobs=True),
    "reasoning_effort": asking("Hi", reasoning_effort=pb.REASONING_EFFORT_HIGH),
    "response_format.json_schema": asking(
        "Hi", response_format=pb.ResponseFormat(json_schema=pb.JsonSchema(name="a", schema_json="{}"))
    ),
    "messages[0].content": pb.CreateCompletionRequest(
        messages=[
            message_pb2.Message(
                role=message_pb2.ROLE_USER,
                content=[
                    message_pb2.ContentPart(image=message_pb2.ImagePart(url="https://example.org/a.png"))
                ],
            )
        ]
    ),
    "prompt.suffix": pb.CreateCompletionRequest(prompt=pb.TextPrompt(text="x", suffix="y")),
    "prompt": pb.CreateCompletionRequest(prompt=pb.TextPrompt(tokens=pb.TokenList(tokens=[1]))),
}


@pytest.mark.parametrize(("field", "request_"), REFUSED.items(), ids=REFUSED.keys())
def test_option_that_cannot_be_honoured_is_refused(
    builtin: Builtin, field: str, request_: pb.CreateCompletionRequest
) -> None:
    check(request_)
    with pytest.raises(UnsupportedOption) as caught:
        direct(builtin).check_options(request_)
    assert caught.value.metadata["field"] == field


def test_options_are_fields_of_the_request() -> None:
    assert Builtin.OPTIONS.keys() <= set(pb.CreateCompletionRequest.DESCRIPTOR.fields_by_name)
    assert Builtin.LOCAL


@pytest.mark.parametrize("model", ["", "gpt-4o", "hashing"])
async def test_unknown_model_is_not_found_and_the_known_ones_are_named(builtin: Builtin, model: str) -> None:
    request = pb.CreateCompletionRequest(model=model, messages=[message_of("Hi")])
    known = "builtin has extractive and pii-patterns for completions and hashing for embeddings"
    with pytest.raises(ModelNotFound, match=known):
        await direct(builtin).complete(request, Call())
    with pytest.raises(ModelNotFound):
        await anext(aiter(direct(builtin).stream(request, Call())))
    with pytest.raises(ModelNotFound):
        await direct(builtin).embed(pb.CreateEmbeddingsRequest(model="extractive"), Call())


async def test_embeddings_come_in_order_with_usage(builtin: Builtin) -> None:
    response = await direct(builtin).embed(embedding("Hello, world!", "Goodbye."), Call())
    assert [entry.index for entry in response.embeddings] == [0, 1]
    assert [len(entry.values) for entry in response.embeddings] == [256, 256]
    alone = await direct(builtin).embed(embedding("Goodbye."), Call())
    assert response.embeddings[1].values == alone.embeddings[0].values
    assert response.model == "hashing"
    assert response.usage.input_tokens == response.usage.total_tokens == 4 + 2
    assert response.usage.output_tokens == 0


async def test_embeddings_have_the_asked_dimensions(builtin: Builtin) -> None:
    for dimensions in (1, 64, MAX_DIMENSIONS):
        response = await direct(builtin).embed(embedding("Hello", dimensions=dimensions), Call())
        assert len(response.embeddings[0].values) == dimensions
        assert sum(value * value for value in response.embeddings[0].values) == pytest.approx(1)
    with pytest.raises(InvalidFields, match="dimensions: must be at most 4096 for builtin, got 4097"):
        await direct(builtin).embed(embedding("Hello", dimensions=MAX_DIMENSIONS + 1), Call())


async def test_token_ids_cannot_be_embedded(builtin: Builtin) -> None:
    request = embedding("Hello")
    request.inputs.add(tokens=pb.TokenList(tokens=[1]))
    with pytest.raises(UnsupportedOption) as caught:
        await direct(builtin).embed(request, Call())
    assert caught.value.metadata["field"] == "inputs[1].tokens"


async def test_model_cards_say_what_the_models_are_not(builtin: Builtin) -> None:
    models = {model.id: model for model in await builtin.list_models()}
    pii = models.pop("pii-patterns")
    assert pii.description.startswith("Not a language model.")
    assert (list(pii.capabilities), pii.supports_streaming) == (["chat"], True)
    assert not pii.HasField("context_length")
    assert models.keys() == {"extractive", "hashing"}
    assert models["extractive"].description.startswith("Not a language model.")
    assert models["hashing"].description.startswith("Not a trained model.")
    assert all(str(MAX_CHARS) in model.description for model in models.values())
    assert list(models["extractive"].capabilities) == ["chat"]
    assert list(models["hashing"].capabilities) == ["embeddings"]
    assert models["extractive"].supports_streaming
    assert all(model.context_length == model.context_window > 0 for model in models.values())


@pytest.mark.parametrize("work", ["extract", "classify", "compare", "rewrite-casual", "translate"])
async def test_work_that_needs_a_language_model_is_refused(builtin: Builtin, work: str) -> None:
    call = Call(attribution=Execution(capability=work))
    with pytest.raises(UnsupportedOperation, match=f"does not offer {work}: it is no language model"):
        await direct(builtin).complete(asking(ARTICLE), call)


@pytest.mark.parametrize("work", ["summarize", "infer-title", "rewrite-summarize"])
async def test_short_text_is_its_own_summary_where_work_is_asked_for(builtin: Builtin, work: str) -> None:
    call = Call(attribution=Execution(capability=work))
    completion = await direct(builtin).complete(asking("Summarize this text:\n\nOslo votes. June."), call)
    assert completion.choices[0].message.content[0].text == "Oslo votes. June."


async def test_prompt_without_a_capability_is_answered_as_ever(builtin: Builtin) -> None:
    completion = await direct(builtin).complete(asking("Hello."), Call(attribution=Execution(prompt_id="p")))
    assert "no language model answered" in completion.choices[0].message.content[0].text

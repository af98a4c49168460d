"""Items of a batch: templates filled from inputs, ids, and what is refused."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from genai_spine.errors import InvalidFields
from genai_spine.runs.batches import batch_items
from genai_spine.v1.batch_pb2 import Batch, BatchItem
from genai_spine.v1.capability_service_pb2 import ClassifyRequest, SummarizeRequest
from genai_spine.v1.completion_service_pb2 import CreateCompletionRequest
from genai_spine.v1.item_work_pb2 import ItemWork
from genai_spine.v1.message_pb2 import ROLE_USER, ContentPart, Message
from genai_spine.v1.work_pb2 import Work


def summary(text: str, **fields: Any) -> ItemWork:
    return ItemWork(summarize=SummarizeRequest(content=text, **fields))


def given(**values: Any) -> Struct:
    found = Struct()
    found.update(values)
    return found


async def rows_of(**fields: Any) -> list[dict[str, Any]]:
    items = await batch_items.items_of(Work(batch=Batch(**fields)))
    return [dict(row) for row in items.rows]


async def problems_of(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidFields) as refused:
        await rows_of(**fields)
    return refused.value.violations


async def test_names_are_replaced_in_every_text_of_the_request():
    template = ItemWork(
        completion=CreateCompletionRequest(
            model="{{model}}",
            messages=[Message(role=ROLE_USER, content=[ContentPart(text="Say {{what}}, {{ what }}!")])],
            stop_sequences=["{{what}}"],
            cost_labels={"for": "{{who}}"},
            temperature=0.5,
        )
    )
    [row] = await rows_of(template=template, inputs=[given(model="m", what="hello", who="ann")])
    made = ItemWork.FromString(row["work"]).completion
    assert (made.model, made.messages[0].content[0].text) == ("m", "Say hello, hello!")
    assert (list(made.stop_sequences), dict(made.cost_labels), made.temperature) == (
        ["hello"],
        {"for": "ann"},
        0.5,
    )
    assert template.completion.model == "{{model}}", "the template stays as it is"


async def test_names_are_replaced_in_structs_too():
    options = given(focus="the {{topic}}")
    template = ItemWork(summarize=SummarizeRequest(content="{{text}}", options=options))
    [row] = await rows_of(template=template, inputs=[given(text="A text.", topic="money")])
    assert ItemWork.FromString(row["work"]).summarize.options["focus"] == "the money"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a text", "a text"),
        (3, "3"),
        (0.5, "0.5"),
        (True, "true"),
        (["a", 1], '["a", 1]'),
        ({"name": "Müller"}, '{"name": "Müller"}'),
        ("{{text}}", "{{text}}"),  # nothing is replaced in a value
    ],
)
async def test_values_become_text(value: Any, text: str):
    [row] = await rows_of(template=summary("<{{text}}>"), inputs=[given(text=value)])
    assert ItemWork.FromString(row["work"]).summarize.content == f"<{text}>"


async def test_missing_unknown_and_null_names_are_named_with_their_input():
    inputs = [given(text="a"), given(), given(text="a", other=1), given(text=None)]
    problems = await problems_of(template=summary("{{text}}"), inputs=inputs)
    assert [path for path, _ in problems] == [
        "work.batch.inputs[1].text",
        "work.batch.inputs[2].other",
        "work.batch.inputs[3].text",
    ]


async def test_rules_of_an_item_are_checked_after_its_names_are_replaced():
    template = ItemWork(
        classify=ClassifyRequest(content="{{text}}", categories=["a", "b"], model="{{model}}")
    )
    inputs = [given(text="a", model="m"), given(text="a", model="m" * 300)]
    [(path, problem)] = await problems_of(template=template, inputs=inputs)
    assert path == "work.batch.inputs[1]"
    assert problem.startswith("classify.model of its item: must have at most 256")


async def test_items_of_a_template_are_not_larger_than_can_be_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batch_items, "MAX_BYTES", 10_000)
    inputs = [given(text="a")] * 20
    [(path, _)] = await problems_of(template=summary("{{text}}" + "x" * 1000), inputs=inputs)
    assert path == "work.batch.inputs"


async def test_item_ids_are_unique_and_default_to_places():
    items = [BatchItem(work=summary("a")), BatchItem(item_id="b", work=summary("b"))]
    assert [(row["place"], row["item_id"]) for row in await rows_of(items=items)] == [(0, "0"), (1, "b")]
    twice = [BatchItem(item_id="x", work=summary("a"))] * 3
    assert [path for path, _ in await problems_of(items=twice)] == [
        "work.batch.items[1].item_id",
        "work.batch.items[2].item_id",
    ]


async def test_equal_work_has_an_equal_hash_whatever_its_id():
    items = [
        BatchItem(item_id="a", work=summary("same")),
        BatchItem(item_id="b", work=summary("same")),
        BatchItem(item_id="c", work=summary("same", max_sentences=2)),
    ]
    first, second, third = [row["content_hash"] for row in await rows_of(items=items)]
    assert first == second != third


def test_work_of_a_run_keeps_the_batch_without_its_items():
    work = Work(batch=Batch(items=[BatchItem(work=summary("a"))], max_concurrency=3))
    batch_items.without_items(work)
    assert work == Work(batch=Batch(max_concurrency=3))


def test_members_are_those_of_the_items_and_of_the_template():
    items = [BatchItem(work=summary("a")), BatchItem(work=ItemWork(classify=ClassifyRequest()))]
    assert batch_items.members(Work(batch=Batch(items=items))) == {"summarize", "classify"}
    work = Work(batch=Batch(template=summary("{{a}}"), inputs=[given(a="b")]))
    assert batch_items.members(work) == {"summarize"}
    assert batch_items.members(Work(summarize=SummarizeRequest())) == {"summarize"}

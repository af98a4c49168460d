"""DetectPii and Redact over gRPC: without a network, priced 0, with places that are those of the text."""

import random
from typing import Any

import grpc
import pytest

from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")
NOTE = "Zoë 👩‍👩‍👧 ann@example.org, card 4111 1111 1111 1111,\r\norder AB-1234; ann@example.org"


def stub(service: Running) -> Any:
    return CapabilityServiceStub(service.channel)


async def test_places_are_in_code_points_and_the_call_is_free(booked: Running) -> None:
    response = await stub(booked).DetectPii(pb.DetectPiiRequest(content=NOTE))
    assert [(found.type, found.text) for found in response.entities] == [
        ("EMAIL_ADDRESS", "ann@example.org"),
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("EMAIL_ADDRESS", "ann@example.org"),
    ]
    assert all(NOTE[found.start : found.end] == found.text for found in response.entities)
    assert response.entity_count == 3
    result = response.result
    assert (result.provider, result.model) == ("builtin", "pii-patterns")
    assert (result.cost.cost_ticks, result.cost.price_known) == (0, True)
    assert not result.warnings
    (row,) = await booked.rows(result.request_id)
    assert (row.id, row.capability) == (result.execution_id, "detect-pii")
    assert booked.openai.bill.entries == []


async def test_filters_leave_out_types_and_what_is_less_sure(service: Running) -> None:
    request = pb.DetectPiiRequest(content=f"{NOTE}, call (415) 555-2671", min_confidence=0.96)
    assert [found.type for found in (await stub(service).DetectPii(request)).entities] == ["CREDIT_CARD"]
    request = pb.DetectPiiRequest(
        content=NOTE, entity_types=["ORDER"], patterns={"ORDER": r"[A-Z]{2}-\d{4}", "ANY": "."}
    )
    (found,) = (await stub(service).DetectPii(request)).entities
    assert (found.type, found.text) == ("ORDER", "AB-1234")


async def test_each_type_has_its_method(service: Running) -> None:
    request = pb.RedactRequest(content=NOTE, method="hash", patterns={"ORDER": r"[A-Z]{2}-\d{4}"})
    request.methods.update({"CREDIT_CARD": "remove", "ORDER": "replace"})
    response = await stub(service).Redact(request)
    email = response.entities[0]
    assert email.replacement.startswith("[EMAIL_ADDRESS:")
    assert response.redacted == (
        f"Zoë 👩‍👩‍👧 {email.replacement}, card ,\r\norder [ORDER]; {email.replacement}"
    )
    assert [found.method for found in response.entities] == ["hash", "remove", "replace", "hash"]
    assert "ann@" not in str(response)


async def test_random_texts_come_back_from_replacements_and_places(service: Running) -> None:
    chance = random.Random(11)
    pieces = [
        "a@b.example",
        "4111111111111111",
        "🎈",
        "\u0301",
        "<EMAIL_ADDRESS_1>",
        '"',
        "\\",
        "{",
        "\n",
        " x ",
    ]
    for _ in range(40):
        text = "x" + "".join(chance.choices(pieces, k=30))
        response = await stub(service).Redact(pb.RedactRequest(content=text, method="replace"))
        built, end = [], 0
        for found in response.entities:
            built += [text[end : found.start], found.replacement]
            end = found.end
        assert "".join([*built, text[end:]]) == response.redacted
        assert "a@b.example" not in response.redacted


async def test_model_that_is_named_finds_more_beside_the_patterns(service: Running) -> None:
    service.openai.script(Reply(text='{"entities": [{"text": "Zoë", "type": "PERSON", "start": 9}]}'))
    response = await stub(service).Redact(
        pb.RedactRequest(content=f"{NOTE}, Zoë", model="gpt-4o", method="replace")
    )
    assert response.redacted.startswith("[PERSON] 👩‍👩‍👧 [EMAIL_ADDRESS], card [CREDIT_CARD]")
    assert response.redacted.endswith("; [EMAIL_ADDRESS], [PERSON]")
    assert (response.result.provider, response.result.model) == ("openai", "gpt-4o")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"entity_types": ["PERSON"]}, "entity_types[0]"),
        ({"entity_types": ["person"]}, "entity_types[0]"),
        ({"patterns": {"X": "(a"}}, "patterns[X]"),
        ({"patterns": {"X": "(?<=a)b"}}, "patterns[X]"),
        ({"content": "x" * 100_001, "patterns": {"X": "."}}, "content"),
        ({"content": ""}, "content"),
        ({"min_confidence": 2.0}, "min_confidence"),
    ],
)
async def test_what_cannot_be_searched_is_refused(
    service: Running, fields: dict[str, Any], field: str
) -> None:
    request = pb.DetectPiiRequest(**{"content": "some text", **fields})
    failed = await failure(stub(service).DetectPii(request))
    assert (failed.reason, failed.code) == ("INVALID_FIELDS", grpc.StatusCode.INVALID_ARGUMENT)
    assert field in failed.message


async def test_method_that_there_is_not_is_refused(service: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="method"):
        await stub(service).Redact(pb.RedactRequest(content="x", method="shred"))


async def test_long_text_is_searched_to_its_end(service: Running) -> None:
    text = "word " * 200_000 + "ann@example.org"
    response = await stub(service).Redact(pb.RedactRequest(content=text))
    assert response.redacted == "word " * 200_000 + "*" * 15

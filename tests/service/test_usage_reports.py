"""Usage and costs of real calls through a real gRPC channel."""

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from genai_spine.v1 import usage_service_pb2 as pb
from genai_spine.v1 import usage_service_pb2_grpc
from tests.service.running import Running, asked, failure

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def reports(booked: Running) -> Any:
    return usage_service_pb2_grpc.UsageServiceStub(booked.channel)


async def test_calls_are_in_reports_and_files_as_soon_as_they_are_booked(
    booked: Running, reports: Any
) -> None:
    before = await reports.GetUsage(pb.GetUsageRequest())
    answer = await booked.completions.CreateCompletion(asked(model="gpt-4o"))
    await booked.rows(answer.request_id)
    after = await reports.GetUsage(pb.GetUsageRequest(group_by="provider"))
    assert after.total.request_count == before.total.request_count + 1
    spent = after.total.cost_ticks - before.total.cost_ticks
    assert spent == answer.cost.cost_ticks > 0
    [group] = [group for group in after.groups if group.key == "openai"]
    assert group.total == after.by_provider["openai"]
    today = datetime.now(UTC).date().isoformat()
    costs = await reports.GetCosts(pb.GetCostsRequest(start_date=today, end_date=today))
    assert [(day.date, day.cost_ticks) for day in costs.daily] == [(today, after.total.cost_ticks)]
    summary = await reports.GetSpendSummary(pb.GetSpendSummaryRequest())
    assert summary.today == after.total
    for format in ("CSV", "FOCUS"):
        request = pb.ExportUsageRequest(format=f"USAGE_EXPORT_FORMAT_{format}")
        pieces = [piece async for piece in reports.ExportUsage(request)]
        assert {piece.content_type for piece in pieces} == {"text/csv; charset=utf-8"}
        assert b"gpt-4o" in b"".join(piece.data for piece in pieces)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.GetUsageRequest(start_date="2026-02-30"), "start_date"),
        (pb.GetUsageRequest(start_date="20260101"), "start_date"),
        (pb.GetUsageRequest(end_date="0001-01-01"), "end_date"),
        (pb.GetUsageRequest(start_date="2026-01-02", end_date="2026-01-01"), "end_date"),
        (pb.GetUsageRequest(group_by="colour"), "group_by"),
        (pb.GetUsageRequest(max_groups=0), "max_groups"),
        (pb.GetUsageRequest(labels=["nothing"]), "labels[0]"),
    ],
)
async def test_bad_input_names_its_field(reports: Any, request_: pb.GetUsageRequest, field: str) -> None:
    found = await failure(reports.GetUsage(request_))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert found.fields == [field]

"""Runs as REST shows them beyond their fields: what a submission did, and the numbers and links of a page."""

from urllib.parse import parse_qsl, urlencode

from genai_spine.call import Call
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb

DEFAULT_LIMIT = 50
WAITS_FOR_WORKER = "no living worker serves lane {lane}: the run waits for one"
IS_EXISTING = "the run of this idempotency key was there: none was made"


def found(run: run_pb2.Run, call: Call) -> run_pb2.Run:
    """Run with the fields that older clients look for, for REST callers only."""
    if not call.path:
        return run
    run.metadata.MergeFrom(run.options.metadata)
    if run.HasField("item_counts") or run.work.WhichOneof("request") == "batch":
        run.batch_id = run.run_id
    if run.HasField("eta"):
        run.estimated_end_time.GetCurrentTime()
        run.estimated_end_time.seconds += run.eta.seconds
    return run


def submitted(run: run_pb2.Run, request: pb.CreateRunRequest, call: Call) -> run_pb2.Run:
    """Run as the answer to its submission; of gRPC callers as it is."""
    if not call.path:
        return run
    found(run, call)
    run.data.run_id, run.data.dry_run = run.run_id, request.dry_run
    run.data.would_execute = not run.HasField("end_time")
    run.elapsed_ms = call.latency_ms
    if run.waiting_reason == "NO_WORKER":
        run.warnings.append(WAITS_FOR_WORKER.format(lane=run.lane))
    if run.is_existing:
        run.warnings.append(IS_EXISTING)
    return run


def numbered(response: pb.ListRunsResponse, request: pb.ListRunsRequest, call: Call) -> pb.ListRunsResponse:
    """Page of a list with its numbers, where they are known, and its links."""
    for run in response.runs:
        found(run, call)
    limit, path = request.page_size or DEFAULT_LIMIT, call.path or ""
    has_more = bool(response.next_page_token)
    response.links["self"] = path
    if response.HasField("total_size"):
        total, offset = response.total_size, request.offset
        response.page.CopyFrom(
            pb.RunPage(
                total=total,
                limit=limit,
                offset=offset,
                has_more=has_more,
                page=offset // limit + 1,
                total_pages=-(-total // limit),
                has_prev=offset > 0,
            )
        )
        if offset > 0:
            response.links["prev"] = _link(path, offset=str(max(0, offset - limit)))
        if has_more:
            response.links["next"] = _link(path, offset=str(offset + limit))
    elif has_more:
        response.links["next"] = _link(path, page_token=response.next_page_token)
    return response


def _link(path: str, **place: str) -> str:
    """Path of another page of the same list."""
    base, _, query = path.partition("?")
    kept = [(name, value) for name, value in parse_qsl(query) if name not in ("offset", "page_token")]
    return f"{base}?{urlencode([*kept, *place.items()])}"

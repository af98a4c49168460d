"""What one tenant has stored of runs, and for each RPC of theirs how another one tries to reach it."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from genai_spine.v1 import dead_letter_service_pb2 as letters
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1 import schedule_service_pb2 as schedules
from genai_spine.v1.run_pb2 import RunOptions

Reach = tuple[str, Callable[[str], Message]]  # kind of id, and the request with it


def work(text: str, **options: Any) -> pb.CreateRunRequest:
    """Run of a summary by the built-in processor, which is waited for."""
    params = Struct()
    params.update({"content": f"{text}. {text}.", "provider": "builtin"})
    request = pb.CreateRunRequest(name="summarize", params=params, options=RunOptions(**options))
    request.wait.seconds = 20
    return request


def doomed() -> pb.CreateRunRequest:
    """Run that ends among the dead letters, where the provider limits the rate."""
    params = Struct()
    params.update({"prompt": "x", "model": "gpt-4o"})
    request = pb.CreateRunRequest(name="completion", params=params, options=RunOptions(max_retries=0))
    request.wait.seconds = 20
    return request


def schedule(name: str) -> Message:
    """Schedule whose time does not come."""
    made = schedules.Schedule(name=name, target_name="summarize", cron_expression="0 0 29 2 *")
    made.params.update({"content": "x. y.", "provider": "builtin"})
    return schedules.CreateScheduleRequest(schedule=made)


CHANGE = schedules.Schedule(cron_expression="0 1 29 2 *")
BY_ID: dict[str, list[Reach]] = {
    "DeadLetterService/GetDeadLetter": [
        ("letter", lambda id: letters.GetDeadLetterRequest(dead_letter_id=id))
    ],
    "DeadLetterService/ReplayDeadLetter": [
        ("letter", lambda id: letters.ReplayDeadLetterRequest(dead_letter_id=id))
    ],
    "DeadLetterService/ResolveDeadLetter": [
        ("letter", lambda id: letters.ResolveDeadLetterRequest(dead_letter_id=id))
    ],
    "ScheduleService/GetSchedule": [("schedule", lambda id: schedules.GetScheduleRequest(schedule_id=id))],
    "ScheduleService/UpdateSchedule": [
        ("schedule", lambda id: schedules.UpdateScheduleRequest(schedule_id=id, schedule=CHANGE))
    ],
    "ScheduleService/DeleteSchedule": [
        ("schedule", lambda id: schedules.DeleteScheduleRequest(schedule_id=id))
    ],
    "ScheduleService/PauseSchedule": [
        ("schedule", lambda id: schedules.PauseScheduleRequest(schedule_id=id))
    ],
    "ScheduleService/ResumeSchedule": [
        ("schedule", lambda id: schedules.ResumeScheduleRequest(schedule_id=id))
    ],
    "ScheduleService/TriggerSchedule": [
        ("schedule", lambda id: schedules.TriggerScheduleRequest(schedule_id=id))
    ],
    "ScheduleService/ListScheduleTicks": [
        ("schedule", lambda id: schedules.ListScheduleTicksRequest(schedule_id=id))
    ],
}
BY_ID |= {
    f"RunService/{name}": [("run", request)]
    for name, request in {
        "GetRun": lambda id: pb.GetRunRequest(run_id=id),
        "WaitRun": lambda id: pb.WaitRunRequest(run_id=id),
        "WatchRun": lambda id: pb.WatchRunRequest(run_id=id),
        "ListRunEvents": lambda id: pb.ListRunEventsRequest(run_id=id),
        "ReadRunEvents": lambda id: pb.ReadRunEventsRequest(run_id=id),
        "ListRunSteps": lambda id: pb.ListRunStepsRequest(run_id=id),
        "ListRunItems": lambda id: pb.ListRunItemsRequest(run_id=id),
        "ExportRunItems": lambda id: pb.ExportRunItemsRequest(run_id=id),
        "ListRunChildren": lambda id: pb.ListRunChildrenRequest(run_id=id),
        "ListRunLogs": lambda id: pb.ListRunLogsRequest(run_id=id),
        "CancelRun": lambda id: pb.CancelRunRequest(run_id=id),
        "RetryRun": lambda id: pb.RetryRunRequest(run_id=id),
        "ApproveRun": lambda id: pb.ApproveRunRequest(run_id=id),
    }.items()
}


def lists(mark: str) -> dict[str, list[Callable[[Any], Message]]]:
    """Lists of runs, by filters that find those of the owner alone."""
    return {
        "RunService/ListRuns": [
            lambda a: pb.ListRunsRequest(page_size=1),
            lambda a: pb.ListRunsRequest(offset=0),
            lambda a: pb.ListRunsRequest(idempotency_key=mark),
            lambda a: pb.ListRunsRequest(correlation_id=mark),
            lambda a: pb.ListRunsRequest(metadata_json=f'{{"{mark}": "{mark}"}}'),
        ],
        "RunService/GetQueueStats": [lambda a: pb.GetQueueStatsRequest()],
        "ScheduleService/ListSchedules": [lambda a: schedules.ListSchedulesRequest(page_size=1)],
        "DeadLetterService/ListDeadLetters": [lambda a: letters.ListDeadLettersRequest(page_size=1)],
        "DeadLetterService/PurgeDeadLetters": [lambda a: letters.PurgeDeadLettersRequest(resolved_days=0)],
    }

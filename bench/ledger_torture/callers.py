"""Callers of a torture: what each call was told, whichever servers died meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import grpc
import msgspec
from google.api.httpbody_pb2 import HttpBody
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bench.ledger_torture.kills import Kills
from bench.ledger_torture.requests import Metadata, Requests
from bench.ledger_torture.schedule import Kind, PlannedCall, Schedule, Stage
from bench.ledger_torture.servers import ServerProcess, Servers
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.prompt_service_pb2 import ExecutePromptResponse
from genai_spine.v1.session_service_pb2 import SendMessageResponse

PATIENCE_S = 45.0  # a call that takes longer is stuck
PAUSE_S = 0.05  # before a call with a key is repeated
UNREADABLE = "a message that cannot be read"


class Ending(StrEnum):
    """How a call ended for its caller."""

    ANSWERED = "answered"
    ERROR = "told an error"
    BROKEN = "its server died, no key"
    LEFT = "caller left"
    STUCK = "stuck"


@dataclass(slots=True)
class Heard:
    """What the caller of one logical call knows of it."""

    planned: PlannedCall
    ending: Ending = Ending.STUCK
    reason: str = ""  # of an error
    request_ids: list[str] = field(default_factory=list)  # of its tries
    deaths: int = 0  # of servers, in the middle of a try
    text: str = ""
    cost_ticks: int | None = None  # where the answer says it
    messages: list[bytes] = field(default_factory=list)
    sequence: int | None = None  # of the last chunk


class Callers:
    """Callers of one schedule. name: begins their request ids."""

    def __init__(self, schedule: Schedule, servers: Servers, kills: Kills, name: str) -> None:
        self._schedule = schedule
        self._servers = servers
        self._kills = kills
        self._name = name
        self.requests = Requests()
        self.heard: dict[int, Heard] = {}

    async def all(self, at_once: int) -> None:
        """Makes all calls, so many at once."""
        await self.requests.prepare(self._servers.pick(0))
        left = iter(self._schedule.calls)

        async def work() -> None:
            for planned in left:
                await self._kills.due(planned.number)
                self.heard[planned.number] = Heard(planned)
                await self._call(self.heard[planned.number])

        await asyncio.gather(*(work() for _ in range(at_once)))

    async def replayed(self, number: int) -> bool:
        """Whether an answered call with a key is answered again with the same bytes."""
        first = self.heard[number]
        again = Heard(first.planned)
        again.request_ids = list(first.request_ids)  # whose numbers are used
        await self._call(again)
        first.request_ids = again.request_ids
        return again.ending is Ending.ANSWERED and b"".join(again.messages) == b"".join(first.messages)

    async def _call(self, heard: Heard) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while await self._fails(heard):
                    pass
        except TimeoutError:
            heard.ending = Ending.STUCK

    async def _fails(self, heard: Heard) -> bool:
        """Makes one try; whether the call has to be repeated."""
        planned = heard.planned
        server = self._servers.pick(planned.number + len(heard.request_ids))
        heard.request_ids.append(f"{self._name}.{planned.number}.{len(heard.request_ids)}")
        self._kills.serving[planned.number] = server
        try:
            await self._read(heard, server)
        except grpc.aio.AioRpcError as error:
            status: Any = rpc_status.from_call(error)
            if status is None:
                heard.deaths += 1
                heard.ending = Ending.BROKEN
                heard.reason = f"{error.code().name}: {error.details()}"
            else:
                heard.ending, heard.reason = Ending.ERROR, reason_of(status)
            if planned.keyed and (status is None or error.code() is grpc.StatusCode.UNAVAILABLE):
                await asyncio.sleep(PAUSE_S)
                return True
        return False

    async def _read(self, heard: Heard, server: ServerProcess) -> None:
        planned = heard.planned
        if planned.kind is not Kind.STREAM:
            heard.text, heard.messages = "", []  # a repeat tells all of it again
        heard.reason = ""
        call = self.requests.begun(planned, server, self._metadata(heard))
        self._kills.reached(Stage.SEND, planned.number)
        async for message in _messages(call):
            if message is None:
                heard.reason = UNREADABLE
                continue
            _hear(heard, message)
            if planned.streams:
                self._kills.reached(Stage.STREAM, planned.number, len(heard.messages))
            if len(heard.messages) == planned.leaves_after:
                call.cancel()
                heard.ending = Ending.LEFT
                return
        heard.ending = Ending.ERROR if heard.reason else Ending.ANSWERED

    def _metadata(self, heard: Heard) -> Metadata:
        found = [("x-request-id", heard.request_ids[-1])]
        if heard.planned.keyed:
            found.append(("idempotency-key", f"{self._name} {heard.planned.key}"))
        if heard.sequence is not None:
            found.append(("x-genai-resume-after", str(heard.sequence)))
        return found


async def _messages(call: Any) -> AsyncIterator[Any]:
    if not hasattr(call, "__aiter__"):
        yield await call
        return
    async for message in call:
        yield message


def _hear(heard: Heard, message: Any) -> None:
    """Adds what a message says."""
    is_body = isinstance(message, HttpBody)  # whose headers say that it is a replay
    heard.messages.append(message.data if is_body else message.SerializeToString(deterministic=True))
    match message:
        case pb.CompletionChunk():
            heard.sequence = message.sequence
            heard.text += "".join(delta.content for delta in message.choices)
            if message.HasField("cost"):
                heard.cost_ticks = message.cost.cost_ticks
        case pb.Completion():
            heard.text = "".join(part.text for part in message.choices[0].message.content)
            heard.cost_ticks = message.cost.cost_ticks
        case pb.CreateEmbeddingsResponse():
            heard.cost_ticks = message.cost.cost_ticks
        case SendMessageResponse():
            heard.text, heard.cost_ticks = message.response.content, message.message_cost.cost_ticks
        case ExecutePromptResponse():
            heard.text, heard.cost_ticks = message.output, message.result.cost.cost_ticks
        case HttpBody():
            for body in _bodies(message.data):
                heard.text += _said(body)
                if "error" in body:  # the status said that all is well, before
                    heard.reason = body["error"]["code"]


def _bodies(data: bytes) -> list[Any]:
    """JSON of the events of a stream, or of the one body."""
    if data.startswith(b"{"):
        return [msgspec.json.decode(data)]
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n") if line.startswith(b"data: {")]
    return [msgspec.json.decode(line) for line in lines]


def _said(body: Any) -> str:
    choices = body.get("choices", ())
    told = (choice.get("delta") or choice.get("message") or {} for choice in choices)
    return "".join(one.get("content") or "" for one in told)


def reason_of(status: Any) -> str:
    """Reason of an error of ours."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in status.details) else "no reason"

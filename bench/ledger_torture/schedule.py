"""Schedule of a torture: every call and every kill, drawn from one seed before anything runs."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import msgspec

MARK = re.compile(r"torture-(\d{6})")  # of a call, in what its provider is asked
MOST_PIECES = 30  # of a streamed answer
PLACES = 6  # messages of a stream after which it may be killed


class Kind(StrEnum):
    """RPC that a call is made by."""

    UNARY = "unary"
    STREAM = "stream"
    EMBEDDING = "embedding"
    SUMMARY = "capability"
    CHAT = "OpenAI's chat"
    CHAT_STREAM = "OpenAI's stream"
    SEND = "session"
    PROMPT = "prompt"


class Stage(StrEnum):
    """Moment of a call at which its server is killed."""

    SEND = "before the send"
    FIRST_BYTE = "before the first byte"
    STREAM = "mid-stream"
    SETTLEMENT = "before the settlement"


class Fault(StrEnum):
    """What the provider does wrong, on the first try of a call."""

    NONE = ""
    BUSY = "429"
    BROKEN = "500"
    CUT = "cut"  # in the middle of a stream


KINDS = {
    Kind.UNARY: 25,
    Kind.STREAM: 25,
    Kind.EMBEDDING: 10,
    Kind.SUMMARY: 10,
    Kind.CHAT: 10,
    Kind.CHAT_STREAM: 10,
    Kind.SEND: 5,
    Kind.PROMPT: 5,
}
STREAMED = (Kind.STREAM, Kind.CHAT_STREAM)
FAULTS = {Fault.NONE: 94, Fault.BUSY: 2, Fault.BROKEN: 2, Fault.CUT: 2}


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One logical call. Times are seconds."""

    number: int
    kind: Kind
    keyed: bool  # with an idempotency key, and repeated until it is answered
    pieces: int  # of the answer
    first_s: float  # until its first byte
    interval_s: float  # between its pieces
    cached_tokens: int  # of the prompt
    fault: Fault
    leaves_after: int | None  # messages of a stream, after which the caller goes away

    @property
    def streams(self) -> bool:
        return self.kind in STREAMED

    @property
    def key(self) -> str:
        return f"key-{self.number}"

    @property
    def prompt(self) -> str:
        """Words that have more tokens for a tokenizer than for the simulator, which counts characters."""
        return f"torture-{self.number:06d} " + " ".join(f"{self.number * 7 + n:03d}" for n in range(20))

    def words(self, send: int) -> list[str]:
        """Pieces of the answer to a send, from 0: no two sends have one in common."""
        return [f"{self.number:06d}.{send:02d}.{piece:03d} " for piece in range(self.pieces)]


@dataclass(frozen=True, slots=True)
class PlannedKill:
    """Kill of the server of the first call from `number` on that comes to the stage."""

    number: int
    stage: Stage
    delay_s: float
    place: int  # messages of the stream


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that chance decides."""

    seed: int
    calls: Sequence[PlannedCall]
    kills: Sequence[PlannedKill]

    @property
    def digest(self) -> str:
        """Fingerprint: of one seed it is always the same."""
        return hashlib.sha256(msgspec.json.encode([self.calls, self.kills])).hexdigest()[:16]


def drawn(seed: int, calls: int, kills: int) -> Schedule:
    """Schedule of a seed. Stages take turns, at moments that are spread over all calls."""
    chance = Random(f"ledger torture {seed} {calls} {kills}")
    planned = [_call(chance, number) for number in range(calls)]
    stages = list(Stage)
    moments = sorted(chance.randrange(calls * 9 // 10) for _ in range(kills))
    struck = [_kill(chance, number, stages[at % len(stages)]) for at, number in enumerate(moments)]
    return Schedule(seed, planned, struck)


def _call(chance: Random, number: int) -> PlannedCall:
    [kind] = chance.choices(list(KINDS), list(KINDS.values()))
    [fault] = chance.choices(list(FAULTS), list(FAULTS.values()))
    streams, pieces = kind in STREAMED, chance.randint(3, MOST_PIECES)
    leaves = streams and fault is Fault.NONE and chance.random() < 0.05
    return PlannedCall(
        number=number,
        kind=kind,
        keyed=chance.random() < 0.4,
        pieces=pieces,
        first_s=round(chance.uniform(0, 0.08), 3),
        interval_s=round(chance.uniform(0, 0.012), 4) if streams else 0.0,
        cached_tokens=chance.choice((0, 0, 5)) if kind is not Kind.EMBEDDING else 0,
        fault=Fault.NONE if fault is Fault.CUT and not streams else fault,
        leaves_after=chance.randint(1, pieces) if leaves else None,
    )


def _kill(chance: Random, number: int, stage: Stage) -> PlannedKill:
    latest_s = 0.02 if stage is Stage.FIRST_BYTE else 0.004
    return PlannedKill(number, stage, round(chance.uniform(0, latest_s), 4), chance.randrange(PLACES))

"""One exchange of the sloppy simulators: what a model says, how the protocol writes it, what distorts it.

All of it follows from a protocol, a seed and the table of distortions: a failure is found again by its seed.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

MOST_AT_ONCE = 12  # distortions of one exchange
REASON = "out of memory"  # in the words of most faults
FAILURE = "failure"  # group of distortions after which the answer is an error
FAILING = 0.18  # share of exchanges
SELDOM = 0.1  # share of exchanges that get two of the rare distortions
WORDS = [
    "Oslo",
    "is",
    "cold,",
    "naïve",
    "日本語",
    "data:",
    "[DONE]",
    "\n\n",
    "\t",
    '"x"',
    "\\",
    "<b>",
    "{",
    "}",
]
WORDS += [
    "a\u0301",
    "\U0001f642",
    "\U0001f680",
    "\U0001f642\U0001f680",
    "event: x\n",
    "null",
    " ",
    "\r\n",
    "\u2028",
    "end.",
]
NAMES = ["weather", "clock", "search_web", "add-2", "weather"]


@dataclass
class Called:
    """A call of a tool; arguments are compact JSON text."""

    id: str
    name: str
    arguments: str


@dataclass
class Said:
    """One choice. logprobs: tokens with log probabilities, where they are asked for."""

    text: str = ""
    reasoning: str = ""
    calls: list[Called] = field(default_factory=list)
    logprobs: list[str] = field(default_factory=list)


@dataclass
class Counts:
    """Usage. known: the upstream reports it; otherwise it is estimated."""

    input: int
    output: int
    cached: int
    known: bool = True


@dataclass
class Framing:
    """How events of a stream are written."""

    line_end: str = "\n"
    space: str = " "
    names: bool = False
    comments: bool = False
    empties: bool = False
    several_lines: bool = False
    bom: bool = False
    done: str | None = None  # payload of the last event
    unended: bool = False
    fields: bool = False  # id: and retry:


@dataclass
class Transport:
    """How the body goes over the connection. coding: gzip, deflate or raw deflate."""

    coding: str = ""
    length: str = "chunked"  # content-length, chunked, close
    split: bool = False
    stays_open: bool = False
    redirect: int = 0
    status: int = 200
    media_type: str | None = ""  # None: no header
    cut: bool = False  # the connection ends within the body


@dataclass
class Exchange:
    """stream: what the caller asks for. as_stream: what the upstream sends."""

    protocol: str
    seed: int
    rng: Random
    stream: bool
    choices: list[Said]
    counts: Counts
    as_stream: bool = True
    with_logprobs: bool = False
    events: list[Any] = field(default_factory=list)
    whole: Any = None
    failed: bool = False  # the answer is an error
    billed: bool = False  # and tells its usage
    words: str = ""  # that the error says
    framing: Framing = field(default_factory=Framing)
    transport: Transport = field(default_factory=Transport)
    ascii: bool = False
    fired: list[str] = field(default_factory=list)
    # References into events or whole, for distortions.
    deltas: list[dict[str, Any]] = field(default_factory=list)
    calls: list[list[dict[str, Any]]] = field(default_factory=list)  # fragments of each call
    usages: list[dict[str, Any]] = field(default_factory=list)

    def dump(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=self.ascii, separators=(",", ":"))

    def pieces(self, text: str) -> list[str]:
        """The text in one to five pieces, none of them empty."""
        count = min(len(text), self.rng.randint(1, 5))
        if count < 2:
            return [text] if text else []
        cuts = [0, *sorted(self.rng.sample(range(1, len(text)), count - 1)), len(text)]
        return [text[start:end] for start, end in itertools.pairwise(cuts)]

    def fails(self, fault: Any) -> Any:
        """The fault, which is the answer from here on."""
        self.failed, self.words = True, REASON if REASON in json.dumps(fault) else ""
        return fault

    def place(self, least: int = 0) -> int:
        """Somewhere among the events."""
        return self.rng.randint(min(least, len(self.events)), len(self.events))


Apply = Callable[[Exchange], bool]


@dataclass(frozen=True)
class Distortion:
    """apply: distorts the exchange; False where it does not apply. group: at most one of each is chosen.

    rare: seldom applies, and is chosen more often for that.
    """

    apply: Apply
    group: str = ""
    rare: bool = False


Table = dict[str, Distortion]


def entry(table: Table, group: str = "", *, rare: bool = False) -> Callable[[Apply], Apply]:
    """Decorator that enters a distortion into a table by the function's name."""

    def add(apply: Apply) -> Apply:
        table[apply.__name__] = Distortion(apply, group, rare)
        return apply

    return add


def enter_refusals(table: Table, statuses: list[int], bodies: list[Any], cut_json: str) -> None:
    """Enters the answers that are none, with a status that says so or with 200."""
    pages = ["<html><title>Bad</title></html>", "no", ""]

    @entry(table, FAILURE)
    def refused(x: Exchange) -> bool:
        x.transport.status = x.rng.choice(statuses)
        x.failed, x.as_stream = True, False
        x.whole = x.rng.choice([*bodies, *pages])
        return True

    @entry(table, FAILURE)
    def no_answer_at_all(x: Exchange) -> bool:
        x.failed, x.as_stream = True, False
        x.whole = x.rng.choice(
            ["", "<html><title>Just a moment</title></html>", "{}", "null", cut_json, "[]"]
        )
        return True


@dataclass(frozen=True)
class Protocol:
    """write: the well-formed exchange. distortions: in the order in which they are applied."""

    write: Callable[[Exchange], None]
    body: Callable[[Exchange], bytes]
    distortions: Table
    choices: bool = False  # a request may ask for two
    logprobs: bool = False


def drawn(name: str, protocol: Protocol, seed: int) -> Exchange:
    """The exchange of a seed."""
    rng = Random(f"{name}/{seed}")
    exchange = Exchange(name, seed, rng, rng.random() < 0.6, [], _counts(rng))
    exchange.choices = [_said(rng, seed) for _ in range(2 if protocol.choices and rng.random() < 0.1 else 1)]
    exchange.with_logprobs = protocol.logprobs and rng.random() < 0.3
    exchange.as_stream = exchange.stream
    failures = [other for other, found in protocol.distortions.items() if found.group == FAILURE]
    oddities = [other for other, found in protocol.distortions.items() if found.group != FAILURE]
    chosen = set(rng.sample(oddities, rng.randint(1, MOST_AT_ONCE)))
    rare = [other for other in oddities if protocol.distortions[other].rare]
    chosen |= set(rng.sample(rare, min(len(rare), 2))) if rng.random() < SELDOM else set()
    failing = rng.sample(failures, len(failures)) if rng.random() < FAILING else []
    for group in sorted({found.group for found in protocol.distortions.values()} - {""}):
        members = [
            other for other in oddities if other in chosen and protocol.distortions[other].group == group
        ]
        chosen -= set(members) - {rng.choice(members or [""])}
    if "other_form" in chosen and len(exchange.choices) == 1:
        exchange.as_stream = not exchange.stream
    protocol.write(exchange)
    for other, distortion in protocol.distortions.items():
        if distortion.group == FAILURE:
            # At the place of the first of them in the table; where one does not apply, another does.
            _distort(exchange, protocol, failing)
            failing = []
        elif other in chosen:
            _distort(exchange, protocol, [other])
    return exchange


def _distort(exchange: Exchange, protocol: Protocol, names: list[str]) -> None:
    """Applies the first of the distortions that applies."""
    for name in names:
        if protocol.distortions[name].apply(exchange):
            exchange.fired.append(name)
            return


def _counts(rng: Random) -> Counts:
    given = rng.randint(1, 5000)
    return Counts(given, rng.randint(1, 3000), rng.choice([0, rng.randint(0, given)]))


def _said(rng: Random, seed: int) -> Said:
    kind = rng.random()
    said = Said()
    if kind < 0.75:
        said.text = _text(rng)
    if rng.random() < 0.3:
        said.reasoning = _text(rng)
    if kind > 0.3:
        said.calls = [_called(rng, f"call_{seed}_{number}") for number in range(rng.randint(1, 3))]
    return said


def _text(rng: Random) -> str:
    return "".join(rng.choice(["", " "]) + rng.choice(WORDS) for _ in range(rng.randint(1, 12))) + rng.choice(
        [".", "\U0001f44d."]
    )


def _called(rng: Random, id: str) -> Called:
    arguments: dict[str, Any] = {}
    for name in rng.sample(["city", "n", "list", "naïve"], rng.randint(0, 3)):
        arguments[name] = rng.choice([_text(rng), rng.randint(-5, 5), [], {"a": [1, None, True]}, "", None])
    return Called(id, rng.choice(NAMES), json.dumps(arguments, ensure_ascii=False, separators=(",", ":")))

"""Upgrade of a request to a WebSocket (RFC 6455): what its path, its query and its headers ask for.

Browsers set no header of their own for a WebSocket. A key comes as a subprotocol, `bearer.<key>`, beside the
one that is spoken; so it stands in no address, and in no log.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from genai_spine.edge.websocket import frames
from genai_spine.errors import InvalidRequest
from genai_spine.v1.run_pb2 import RunEvent
from genai_spine.v1.run_service_pb2 import WatchRunRequest

PATH = re.compile(r"/v1/(?:runs/(?P<run>[^/]+)|ai/pipelines/(?P<execution>[^/]+))/events")
EXECUTION = "exec-"  # that ids of executions begin with
SUBPROTOCOL = "genai-spine.events"  # what is spoken
BEARER = "bearer."  # beginning of the subprotocol that is a key
OFFERED = "sec-websocket-protocol"
MAX_SEQUENCE = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Upgrade to a WebSocket: the run, and which events. categories: empty: all."""

    watch: WatchRunRequest
    is_execution: bool  # of a pipeline, in the form of the older paths
    categories: frozenset[str]

    @property
    def frame(self) -> Callable[[RunEvent], str]:
        """Form of its frames."""
        return frames.of_execution if self.is_execution else frames.of_run

    def shows(self, event: RunEvent) -> bool:
        """Whether an event is asked for."""
        if event.event_type == frames.HEARTBEAT:
            return False
        return not self.categories or frames.category(event) in self.categories


def is_upgrade(verb: str, path: str, by_name: Mapping[str, str]) -> bool:
    """Whether a request asks for a WebSocket where there is one."""
    has_body = "content-length" in by_name or "transfer-encoding" in by_name
    wanted = by_name.get("upgrade", "").lower() == "websocket" and verb == "GET" and not has_body
    return wanted and PATH.fullmatch(path.partition("?")[0]) is not None


def read(target: str) -> Upgrade:
    """Upgrade that a path with its query asks for. Errors: InvalidRequest naming the parameter."""
    path, _, query = target.partition("?")
    found = PATH.fullmatch(path)
    assert found is not None, "is_upgrade() said so"
    given = parse_qs(query, keep_blank_values=True, max_num_fields=100)
    run_id = found["run"] or found["execution"].removeprefix(EXECUTION)
    watch = WatchRunRequest(run_id=run_id, after_sequence=_sequence(given))
    return Upgrade(watch, found["run"] is None, _categories(given))


def with_key(headers: list[tuple[str, str]], by_name: Mapping[str, str]) -> list[tuple[str, str]]:
    """Headers with the key of the subprotocols where the other doors look for one.

    Errors: InvalidRequest (one key there, and another one in a header).
    """
    keys = [one.removeprefix(BEARER) for one in offered(by_name) if one.startswith(BEARER)]
    kept = [(name, value) for name, value in headers if name != OFFERED]
    if not keys:
        return kept
    if len(keys) > 1 or "authorization" in by_name or "x-api-key" in by_name:
        raise InvalidRequest(field=OFFERED, problem="there is more than one key")
    return [*kept, ("authorization", f"Bearer {keys[0]}")]


def offered(by_name: Mapping[str, str]) -> list[str]:
    """Subprotocols that the caller offers."""
    return [part for one in by_name.get(OFFERED, "").split(",") if (part := one.strip())]


def chosen(subprotocols: list[str]) -> str | None:
    """Subprotocol of the answer: a browser wants one of those that it offered, and no key said back."""
    plain = [one for one in subprotocols if not one.startswith(BEARER)]
    if SUBPROTOCOL in plain:
        return SUBPROTOCOL
    return next(iter(plain or subprotocols), None)


def _sequence(given: Mapping[str, list[str]]) -> int:
    text = given.get("after_sequence", ["0"])[-1]
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > MAX_SEQUENCE:
        raise InvalidRequest(field="after_sequence", problem="must be a number from 0")
    return int(text)


def _categories(given: Mapping[str, list[str]]) -> frozenset[str]:
    names = {part for text in given.get("categories", ()) for one in text.split(",") if (part := one.strip())}
    if unknown := names - frames.CATEGORIES:
        known = ", ".join(sorted(frames.CATEGORIES))
        raise InvalidRequest(field="categories", problem=f"'{min(unknown)[:40]}' is none of {known}")
    return frozenset(names)

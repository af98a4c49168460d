"""The upstream's own bill: what it was asked and what it sent out, to be compared with our ledger."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from tests.upstreams import forms

UNBILLED = ("/api/show", "/api/pull", "/v1/messages/count_tokens", "/count-tokens", "/oauth2/v2.0/token")


class Entry(msgspec.Struct, kw_only=True):
    """One request. Times are time.monotonic() seconds, the same for all processes of a machine."""

    number: int  # 0, 1, ... in the order of arrival
    method: str
    path: str
    raw_path: str = ""  # as it was sent, with the query
    model: str | None
    body: Any  # the JSON value, or the fields of a form; None when there was none, or none that parses
    raw: str  # the body as received
    headers: dict[str, str]  # names in lower case
    started_at: float
    query: dict[str, str] = {}  # of the URL
    status: int = 0  # 0: no status line was sent
    prompt_tokens: int = 0  # set when the model starts; 0 for errors
    completion_tokens: int = 0  # of what was written so far; the reported number once all was written
    chunks: int = 0  # events written so far, [DONE] not counted; 1 for an answer that is no stream
    finished: bool = False  # the whole answer was written
    ended_at: float | None = None  # when the upstream was done: all written, or broken off by a fault
    disconnected: bool = False  # the client went away before that
    disconnected_at: float | None = None  # when this was noticed

    @property
    def is_call(self) -> bool:
        """Asks a model for something; lists, descriptions, downloads, counts and logins do not."""
        return self.method == "POST" and not self.path.endswith(UNBILLED)


class Bill:
    """All requests since the start or the last clear()."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Entry:
        return self.entries[index]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @property
    def calls(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.is_call]

    @property
    def prompt_tokens(self) -> int:
        return sum(entry.prompt_tokens for entry in self.entries)

    @property
    def completion_tokens(self) -> int:
        return sum(entry.completion_tokens for entry in self.entries)

    def open(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> Entry:
        body = forms.read(headers.get("content-type", ""), raw)
        with suppress(ValueError):
            body = json.loads(raw) if raw and body is None else body
        if body is None and headers.get("content-type") == "application/octet-stream":
            body = {"base64": base64.b64encode(raw).decode()}
        model = body.get("model") if isinstance(body, dict) else None
        entry = Entry(
            number=len(self.entries),
            method=method,
            path=path,
            model=model if isinstance(model, str) else None,
            body=body,
            raw=raw.decode(errors="replace"),
            headers=headers,
            started_at=time.monotonic(),
        )
        self.entries.append(entry)
        self.changed()
        return entry

    def changed(self) -> None:
        """Wakes who waits in until()."""
        self._changed.set()

    async def until(self, condition: Callable[["Bill"], bool], timeout_s: float = 20.0) -> None:
        """Returns when the condition holds; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    def clear(self) -> None:
        self.entries.clear()

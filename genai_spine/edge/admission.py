"""Admission of calls that cost money: so many run at once, the others wait in line for a bounded time.

The line is fair between tenants: the one with the fewest running calls comes next. When the line is full, the
tenant with the most waiting calls loses one, or the newcomer is refused, before anything was done for it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from genai_spine.errors import ServerFull

RETRY_S = 1.0  # then some of the calls have ended


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How many calls run and wait at once, and for how many seconds one waits."""

    running: int | None = None  # None: no limit
    waiting: int = 0
    wait_s: float = 0.0


class AdmissionQueue:
    """Line of one server process. leave() follows each enter() that returned."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        self.running = 0
        self.waiting = 0
        self._running_of: dict[str, int] = {}  # by tenant
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}  # by tenant, none of them empty

    async def enter(self, tenant_id: str) -> None:
        """Returns when the call may run. Errors: ServerFull, after wait_s at the latest."""
        if self._has_room and not self.waiting:
            self._begin(tenant_id)
            return
        self._make_place(tenant_id)
        waiter = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant_id, deque()).append(waiter)
        self.waiting += 1
        try:
            async with asyncio.timeout(self.limits.wait_s):
                await waiter
        except BaseException as error:
            self._give_up(tenant_id, waiter)
            if isinstance(error, TimeoutError):
                raise self._full() from None
            raise

    def leave(self, tenant_id: str) -> None:
        """End of a call; the next ones of the line may run."""
        self.running -= 1
        left = self._running_of[tenant_id] - 1
        if left:
            self._running_of[tenant_id] = left
        else:
            del self._running_of[tenant_id]
        self._admit()

    @property
    def _has_room(self) -> bool:
        return self.limits.running is None or self.running < self.limits.running

    def _begin(self, tenant_id: str) -> None:
        self.running += 1
        self._running_of[tenant_id] = self._running_of.get(tenant_id, 0) + 1

    def _admit(self) -> None:
        while self.waiting and self._has_room:
            next_tenant = min(self._lines, key=lambda tenant_id: self._running_of.get(tenant_id, 0))
            waiter = self._lines[next_tenant][0]
            self._drop(next_tenant, waiter)
            if not waiter.done():  # else its caller went away
                waiter.set_result(None)
                self._begin(next_tenant)

    def _make_place(self, tenant_id: str) -> None:
        """Place in the line for one more call. Errors: ServerFull."""
        if self.waiting < self.limits.waiting:
            return
        longest = max(self._lines, key=lambda other: len(self._lines[other]), default=None)
        mine = len(self._lines.get(tenant_id, ()))
        if longest is None or len(self._lines[longest]) <= mine + 1:
            raise self._full(refused="full")
        waiter = self._lines[longest][-1]  # who came last has waited least
        self._drop(longest, waiter)
        if not waiter.done():
            waiter.set_exception(self._full(refused="full"))

    def _give_up(self, tenant_id: str, waiter: "asyncio.Future[None]") -> None:
        """Takes a caller out of the line that waits no more, or that got its turn just then."""
        if waiter in self._lines.get(tenant_id, ()):
            self._drop(tenant_id, waiter)
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.leave(tenant_id)

    def _drop(self, tenant_id: str, waiter: "asyncio.Future[None]") -> None:
        line = self._lines[tenant_id]
        line.remove(waiter)
        self.waiting -= 1
        if not line:
            del self._lines[tenant_id]

    def _full(self, refused: str | None = None) -> ServerFull:
        """Error of a call that cannot be taken. refused: it may be sent to another server at once."""
        return ServerFull(running=self.running, waiting=self.waiting, refused=refused, retry_after_s=RETRY_S)

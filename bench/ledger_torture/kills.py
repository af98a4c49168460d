"""Kills of a torture: each waits for a call that comes to its stage, and strikes the call's server."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence

from bench.ledger_torture.schedule import PlannedKill, Stage
from bench.ledger_torture.servers import ServerProcess, Servers


class Kills:
    """Kills that are still to come, by their stage."""

    def __init__(self, planned: Sequence[PlannedKill], servers: Servers) -> None:
        self.done: Counter[Stage] = Counter()
        self.serving: dict[int, ServerProcess] = {}  # by the number of the call
        self._servers = servers
        self._waiting = {stage: deque(kill for kill in planned if kill.stage is stage) for stage in Stage}
        self._striking: set[asyncio.Task[None]] = set()

    @property
    def left(self) -> int:
        return sum(map(len, self._waiting.values())) + len(self._striking)

    async def due(self, number: int) -> None:
        """Returns when the call of that number may begin: a kill that is due finds two servers."""
        if any(waiting and waiting[0].number <= number for waiting in self._waiting.values()):
            await self._servers.two_alive()

    def reached(self, stage: Stage, number: int, place: int = 0) -> None:
        """A call has come to a stage, of a stream to the message of that place."""
        waiting = self._waiting[stage]
        if not waiting or waiting[0].number > number or (stage is Stage.STREAM and waiting[0].place > place):
            return
        server = self.serving.get(number)
        if server is None or not server.is_alive:
            return
        task = asyncio.create_task(self._strike(waiting.popleft(), server))
        self._striking.add(task)
        task.add_done_callback(self._striking.discard)

    async def _strike(self, kill: PlannedKill, server: ServerProcess) -> None:
        await asyncio.sleep(kill.delay_s)
        if self._servers.kill(server):
            self.done[kill.stage] += 1
        else:  # another one was faster: the next call has its turn
            self._waiting[kill.stage].appendleft(kill)

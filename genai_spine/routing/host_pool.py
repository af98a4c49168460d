"""Hosts of an upstream that serve the same: which of them answer.

A host that cannot be connected to leaves the pool at once, with the call that found it out; one that fails
its health check, with that. A health check that succeeds brings it back. While no host answers, all are
tried.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from genai_spine.errors import ProviderError, ProviderTimeout, ProviderUnavailable, SpineError
from genai_spine.providers.base import Provider

HEALTH_TIMEOUT_S = 5.0
FAILURES = (ProviderUnavailable, ProviderTimeout, ProviderError)  # of a health check
UNREACHABLE = ("connect", "connect_timeout")  # provider_code of a connection that could not be made

log = structlog.get_logger()


class Host:
    """One host of an upstream. Its calls may have several keys."""

    __slots__ = ("is_down", "provider", "running", "url")

    def __init__(self, provider: Provider) -> None:
        """provider: adapter of the host, with any key."""
        self.provider = provider
        self.url = provider.endpoint.base_url
        self.running = 0  # calls of this process
        self.is_down = False

    def failed(self, cause: object) -> None:
        """Takes the host out of the pool."""
        if not self.is_down:
            log.warning("host_down", provider=self.provider.name, host=self.url, cause=str(cause)[:300])
        self.is_down = True

    def answered(self) -> None:
        """Brings the host back."""
        if self.is_down:
            log.info("host_up", provider=self.provider.name, host=self.url)
        self.is_down = False


class HostPool:
    """Hosts of one upstream, and their health checks."""

    def __init__(self, hosts: Sequence[Host], period_s: float) -> None:
        """period_s: seconds between two health checks of a host."""
        self.hosts = hosts
        self._period_s = period_s
        self._checks: asyncio.Task[None] | None = None

    @property
    def live(self) -> Host:
        """Host that answers and has the fewest calls; the first of all when none answers."""
        up = [host for host in self.hosts if not host.is_down]
        return min(up, key=lambda host: host.running) if up else self.hosts[0]

    def start(self) -> None:
        """Begins the health checks, where there is a choice between hosts."""
        if len(self.hosts) > 1 and self._checks is None:
            self._checks = asyncio.create_task(self._check_forever())

    async def stop(self) -> None:
        """Ends the health checks."""
        if self._checks is not None:
            self._checks.cancel()
            with suppress(asyncio.CancelledError):
                await self._checks
            self._checks = None

    def record(self, host: Host, outcome: BaseException | None) -> None:
        """Notes the outcome of a call; None: a good answer."""
        if outcome is None:
            host.answered()
        elif isinstance(outcome, ProviderUnavailable) and outcome.metadata["provider_code"] in UNREACHABLE:
            host.failed(outcome)

    async def check(self) -> None:
        """One health check of every host."""
        await asyncio.gather(*map(self._check, self.hosts))

    async def _check_forever(self) -> None:
        while True:
            await self.check()
            await asyncio.sleep(self._period_s)

    async def _check(self, host: Host) -> None:
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                await host.provider.health()
        except TimeoutError:
            host.failed(f"no answer to a health check within {HEALTH_TIMEOUT_S:g} s")
        except FAILURES as error:
            host.failed(error)
        except SpineError:  # it answers, if only that it has no list of models, or takes no such key
            host.answered()
        except Exception as error:  # a fault of ours: calls will tell whether the host is well
            log.exception("health_check_failed", provider=host.provider.name, host=host.url, error=str(error))
        else:
            host.answered()

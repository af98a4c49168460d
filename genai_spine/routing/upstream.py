"""An upstream as routing sees it: one provider with its keys, their circuits, its speed and its limits."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from genai_spine import errors
from genai_spine.errors import CircuitOpen, ProviderBusy, SpineError
from genai_spine.providers.base import Provider
from genai_spine.routing.circuit_breaker import DEFAULTS, Circuit, UpstreamLimits
from genai_spine.routing.host_pool import Host, HostPool
from genai_spine.v1 import provider_service_pb2 as pb

# What says that the upstream is not well. A refused request says nothing of the kind.
FAILURES = (errors.ProviderUnavailable, errors.ProviderTimeout, errors.ProviderError)
KEY_COOLDOWN_S = 60.0  # of a key that was refused or has no money left
RATE_LIMIT_COOLDOWN_S = 1.0  # of a key whose rate is limited, when the upstream does not say for how long
NEWEST = 0.2  # weight of the newest measurement in a running mean


class KeySlot:
    """One key of an upstream, for one of its hosts."""

    __slots__ = ("circuit", "cooldown_until", "host", "provider")

    def __init__(self, provider: Provider, circuit: Circuit, host: Host) -> None:
        self.provider = provider
        self.circuit = circuit
        self.host = host
        self.cooldown_until = 0.0  # on time.monotonic()


class Upstream:
    """One provider with all its hosts and keys: concurrency limit, circuits, cooldowns and mean latencies."""

    def __init__(self, providers: Sequence[Provider], limits: UpstreamLimits = DEFAULTS) -> None:
        """providers: the same upstream, one for each host and key."""
        self.provider = providers[0]
        self.name = self.provider.name
        self.limits = limits
        self.running = 0
        hosts: dict[str, Host] = {}
        for provider in providers:
            hosts.setdefault(provider.endpoint.base_url, Host(provider))
        self.pool = HostPool(list(hosts.values()), self.provider.endpoint.health_check_s)
        self.key_slots = [
            KeySlot(provider, Circuit(limits), hosts[provider.endpoint.base_url]) for provider in providers
        ]
        # Running means, by model: of the time to the first token of streams, and of whole answers.
        self.first_ms: dict[str, float] = {}
        self.whole_ms: dict[str, float] = {}
        self._next = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def key_count(self) -> int:
        """Number of keys, each of which all hosts take."""
        return len(self.key_slots) // len(self.pool.hosts)

    @property
    def full(self) -> bool:
        """Whether as many calls run as the concurrency limit allows."""
        return self.limits.concurrency is not None and self.running >= self.limits.concurrency

    @property
    def state(self) -> "pb.CircuitState":
        """The worst of its keys'."""
        states = {key_slot.circuit.state for key_slot in self.key_slots}
        worst_first = (pb.CIRCUIT_STATE_OPEN, pb.CIRCUIT_STATE_HALF_OPEN)
        return next((state for state in worst_first if state in states), pb.CIRCUIT_STATE_CLOSED)

    @property
    def allows(self) -> bool:
        """Whether the circuit of some key allows a call."""
        return any(key_slot.circuit.allows for key_slot in self.key_slots)

    @property
    def open_s(self) -> float:
        """Seconds until the first key's circuit allows a trial; 0 when one allows calls."""
        return min(key_slot.circuit.open_s for key_slot in self.key_slots)

    def acquire(self) -> KeySlot | None:
        """The next key that may be used, now in use; None when there is none, or too much runs."""
        if self.full:
            return None
        if len(self.key_slots) == 1:
            key_slot = self.key_slots[0]
            if not (key_slot.circuit.is_quiet or key_slot.circuit.allows):
                return None
        else:
            found = self._next_key()
            if found is None:
                return None
            key_slot = found
        if not key_slot.circuit.is_quiet:
            key_slot.circuit.begin()
        self.running += 1
        key_slot.host.running += 1
        return key_slot

    async def wait(self, limit_s: float | None) -> None:
        """Returns when a running call has ended, or the time is over."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def release(self, key_slot: KeySlot, outcome: BaseException | None) -> None:
        """Ends what take() began; outcome: None for a good answer."""
        self.running -= 1
        key_slot.host.running -= 1
        if len(self.pool.hosts) > 1:
            self.pool.record(key_slot.host, outcome)
        if outcome is None:
            if not key_slot.circuit.is_quiet:
                key_slot.circuit.succeeded()
        elif isinstance(outcome, FAILURES):
            key_slot.circuit.failed()
        elif isinstance(outcome, SpineError):
            key_slot.circuit.succeeded()  # it answered, if only with a refusal
            self._rest(key_slot, outcome)
        else:
            key_slot.circuit.left()
        while self._waiting:
            waiting = self._waiting.pop(0)
            if not waiting.done():
                waiting.set_result(None)
                return

    def record_latency(self, model: str, took_ms: float, *, streamed: bool) -> None:
        """Adds a measured latency to the model's running mean, in milliseconds."""
        means = self.first_ms if streamed else self.whole_ms
        known = means.get(model, took_ms)
        means[model] = known + NEWEST * (took_ms - known)

    def speed_ms(self, model: str) -> float | None:
        """Of streams where there were any, otherwise of whole answers. None: not measured."""
        return self.first_ms.get(model, self.whole_ms.get(model))

    def busy(self) -> ProviderBusy:
        """Error of an upstream that has as many calls in progress as it may have."""
        return ProviderBusy(provider=self.name, running=self.running, retry_after_s=1.0)

    def circuit_open(self) -> CircuitOpen:
        """Error of an upstream whose circuit is open for every key."""
        failures, open_s = self.limits.failures, max(self.open_s, 1.0)
        return CircuitOpen(
            provider=self.name, open_s=f"{open_s:.0f}", failures=failures, retry_after_s=open_s
        )

    def _next_key(self) -> KeySlot | None:
        """On the live host with the fewest calls, in turn; a key in its cooldown only when all are."""
        now, count = monotonic(), len(self.key_slots)
        admitting = [
            key_slot
            for at in range(count)
            if (key_slot := self.key_slots[(self._next + at) % count]).circuit.allows
        ]
        if not admitting:
            return None
        key_slot = min(
            admitting,
            key=lambda key_slot: (
                key_slot.host.is_down,
                max(0.0, key_slot.cooldown_until - now),
                key_slot.host.running,
            ),
        )
        self._next = self.key_slots.index(key_slot) + 1
        return key_slot

    def has_other_key(self, key_slot: KeySlot) -> bool:
        """There is a key besides this one that does not rest."""
        now = monotonic()
        return any(
            other is not key_slot and other.circuit.allows and other.cooldown_until <= now
            for other in self.key_slots
        )

    def has_other_host(self, key_slot: KeySlot) -> bool:
        """There is a host besides this one that answers, as far as is known."""
        return any(
            other.host is not key_slot.host and not other.host.is_down and other.circuit.allows
            for other in self.key_slots
        )

    @property
    def live_provider(self) -> Provider:
        """Adapter for what is no call of a model: of a host that answers."""
        return self.pool.live.provider

    async def close(self) -> None:
        """Ends the health checks and frees the adapters."""
        await self.pool.stop()
        for key_slot in self.key_slots:
            await key_slot.provider.close()

    def _rest(self, key_slot: KeySlot, error: SpineError) -> None:
        if isinstance(error, errors.ProviderRateLimited):
            key_slot.cooldown_until = monotonic() + (error.retry_after_s or RATE_LIMIT_COOLDOWN_S)
        elif isinstance(error, errors.ProviderAuthentication | errors.ProviderQuotaExceeded):
            key_slot.cooldown_until = monotonic() + KEY_COOLDOWN_S

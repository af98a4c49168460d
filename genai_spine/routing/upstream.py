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
# What ends a call before it is sent says nothing about its upstream.
UNSENT = (errors.BudgetExceeded, errors.PriceUnknown, errors.ServiceUnavailable)
KEY_COOLDOWN_S = 60.0  # of a key that was refused or has no money left
MAX_COOLDOWN_S = 3600.0  # then a key is asked again, whatever its upstream said of the time
RATE_LIMIT_COOLDOWN_S = 1.0  # of a model whose rate is limited, when the upstream does not say for how long
MAX_MODELS = 1000  # of a key that circuits and cooldowns are remembered of; names are the callers' to choose
# provider_code where no model was reached: all models of the upstream are out of reach then.
UNREACHED = frozenset({"connect", "connect_timeout", "connection_lost", "credentials", "proxy", "redirect"})
NEWEST = 0.2  # weight of the newest measurement in a running mean


class KeySlot:
    """One key of an upstream, for one of its hosts: its circuit, those of its models, and their cooldowns.

    A model that fails (an error status, an unusable answer, silence) leaves the key's other models alone;
    a connection that cannot be made, and a key that is refused, concern all of them.
    """

    __slots__ = (
        "_limits",
        "circuit",
        "cooldown_until",
        "host",
        "model_circuits",
        "model_cooldowns",
        "provider",
    )

    def __init__(self, provider: Provider, limits: UpstreamLimits, host: Host) -> None:
        self.provider = provider
        self.circuit = Circuit(limits)
        self.host = host
        self.cooldown_until = 0.0  # on time.monotonic()
        self.model_circuits: dict[str, Circuit] = {}  # those that are not quiet
        self.model_cooldowns: dict[str, float] = {}  # by model, on time.monotonic()
        self._limits = limits

    def allows(self, model: str) -> bool:
        """Whether the circuits of key and model allow a call."""
        return all(circuit.allows for circuit in self._circuits(model))

    def open_s(self, model: str) -> float:
        """Seconds until the circuits of key and model allow a trial; 0 when they allow calls."""
        return max(circuit.open_s for circuit in self._circuits(model))

    def cooldown(self, model: str) -> float:
        """End of the cooldown of key and model, on time.monotonic()."""
        return max(self.cooldown_until, self.model_cooldowns.get(model, 0.0))

    def begin(self, model: str) -> None:
        """Records that a call of a model begins."""
        for circuit in self._circuits(model):
            circuit.begin()

    def record(self, model: str, outcome: BaseException | None) -> None:
        """Records how a call of a model ended; None: with a good answer."""
        if isinstance(outcome, UNSENT) or not (outcome is None or isinstance(outcome, SpineError)):
            for circuit in self._circuits(model):
                circuit.left()
        elif isinstance(outcome, FAILURES) and outcome.metadata.get("provider_code") in UNREACHED:
            self.circuit.failed()
            if (of_model := self.model_circuits.get(model)) is not None:
                of_model.left()
        elif isinstance(outcome, FAILURES):
            self.circuit.succeeded()  # it answered, if badly
            self._of_model(model).failed()
        else:
            for circuit in self._circuits(model):
                circuit.succeeded()  # it answered, if only with a refusal
                if circuit.is_quiet:
                    self.model_circuits.pop(model, None)
            if outcome is not None:
                self._rest(model, outcome)

    def _circuits(self, model: str) -> tuple[Circuit, ...]:
        of_model = self.model_circuits.get(model)
        return (self.circuit,) if of_model is None else (of_model, self.circuit)

    def _of_model(self, model: str) -> Circuit:
        found = self.model_circuits.get(model)
        if found is None:
            if len(self.model_circuits) >= MAX_MODELS:
                del self.model_circuits[next(iter(self.model_circuits))]
            found = self.model_circuits[model] = Circuit(self._limits)
        return found

    def _rest(self, model: str, error: SpineError) -> None:
        if isinstance(error, errors.ProviderRateLimited):
            if len(self.model_cooldowns) >= MAX_MODELS:
                self.model_cooldowns.clear()
            rest_s = min(error.retry_after_s or RATE_LIMIT_COOLDOWN_S, MAX_COOLDOWN_S)
            self.model_cooldowns[model] = monotonic() + rest_s
        elif isinstance(error, errors.ProviderAuthentication | errors.ProviderQuotaExceeded):
            self.cooldown_until = monotonic() + KEY_COOLDOWN_S


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
            KeySlot(provider, limits, hosts[provider.endpoint.base_url]) for provider in providers
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
        """Whether the circuit of some key allows a call of some model."""
        return any(key_slot.circuit.allows for key_slot in self.key_slots)

    @property
    def open_models(self) -> list[str]:
        """Models whose own circuit is open, by name; none while the circuit of every key is."""
        if not self.allows:
            return []
        names = {model for key_slot in self.key_slots for model in key_slot.model_circuits}
        return sorted(model for model in names if self.open_s_of(model))

    @property
    def open_s(self) -> float:
        """Seconds until the first key's circuit allows a trial; 0 when one allows calls."""
        return min(key_slot.circuit.open_s for key_slot in self.key_slots)

    def open_s_of(self, model: str) -> float:
        """Seconds until a call of the model is allowed with some key; 0 when it is."""
        return min(key_slot.open_s(model) for key_slot in self.key_slots)

    def acquire(self, model: str) -> KeySlot | None:
        """The next key for a call of a model, now in use; None when there is none, or too much runs."""
        if self.full:
            return None
        if len(self.key_slots) == 1:
            key_slot = self.key_slots[0]
            is_quiet = key_slot.circuit.is_quiet and not key_slot.model_circuits
            if not (is_quiet or key_slot.allows(model)):
                return None
        else:
            found = self._next_key(model)
            if found is None:
                return None
            key_slot = found
        if key_slot.model_circuits or not key_slot.circuit.is_quiet:
            key_slot.begin(model)
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

    def release(self, key_slot: KeySlot, model: str, outcome: BaseException | None) -> None:
        """Ends what acquire() began; outcome: None for a good answer."""
        self.running -= 1
        key_slot.host.running -= 1
        if len(self.pool.hosts) > 1:
            self.pool.record(key_slot.host, outcome)
        if outcome is not None or key_slot.model_circuits or not key_slot.circuit.is_quiet:
            key_slot.record(model, outcome)
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

    def circuit_open(self, model: str) -> CircuitOpen:
        """Error of an upstream whose circuit, or that of the model, is open for every key."""
        failures, open_s = self.limits.failures, max(self.open_s_of(model), 1.0)
        is_models = self.allows
        return CircuitOpen(
            upstream=f"{self.name}:{model}" if is_models else f"provider {self.name}",
            provider=self.name,
            model=model if is_models else None,
            open_s=f"{open_s:.0f}",
            failures=failures,
            retry_after_s=open_s,
        )

    def _next_key(self, model: str) -> KeySlot | None:
        """On the live host with the fewest calls, in turn; a key in its cooldown only when all are."""
        now, count = monotonic(), len(self.key_slots)
        admitting = [
            key_slot
            for at in range(count)
            if (key_slot := self.key_slots[(self._next + at) % count]).allows(model)
        ]
        if not admitting:
            return None
        key_slot = min(
            admitting,
            key=lambda key_slot: (
                key_slot.host.is_down,
                max(0.0, key_slot.cooldown(model) - now),
                key_slot.host.running,
            ),
        )
        self._next = self.key_slots.index(key_slot) + 1
        return key_slot

    def has_other_key(self, key_slot: KeySlot, model: str) -> bool:
        """There is a key besides this one that does not rest for the model."""
        now = monotonic()
        return any(
            other is not key_slot and other.allows(model) and other.cooldown(model) <= now
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

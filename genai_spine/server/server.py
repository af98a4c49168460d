"""Server of one process, from its listener to its end."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.budgets import defaults
from genai_spine.delivery.delivery import Delivery
from genai_spine.edge.channel_options import CHANNEL_OPTIONS
from genai_spine.edge.http_server.server import HttpServer
from genai_spine.edge.lifecycle import CallLifecycle
from genai_spine.edge.reflection import reflect
from genai_spine.edge.server_credentials import server_credentials
from genai_spine.prompts import default_prompts
from genai_spine.routing.upstream import Upstream
from genai_spine.server import services
from genai_spine.server.foundation import Foundation
from genai_spine.server.services import ModelFacts
from genai_spine.server.spending import default_budgets, webhook_of
from genai_spine.server.upstreams import upstreams_of
from genai_spine.services.symbol import SymbolService
from genai_spine.settings import Settings
from genai_spine.store import schema
from genai_spine.store.database import Database

STREAM_END_S = 1.0  # for the streams that a stop cuts to end with the reason
log = structlog.get_logger()


@dataclass(slots=True)
class Server:
    """Server process: started, reconfigured, drained and stopped in order."""

    listener: grpc.aio.Server  # that has the port: the one below, or one with nothing but health
    grpc: grpc.aio.Server
    foundation: Foundation
    upstreams: dict[str, Upstream]
    symbols: SymbolService
    health: health.aio.HealthServicer
    names: list[str]
    port: int = 0
    http: HttpServer | None = None  # None: there is none
    replaced: set[asyncio.Task[None]] = field(default_factory=set)  # upstreams that end with their last calls

    @property
    def settings(self) -> Settings:
        """Settings in force."""
        return self.foundation.settings

    @property
    def lifecycle(self) -> CallLifecycle:
        return self.foundation.lifecycle

    @property
    def ledger(self) -> Ledger:
        return self.foundation.ledger

    @property
    def database(self) -> Database:
        return self.foundation.database

    @property
    def delivery(self) -> Delivery:
        return self.foundation.delivery

    async def start(self) -> None:
        """Start of ledger, sweeper and listener, once the tables are checked."""
        await self._check_tables()
        await default_prompts.seed(self.foundation.prompts)
        await self._install_budgets(self.settings)
        await self.ledger.start()
        self.foundation.budgets.alerts.start()
        if self.lifecycle.authenticator is not None:
            self.lifecycle.authenticator.start()
        self.foundation.sweeper.start()
        self.foundation.request_log.start()
        self.foundation.metrics.start()
        for upstream in self.upstreams.values():
            upstream.pool.start()
        if self.settings.run_concurrency:
            await self.foundation.runs.start()
        await self.grpc.start()
        if self.listener is not self.grpc:
            await self.listener.start()
        if self.http is not None:
            await self.http.start()
        for name in ("", *self.names):
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def _check_tables(self) -> None:
        """Schema check.

        A scratch database is migrated here, any other one on purpose by `genai-spine migrate`.
        """
        if self.database.is_scratch:
            await schema.upgrade(self.database)
        else:
            await schema.check(self.database)

    async def reload(self, settings: Settings) -> None:
        """New configuration for calls that begin from now on; those that run keep theirs.

        settings: as `loader.reloaded` gives them. Errors: those of adapters and prices, of a webhook that
        cannot be and of a database that is away, which leave the old configuration in force.
        """
        facts = await asyncio.to_thread(ModelFacts.load, settings)
        webhook = webhook_of(settings)
        upstreams = upstreams_of(settings, self.settings, self.upstreams)
        await self._install_budgets(settings)
        await self.foundation.budgets.refresh()
        self.foundation.budgets.alerts.webhook = webhook
        self.foundation.settings = settings
        services.attach(self.foundation, facts, upstreams, self.symbols)
        older = self.lifecycle.calls.next_generation()
        left = [one for one in self.upstreams.values() if one not in upstreams.values()]
        self.upstreams = upstreams
        for upstream in upstreams.values():
            upstream.pool.start()
        task = asyncio.create_task(_close_after(older, left))
        await asyncio.sleep(0)  # it has begun: cancelled now, it closes them all the same
        self.replaced.add(task)
        task.add_done_callback(self.replaced.discard)

    async def _install_budgets(self, settings: Settings) -> None:
        """Default budgets of the settings in the database, for all servers. Errors: ServiceUnavailable."""
        budgets, audit = self.foundation.budgets, self.foundation.access.audit
        await defaults.install(budgets.rows, audit, default_budgets(settings))

    async def stop(self) -> None:
        """Graceful stop: no new calls, up to drain_s for running ones, then the ledger is flushed."""
        drain_s = self.settings.drain_timeout
        self.lifecycle.draining = True
        await self.health.enter_graceful_shutdown()
        log.info("draining", running=self.lifecycle.running, up_to_s=drain_s)
        self.foundation.runs.worker.drain()
        await asyncio.sleep(self.settings.drain_delay)
        # A batch that would take longer answers with what it has, rather than be cut off.
        last_orders = asyncio.get_running_loop().call_later(drain_s / 2, self.symbols.stop)
        until = monotonic() + drain_s
        time_is_up = asyncio.get_running_loop().call_later(drain_s, self.lifecycle.cut_streams)
        await asyncio.gather(self._stop_http(drain_s + STREAM_END_S), self.grpc.stop(drain_s + STREAM_END_S))
        last_orders.cancel()
        time_is_up.cancel()
        await self.foundation.idempotency.drain(max(0.0, until - monotonic()))
        await self.delivery.drain(max(0.0, until - monotonic()))
        await self.foundation.runs.stop(max(0.0, until - monotonic()))
        if self.listener is not self.grpc:
            await self.listener.stop(0)
        await self.foundation.sweeper.stop()
        await self.foundation.request_log.stop()
        for task in self.replaced:
            task.cancel()  # which closes what it waits for
        await asyncio.gather(*self.replaced, return_exceptions=True)
        for upstream in self.upstreams.values():
            await upstream.close()
        if self.lifecycle.authenticator is not None:
            await self.lifecycle.authenticator.stop()
        await self.foundation.prompts.close()
        await self.ledger.stop()
        await self.foundation.budgets.alerts.stop()
        await self.foundation.metrics.stop()
        await self.database.close()

    async def _stop_http(self, grace_s: float) -> None:
        if self.http is not None:
            await self.http.stop(grace_s)


async def _close_after(older: "asyncio.Future[None]", upstreams: list[Upstream]) -> None:
    """Closes upstreams once no call can use them any more."""
    try:
        await older
        for upstream in upstreams:
            while upstream.running:  # for callers that went away
                await upstream.wait(None)
    finally:
        for upstream in upstreams:
            await upstream.close()


def _listen(server: grpc.aio.Server, settings: Settings) -> int:
    """Port that the server listens on. Raises ValueError for a certificate that cannot be used."""
    address = f"{settings.grpc_host}:{settings.grpc_port}"
    if settings.grpc_tls is None:
        return server.add_insecure_port(address)
    if settings.health_socket is not None:  # of the supervisor, which has no certificate to show
        server.add_insecure_port(f"unix:{settings.health_socket}")
    return server.add_secure_port(address, server_credentials(settings.grpc_tls))


def build(settings: Settings, *, only_runs: bool = False) -> Server:
    """Server that listens and is not started yet. settings.grpc_port 0: any free port.

    only_runs: a worker, which takes no calls but those about its health. Raises ValueError for a certificate
    that cannot be used.
    """
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    listener = grpc.aio.server() if only_runs else server
    port = _listen(listener, settings)
    foundation = Foundation.lay(settings, server)
    upstreams = upstreams_of(settings, settings, {})
    symbols = services.attach(foundation, ModelFacts.load(settings), upstreams)
    names = [
        service.full_name for file in services.FILES for service in file.DESCRIPTOR.services_by_name.values()
    ]
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, listener)
    if not only_runs:
        authenticator = foundation.access.authenticator
        reflect([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server, authenticator)
    return Server(
        grpc=server,
        listener=listener,
        foundation=foundation,
        upstreams=upstreams,
        symbols=symbols,
        health=checks,
        names=names,
        port=port,
        http=_http_server(settings, foundation.lifecycle) if not only_runs else None,
    )


def _http_server(settings: Settings, lifecycle: CallLifecycle) -> HttpServer | None:
    """HTTP server of the settings; None: they want none. Raises ValueError, as build() does."""
    if settings.http_port is None:
        return None
    return HttpServer(lifecycle, settings.http_host, settings.http_port, settings.grpc_tls)

"""`genai-spine up`: servers and Envoy as one, from the first line printed to the last call finished."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import typer

from genai_spine.access import secrets
from genai_spine.configuration.loader import Configuration
from genai_spine.errors import ServiceUnavailable
from genai_spine.providers.base import Endpoint
from genai_spine.settings import Settings
from genai_spine.store import schema
from genai_spine.store.database import Database
from genai_spine.store.leases import Leases
from genai_spine.supervisor import control, default_model, endpoints
from genai_spine.supervisor.edge_tls import EdgeCertificate, ServerTrust
from genai_spine.supervisor.envoy import Addresses, Envoy, effective
from genai_spine.supervisor.reload import Reloader
from genai_spine.supervisor.rolling_restart import STOP_MARGIN_S, Fleet, RollingRestart
from genai_spine.supervisor.rolling_restart import lanes as lanes_of
from genai_spine.supervisor.run_folder import run_folder
from genai_spine.supervisor.server_process import ServerProcess
from genai_spine.supervisor.watchdog import Child, Watch

LEASE_END_S = 5.0  # at most, before a server that died is started again

log = structlog.get_logger()


async def up(configuration: Configuration, lanes: Sequence[str], *, as_json: bool) -> None:
    """Run of servers and Envoy until SIGTERM or SIGINT.

    Raises StartFailed when a process does not start; later it is restarted.
    """
    settings = configuration.settings
    stopping = _stopping()
    await schema.upgrade(settings.database)
    _check_secret(settings)
    defaults, notice = await _defaults(settings)
    with run_folder() as folder:
        reloader = Reloader(
            configuration, folder / "configuration.json", _Defaults(settings, defaults).overrides
        )
        reloader.start(_as_overrides(defaults))
        reloader.listen(stopping.set)

        def make(latest: Settings, snapshot: Path) -> list[ServerProcess]:
            return [
                ServerProcess(lane, "127.0.0.1", 0, 0, snapshot, on_end=_end_lease(latest))
                for lane in lanes
                for _ in range(latest.processes if lane == "cpu" else 1)
            ]

        fleet = Fleet(Envoy(folder), make(settings, reloader.snapshot))
        reloader.servers = fleet.servers
        watch = _watch_of(settings)
        restarts = RollingRestart(fleet, watch, reloader, make)
        edge, certificate = fleet.edge, _certificate(settings, folder)
        try:
            await _first(stopping, asyncio.gather(*(server.start() for server in fleet.servers)))
            if not stopping.is_set():
                await edge.start(_addresses(settings, fleet, certificate))
                commands = {"reload": reloader.answer, "restart": restarts.answer}
                async with control.listening(edge.port, commands), _renewing(certificate):
                    _announce(
                        {
                            "url": f"{_scheme(settings)}{settings.api_host}:{edge.port}",
                            "grpc": f"{settings.api_host}:{edge.port}",
                            "docs": f"{_scheme(settings)}{settings.api_host}:{edge.port}/docs",
                            "symbols": _symbols(settings, edge),
                            "servers": [f"{server.host}:{server.port}" for server in fleet.servers],
                            "http_servers": [f"{one.host}:{one.http_port}" for one in fleet.servers],
                            "pid": os.getpid(),
                            "default_model": _default_route(settings, defaults),
                            "notice": notice,
                        },
                        as_json=as_json,
                    )
                    restarts.listen()
                    await _keep(watch, [*fleet.servers, edge], stopping)
        finally:
            await restarts.close()
            await _stop(fleet.all, edge, reloader.configuration.settings.drain_timeout)


async def serve(configuration: Configuration) -> None:
    """Several server processes without Envoy, on grpc_port and those after it."""
    settings = configuration.settings
    stopping = _stopping()
    with run_folder() as folder:
        snapshot = folder / "configuration.json"
        reloader = Reloader(configuration, snapshot, _no_overrides)
        reloader.start({})
        reloader.listen(stopping.set)
        servers = reloader.servers = [
            ServerProcess(
                settings.lane,
                settings.grpc_host,
                settings.grpc_port + number,
                None if settings.http_port is None else settings.http_port + number,
                snapshot,
                folder / f"{number}.sock" if settings.grpc_tls else None,
                on_end=_end_lease(settings),
            )
            for number in range(settings.processes)
        ]
        try:
            await _first(stopping, asyncio.gather(*(server.start() for server in servers)))
            async with control.listening(servers[0].port, {"reload": reloader.answer}):
                typer.echo(json.dumps({"ports": [server.port for server in servers]}))
                await _keep(_watch_of(settings), servers, stopping)
        finally:
            await _stop(servers, None, settings.drain_timeout)


def _check_secret(settings: Settings) -> None:
    """Root secret where callers are asked for keys; one is made beside an SQLite database.

    Raises ValueError, OSError. A server would say the same, but only in its log.
    """
    if settings.has_no_secret:
        secrets.create_beside(settings.database)
    value = settings.secret_key.get_secret_value() if settings.secret_key is not None else None
    found = secrets.found(value, settings.secret_key_file, settings.database)
    if settings.auth == "on" and found is None:
        raise ValueError(secrets.MISSING)


@dataclass(frozen=True, slots=True)
class _Defaults:
    """Default route as it was found at the start."""

    settings: Settings
    variables: dict[str, str]

    async def overrides(self, settings: Settings) -> dict[str, Any]:
        """Settings of servers behind our own Envoy after a reload.

        A default provider that could not be used at the start is asked again. One that worked is not replaced
        because it does not answer just now.
        """
        replaced = self.variables and settings.default_provider == self.settings.default_provider
        return _as_overrides((await _defaults(settings))[0] if replaced else {})


def _as_overrides(variables: Mapping[str, str]) -> dict[str, Any]:
    """Settings that win over genai.yaml, of the variables that say the same."""
    own = {name.removeprefix("GENAI_").lower(): value for name, value in variables.items()}
    # All servers stop together, so there is none that a refused call could go to.
    return {**own, "drain_delay": 0.0, "is_behind_own_envoy": True, "http_host": "127.0.0.1"}


async def _no_overrides(settings: Settings) -> dict[str, Any]:
    return {}


def write_edge_config(settings: Settings, folder: Path) -> Path:
    """Envoy's configuration for one server per process on grpc_port and those after it."""
    host, first = settings.grpc_host, settings.grpc_port
    lanes: dict[str, list[tuple[str, int]]] = {
        settings.lane: [(host, first + number) for number in range(settings.processes)]
    }
    if settings.http_port is not None:
        http = [(settings.http_host, settings.http_port + number) for number in range(settings.processes)]
        lanes[endpoints.over_http(settings.lane)] = http
    certificate = EdgeCertificate(settings.api_tls, folder / "tls") if settings.api_tls else None
    if certificate:
        certificate.refer()
    addresses = Addresses(
        host=settings.api_host,
        port=settings.api_port,
        symbols=settings.symbols_address,
        origins=settings.cors_origins,
        admin_port=settings.envoy_admin_port or 9901,
        lanes=lanes,
        tls=certificate.transport_socket if certificate else None,
        servers_tls=_server_trust(settings, settings.grpc_host),
        http_servers_tls=_server_trust(settings, settings.http_host, "http/1.1"),
    )
    return effective(addresses, folder)


def _server_trust(settings: Settings, host: str, protocol: str = "h2") -> dict[str, Any] | None:
    """Transport socket towards servers of other machines at a host; None: without TLS."""
    if settings.edge_tls_ca is None:
        return None
    trust = ServerTrust(settings.edge_tls_ca, settings.edge_tls_certificate, settings.edge_tls_key)
    return trust.transport_socket(host, protocol)


def _symbols(settings: Settings, edge: Envoy) -> str | None:
    """Address of the listener for symbol documentation; None: there is none."""
    address = settings.symbols_address
    return f"{_scheme(settings)}{address[0]}:{edge.symbols_port}" if address else None


def _scheme(settings: Settings) -> str:
    """Beginning of the URLs of our listeners."""
    return "https://" if settings.api_tls else "http://"


def _certificate(settings: Settings, folder: Path) -> EdgeCertificate | None:
    """Certificate of the public port; None: it speaks without TLS. Raises ValueError."""
    if settings.api_tls is None:
        return None
    certificate = EdgeCertificate(settings.api_tls, folder / "tls")
    certificate.write()
    return certificate


@asynccontextmanager
async def _renewing(certificate: EdgeCertificate | None) -> AsyncIterator[None]:
    """Takes over renewed certificates as long as the context lasts."""
    if certificate is None:
        yield
        return
    following = asyncio.create_task(certificate.follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _end_lease(settings: Settings) -> Callable[[str], Awaitable[None]]:
    """Ends the lease of a process that ended, so that the next sweep books its calls."""

    async def end(server_id: str) -> None:
        database = Database(settings.database, 1, 3)
        try:
            if not database.is_scratch:  # which died with its process
                async with asyncio.timeout(LEASE_END_S):
                    await Leases(database).release(server_id)
        except (ServiceUnavailable, TimeoutError) as error:
            log.warning("lease_not_ended", server_id=server_id, cause=str(error))
        finally:
            await database.close()

    return end


def _stopping() -> asyncio.Event:
    event = asyncio.Event()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # which would end it, until it listens to that
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


async def _defaults(settings: Settings) -> tuple[dict[str, str], str | None]:
    """Variables for the servers, and what a person should know about them.

    A default that cannot be called would make the first call fail; what stands in for it is said.
    """
    found = await default_model.find(settings)
    if found.problem is None:
        return {}, None
    notice = found.problem
    name = default_model.provider_of(settings)
    if (found.provider, found.model) != (name, _own_model(settings, settings.endpoints.get(name))):
        notice += f"; using {found.provider}:{found.model}"
    if found.provider == "builtin":
        notice += ", the built-in extractive processor, which is no language model"
    if found.remedy:
        notice += f". {found.remedy[0].upper()}{found.remedy[1:]}"
    return {"GENAI_DEFAULT_PROVIDER": found.provider, "GENAI_DEFAULT_MODEL": found.model}, notice


def _own_model(settings: Settings, endpoint: Endpoint | None) -> str | None:
    """Default model as the settings have it."""
    return default_model.model_of(settings) or (endpoint.default_model if endpoint else None)


def _addresses(settings: Settings, fleet: Fleet, certificate: EdgeCertificate | None) -> Addresses:
    return Addresses(
        host=settings.api_host,
        port=settings.api_port,
        symbols=settings.symbols_address,
        origins=settings.cors_origins,
        admin_port=settings.envoy_admin_port,
        lanes=lanes_of(fleet.servers),
        tls=certificate.transport_socket if certificate else None,
        folder=fleet.edge.run_dir,
    )


def _watch_of(settings: Settings) -> Watch:
    return Watch(settings.health_timeout, settings.drain_delay + settings.drain_timeout + STOP_MARGIN_S)


async def _keep(watch: Watch, children: Sequence[Child], stopping: asyncio.Event) -> None:
    """Replaces what exits or hangs, until stopping is set."""
    for child in children:
        watch.add(child)
    await _first(stopping, asyncio.ensure_future(watch.keep()))


async def _first(stopping: asyncio.Event, job: "asyncio.Future[Any]") -> None:
    """Waits for the job or for the order to stop, whichever comes first; raises what the job raises."""
    order = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((order, job), return_when=asyncio.FIRST_COMPLETED)
    order.cancel()
    if job.done():
        job.result()
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)


async def _stop(servers: Sequence[ServerProcess], edge: Envoy | None, drain_s: float) -> None:
    """Servers first, through an Envoy that still carries what runs; then Envoy."""
    grace_s = drain_s + STOP_MARGIN_S
    draining: list[Awaitable[None]] = [server.stop(grace_s) for server in servers]
    if edge is not None:
        draining.append(edge.drain())
    await asyncio.gather(*draining)
    if edge is not None:
        await edge.stop()


def _default_route(settings: Settings, defaults: dict[str, str]) -> str:
    """Default route, as provider:model or an alias, of a request that names neither; the provider alone where
    it has no default model.
    """
    name = defaults.get("GENAI_DEFAULT_PROVIDER") or default_model.provider_of(settings)
    model = defaults.get("GENAI_DEFAULT_MODEL") or _own_model(settings, settings.endpoints.get(name))
    if not model:
        return name
    return str(model) if model in settings.model_aliases else f"{name}:{model}"


def _announce(fields: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(fields))
        return
    base, model = fields["url"], fields["default_model"]
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
    program = "genai-spine" if shutil.which("genai-spine") else os.path.relpath(sys.argv[0])
    lines = [
        f"GenAI Spine is up: {base} (REST, OpenAI JSON, gRPC, gRPC-Web)   docs: {base}/docs",
        *([f"Symbol documentation: {fields['symbols']}/generate"] if fields["symbols"] else []),
        *([f"note: {fields['notice']}"] if fields["notice"] else []),
        "",
        "Try:",
        f"  curl -N {base}/v1/chat/completions -H 'content-type: application/json' "
        f"-d '{json.dumps(body | {'stream': True})}'",
        f"  {program} chat --address {fields['grpc']} 'Say hello.'",
        f"  curl {base}/v1/models",
        "",
        "Ctrl-C stops it; calls that run are finished first.",
    ]
    typer.echo("\n".join(lines))

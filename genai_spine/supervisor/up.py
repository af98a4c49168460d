"""`genai-spine up`: servers and Envoy as one, from the first line printed to the last call finished."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from genai_spine.supervisor import control, default_model
from genai_spine.supervisor.envoy import Addresses, Envoy, effective
from genai_spine.supervisor.reload import Reloader
from genai_spine.supervisor.run_folder import run_folder
from genai_spine.supervisor.server_process import ServerProcess
from genai_spine.supervisor.watchdog import Child, Watchdog

LEASE_END_S = 5.0  # at most, before a server that died is started again
STOP_MARGIN_S = 15.0  # for what a server does after its running calls: booking, closing

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
        snapshot = folder / "configuration.json"
        reloader = Reloader(configuration, snapshot, _Defaults(settings, defaults).overrides)
        reloader.start(_as_overrides(defaults))
        reloader.listen(stopping.set)
        servers = reloader.servers = [
            ServerProcess(lane, "127.0.0.1", 0, snapshot, on_end=_end_lease(settings))
            for lane in lanes
            for _ in range(settings.processes if lane == "cpu" else 1)
        ]
        edge = Envoy(folder)
        try:
            await _first(stopping, asyncio.gather(*(server.start() for server in servers)))
            if not stopping.is_set():
                await edge.start(_addresses(settings, servers))
                async with control.listening(edge.port, reloader.answer):
                    _announce(
                        {
                            "url": f"http://{settings.api_host}:{edge.port}",
                            "grpc": f"{settings.api_host}:{edge.port}",
                            "docs": f"http://{settings.api_host}:{edge.port}/docs",
                            "symbols": _symbols(settings, edge),
                            "servers": [f"{server.host}:{server.port}" for server in servers],
                            "pid": os.getpid(),
                            "default_model": _default_route(settings, defaults),
                            "notice": notice,
                        },
                        as_json=as_json,
                    )
                    await _watch([*servers, edge], settings, stopping)
        finally:
            await _stop(servers, edge, settings.drain_timeout)


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
                snapshot,
                on_end=_end_lease(settings),
            )
            for number in range(settings.processes)
        ]
        try:
            await _first(stopping, asyncio.gather(*(server.start() for server in servers)))
            async with control.listening(servers[0].port, reloader.answer):
                typer.echo(json.dumps({"ports": [server.port for server in servers]}))
                await _watch(servers, settings, stopping)
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
    return {**own, "drain_delay": 0.0}


async def _no_overrides(settings: Settings) -> dict[str, Any]:
    return {}


def write_edge_config(settings: Settings, folder: Path) -> Path:
    """Envoy's configuration for one server per process on grpc_port and those after it."""
    host, first = settings.grpc_host, settings.grpc_port
    ports = range(first, first + settings.processes)
    addresses = Addresses(
        host=settings.api_host,
        port=settings.api_port,
        symbols=settings.symbols_address,
        origins=settings.cors_origins,
        admin_port=settings.envoy_admin_port or 9901,
        lanes={settings.lane: [(host, port) for port in ports]},
    )
    return effective(addresses, folder)


def _symbols(settings: Settings, edge: Envoy) -> str | None:
    """Address of the listener for symbol documentation; None: there is none."""
    address = settings.symbols_address
    return f"http://{address[0]}:{edge.symbols_port}" if address else None


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


def _addresses(settings: Settings, servers: Sequence[ServerProcess]) -> Addresses:
    lanes: dict[str, list[tuple[str, int]]] = {}
    for server in servers:
        lanes.setdefault(server.lane, []).append((server.host, server.port))
    return Addresses(
        host=settings.api_host,
        port=settings.api_port,
        symbols=settings.symbols_address,
        origins=settings.cors_origins,
        admin_port=settings.envoy_admin_port,
        lanes=lanes,
    )


async def _watch(children: Sequence[Child], settings: Settings, stopping: asyncio.Event) -> None:
    """Replaces what exits or hangs, until stopping is set."""
    drain_s = settings.drain_delay + settings.drain_timeout + STOP_MARGIN_S
    watchdogs = [Watchdog(child, settings.health_timeout, drain_s) for child in children]
    await _first(stopping, asyncio.gather(*(watchdog.keep() for watchdog in watchdogs)))


async def _first(stopping: asyncio.Event, job: "asyncio.Future[list[None]]") -> None:
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

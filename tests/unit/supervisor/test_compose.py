"""docker-compose.yml, Dockerfile and .env.example: consistent with each other and with the code.

There is no container engine where the tests run, so the files are checked against the specification and
against each other, and what the containers execute is executed here.
"""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from genai_spine import settings
from genai_spine.providers import PROVIDERS
from genai_spine.supervisor import envoy
from tests.acceptance.edge import edge_with, free_port
from tests.acceptance.edge_server import EdgeServer
from tests.waiting import until

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name.startswith("spine-")}
SERVERS = {name: service for name, service in OURS.items() if service["command"][0] == "serve"}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+):-([^}]*)\}")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
EXAMPLE = dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.M))


def resolved(value: Any) -> Any:
    """What Compose makes of a value when no variable is set."""
    if isinstance(value, dict):
        return {key: resolved(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolved(inner) for inner in value]
    return VARIABLE.sub(r"\2", value).replace("$$", "$") if isinstance(value, str) else value


def test_file_follows_the_compose_specification() -> None:
    schema = json.loads(
        (ROOT / "tests" / "unit" / "supervisor" / "compose_spec" / "compose-spec.json").read_text("utf-8")
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_every_mounted_file_is_in_the_repository_and_read_only() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    files = [mount for mount in mounts if mount[0].startswith(".")]
    assert len(files) == 2
    for source, _, mode in files:
        assert (ROOT / source).is_file()
        assert mode == "ro"
    assert {mount[0] for mount in mounts if mount not in files} == COMPOSE["volumes"].keys()


def test_only_envoy_is_published_and_on_loopback_unless_told_otherwise() -> None:
    published = {name: resolved(service["ports"]) for name, service in SERVICES.items() if "ports" in service}
    assert published == {"envoy": ["127.0.0.1:8100:8100", "127.0.0.1:8003:8003"]}


def test_every_variable_is_in_env_example_with_the_same_default() -> None:
    used = dict(VARIABLE.findall(TEXT))
    assert {name: EXAMPLE.get(name) for name in used} == used
    assert len(re.findall(r"(?<!\$)\$\{", TEXT)) == len(VARIABLE.findall(TEXT))  # each has a default


def test_env_example_sets_nothing_and_names_only_what_exists() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    ours = {f"GENAI_{name.upper()}" for name in settings.Settings.model_fields}
    ours |= {f"GENAI_{name.upper()}_{end}" for name in PROVIDERS for end in ("API_KEY", "URL")}
    ours |= {"HTTPS_PROXY", "NO_PROXY"}
    assert EXAMPLE.keys() <= ours | {name for name, _ in VARIABLE.findall(TEXT)}


def test_envoys_clusters_are_services_that_serve_their_lane_on_their_port() -> None:
    clusters = envoy.load()["static_resources"]["clusters"]
    assert len(clusters) == 2 * len(SERVERS)  # gRPC, and HTTP
    for cluster in clusters:
        (group,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = group["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        lane = cluster["name"].removeprefix("spine_")
        server, port = SERVERS[address["address"]], str(address["port_value"])
        if lane.endswith("_http"):
            variables = server["environment"]
            assert (variables["GENAI_HTTP_HOST"], variables["GENAI_HTTP_PORT"]) == ("0.0.0.0", port)
            assert server["command"][2] == lane.removesuffix("_http")
            continue
        assert server["command"] == ["serve", "--lane", lane, "--host", "0.0.0.0", "--port", port]


def test_workers_need_a_profile_and_take_no_calls() -> None:
    [worker] = [service for service in OURS.values() if service["command"][0] == "work"]
    assert worker["profiles"] == ["worker"]
    assert "--host" not in worker["command"]  # its health is asked inside the container
    assert worker["command"][-2:] == ["--port", "50051"]


def test_envoys_files_and_port_are_where_its_configuration_says() -> None:
    config = envoy.load()
    listener, symbols = config["static_resources"]["listeners"]
    mounted = dict(mount.split(":")[:2] for mount in SERVICES["envoy"]["volumes"])
    assert mounted["./genai_spine/v1/descriptors.binpb"] == envoy._transcoder(listener)["proto_descriptor"]
    assert mounted["./envoy.yaml"] in SERVICES["envoy"]["command"]
    public = listener["address"]["socket_address"]
    assert (public["address"], public["port_value"]) == ("0.0.0.0", 8100)
    own = symbols["address"]["socket_address"]
    assert (own["address"], own["port_value"]) == ("0.0.0.0", 8003)
    assert envoy._transcoder(symbols) == envoy._transcoder(listener)
    admin = config["admin"]["address"]["socket_address"]
    assert (admin["address"], admin["port_value"]) == ("127.0.0.1", 9901)


def test_envoy_is_given_every_variable_that_its_configuration_reads() -> None:
    read = set(re.findall(r'os\.getenv\("(\w+)"\)', (ROOT / "envoy.yaml").read_text("utf-8")))
    assert read == SERVICES["envoy"]["environment"].keys()
    (public, own) = SERVICES["envoy"]["ports"]
    assert all(
        port.startswith(SERVICES["envoy"]["environment"]["GENAI_PUBLISH_HOST"]) for port in (public, own)
    )


def test_image_of_envoy_is_the_version_that_is_tested_here() -> None:
    assert SERVICES["envoy"]["image"] == f"envoyproxy/envoy:v{envoy.version()}"


def test_who_waits_for_health_waits_for_a_service_that_has_a_check() -> None:
    for service in SERVICES.values():
        for name, needs in service.get("depends_on", {}).items():
            target = SERVICES[name]
            if needs["condition"] == "service_healthy":
                assert "test" in target["healthcheck"]
            else:
                assert needs["condition"] == "service_completed_successfully"
                assert target["restart"] == "no"


def test_only_parts_that_always_run_are_required() -> None:
    for service in SERVICES.values():
        for name, needs in service.get("depends_on", {}).items():
            assert "profiles" not in SERVICES[name] or needs["required"] is False


def test_health_is_asked_every_30_s_with_10_s_to_answer_three_times() -> None:
    checks = [service.get("healthcheck", {}) for service in SERVICES.values() if service["restart"] != "no"]
    asked = {
        (check["interval"], check["timeout"], check["retries"], check["start_period"]) for check in checks
    }
    assert asked == {("30s", "10s", 3, "60s")}


def test_gpu_is_reserved_only_in_its_profile() -> None:
    reserving = {name for name, service in SERVICES.items() if "resources" in service.get("deploy", {})}
    assert reserving == {name for name, service in SERVICES.items() if "gpu" in service.get("profiles", [])}


def test_servers_listen_beyond_loopback_and_ask_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in SERVERS.values():
        variables = resolved(service["environment"])
        assert variables.keys() <= {f"GENAI_{name.upper()}" for name in settings.Settings.model_fields} | {
            "GENAI_OLLAMA_URL"
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        given = dict(zip(service["command"][1::2], service["command"][2::2], strict=True))
        options = {"grpc_host": given["--host"], "grpc_port": int(given["--port"]), "lane": given["--lane"]}
        loaded = settings.load(**options)
        assert loaded.database.startswith("postgresql://genai:genai@postgres")
        assert loaded.endpoints["ollama"].base_url == "http://ollama:11434"
        grace_s = int(resolved(service["stop_grace_period"]).removesuffix("s"))
        assert grace_s > loaded.drain_timeout + 15  # what `up` allows for booking and closing
        assert loaded.auth == "on"
        monkeypatch.delenv("GENAI_AUTH")
        with pytest.raises(ValueError, match="GENAI_AUTH=on"):
            settings.load(**options)


# --- What the containers execute, executed here


async def test_command_of_the_envoy_container_is_accepted(tmp_path: Path) -> None:
    path = envoy.effective(envoy.Addresses(), tmp_path)
    command = [
        str(path) if word.endswith("envoy.yaml") else word for word in resolved(SERVICES["envoy"]["command"])
    ]
    process = await asyncio.create_subprocess_exec(
        *(envoy.binary_path(), *command[1:], "--mode", "validate"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


async def in_envoys_container(admin_port: int, command: list[str]) -> int:
    here = [word.replace("/9901", f"/{admin_port}") for word in resolved(command)]
    process = await asyncio.create_subprocess_exec(*here)
    return await asyncio.wait_for(process.wait(), 30)


async def test_health_check_of_the_envoy_container_tells_live_from_dead(tmp_path: Path) -> None:
    test = SERVICES["envoy"]["healthcheck"]["test"]
    assert test[0] == "CMD"
    running, admin_port = envoy.Envoy(tmp_path), free_port()
    await running.start(envoy.Addresses(port=0, admin_port=admin_port))
    assert await in_envoys_container(admin_port, test[1:]) == 0
    await running.stop()
    assert await in_envoys_container(admin_port, test[1:]) != 0


async def test_stop_of_the_envoy_container_waits_until_no_call_is_in_flight(tmp_path: Path) -> None:
    (hook,) = SERVICES["envoy"]["pre_stop"]
    admin_port = free_port()
    async with EdgeServer() as server, edge_with(tmp_path, admin_port=admin_port, cpu=[server]) as edge:
        call = asyncio.create_task(edge.call("GET", "/health", "hold"))
        await until(lambda: server.held == 1)
        stopping = asyncio.create_task(in_envoys_container(admin_port, hook["command"]))
        done, _ = await asyncio.wait({stopping}, timeout=1.5)
        assert not done
        server.release.set()
        assert (await call).status == 200
        assert await stopping == 0


# --- Dockerfile


def stages() -> list[list[tuple[str, str]]]:
    """(instruction, rest) of each stage, continuation lines joined."""
    lines = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    steps = [tuple(line.split(" ", 1)) for line in lines if line and not line.startswith("#")]
    starts = [number for number, step in enumerate(steps) if step[0] == "FROM"]
    return [steps[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]  # type: ignore[misc]


def step(stage: list[tuple[str, str]], instruction: str) -> str:
    return next(rest for name, rest in reversed(stage) if name == instruction)


def test_image_runs_without_root_and_without_build_tools() -> None:
    build, final = stages()
    assert step(final, "USER") == "genai"
    assert [rest for name, rest in final if name == "COPY"] == ["--from=build /opt/genai /opt/genai"]
    assert [rest.split()[0] for name, rest in final if name == "RUN"] == ["useradd"]
    assert step(build, "FROM") == "python:3.12-slim AS build"
    assert step(final, "FROM") == "python:3.12-slim"
    assert "--require-hashes" in DOCKERFILE


def test_dockerignore_lets_through_what_is_copied_and_nothing_else() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for name, rest in stages()[0] if name == "COPY" for word in rest.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.timeout(900)
def test_dockerfile_builds_an_installation_that_works_outside_the_repository(tmp_path: Path) -> None:
    """Runs the build stage's steps, with /opt/genai and the working directory in a temporary folder."""
    source, target = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    tools = {"python": [sys.executable], "pip": [sys.executable, "-m", "pip"]}
    for name, rest in stages()[0]:
        words = shlex.split(rest.replace("/opt/genai", str(target)))
        if name == "COPY":
            for word in words[:-1]:
                copy = shutil.copytree if (ROOT / word).is_dir() else shutil.copy
                copy(ROOT / word, source / word)
        elif name == "RUN":
            subprocess.run([*tools[words[0]], *words[1:]], cwd=source, check=True, env=clean(target))

    def spine(*words: str) -> subprocess.CompletedProcess[str]:
        command = [target / "bin" / "genai-spine", *words]
        return subprocess.run(command, cwd=tmp_path, env=clean(target), capture_output=True, text=True)

    (entry,) = json.loads(step(stages()[1], "ENTRYPOINT"))
    assert entry == "genai-spine"
    assert not (target / "bin" / "pip").exists()
    assert "serve" in spine("--help").stdout
    written = spine(
        "config", "envoy", str(tmp_path / "edge")
    )  # envoy.yaml and the descriptors are in the package
    assert written.returncode == 0, written.stderr
    assert str(target) in (tmp_path / "edge" / "envoy.yaml").read_text()
    check = json.loads(step(stages()[1], "HEALTHCHECK").partition("CMD ")[2])
    assert check == SERVERS["spine-cpu"]["healthcheck"]["test"][1:]
    assert spine(*check[1:]).returncode == 1  # nothing serves here
    for service in (*OURS.values(), SERVICES["migrate"]):
        options = [word for word in service["command"] if word.startswith("--")]
        shown = spine(service["command"][0], "--help").stdout
        assert [option for option in options if option not in shown] == []
    migrated = spine("migrate", "--json")
    assert migrated.returncode == 0, migrated.stderr
    assert (tmp_path / "data" / "genai_spine.db").is_file()


def clean(target: Path) -> dict[str, str]:
    """An environment that knows neither this checkout nor its settings."""
    return {"PATH": f"{target / 'bin'}:/usr/bin:/bin", "HOME": str(Path.home()), "COLUMNS": "200"}

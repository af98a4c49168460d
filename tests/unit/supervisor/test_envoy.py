"""The overlay changes addresses and who may call; what Envoy says of a failed start reaches the operator."""

import asyncio
import copy
import json
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from genai_spine.json_schema.from_proto import ProtoSchemas
from genai_spine.supervisor import endpoints, envoy
from genai_spine.supervisor.envoy import Addresses, Envoy, EnvoyError
from tests.acceptance.edge import free_port, listens
from tests.waiting import until

LANES = {"cpu": [("127.0.0.1", 5001), ("127.0.0.1", 5002)], "gpu": [("127.0.0.1", 5003)]}
NAMES = ("cpu", "gpu", "batch", "cpu_http", "gpu_http", "batch_http")


def differences(one: Any, other: Any, path: str = "") -> set[str]:
    """Paths at which two parsed YAML files differ; list items by their name, else their number."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() | other.keys()
        return set().union(*(differences(one.get(key), other.get(key), f"{path}/{key}") for key in keys))
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        names = [item.get("name", i) if isinstance(item, dict) else i for i, item in enumerate(one)]
        pairs = zip(names, one, other, strict=True)
        return set().union(*(differences(a, b, f"{path}/{name}") for name, a, b in pairs))
    return set() if one == other else {path}


def test_overlay_touches_addresses_and_who_may_call_and_nothing_else() -> None:
    config = envoy.load()
    before = copy.deepcopy(config)
    addresses = Addresses(
        host="127.0.0.2",
        port=9,
        admin_port=8,
        descriptors=Path("/d"),
        lanes=LANES,
        symbols=("127.0.0.3", 7),
    )
    changed = envoy.overlay(config, addresses)
    assert config == before
    listeners = [f"/static_resources/listeners/{name}" for name in ("public", "symbols")]
    filters = "filter_chains/0/filters/envoy.filters.network.http_connection_manager"
    transcoder = f"{filters}/typed_config/http_filters/envoy.filters.http.grpc_json_transcoder/typed_config"
    host = f"{filters}/typed_config/route_config/virtual_hosts/all"
    clusters = {f"/static_resources/clusters/spine_{lane}" for lane in NAMES}
    endpoint = "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address"
    assert differences(config, changed) == {
        "/admin/address/socket_address/port_value",
        *(f"{listener}/address/socket_address/address" for listener in listeners),
        *(f"{listener}/address/socket_address/port_value" for listener in listeners),
        *(f"{listener}/{transcoder}/proto_descriptor" for listener in listeners),
        *(f"{listener}/{host}/typed_per_filter_config/envoy.filters.http.lua" for listener in listeners),
        *(
            f"{listener}/{host}/routes" for listener in listeners
        ),  # without those to HTTP servers: none is given
        *(f"{cluster}/type" for cluster in clusters),
        "/static_resources/clusters/spine_cpu/load_assignment/endpoints/0/lb_endpoints",  # one more server
        f"/static_resources/clusters/spine_gpu/{endpoint}/address",
        f"/static_resources/clusters/spine_gpu/{endpoint}/port_value",
        "/static_resources/clusters/spine_batch/load_assignment/endpoints",  # none
        *(f"{cluster}/load_assignment/endpoints" for cluster in clusters if cluster.endswith("_http")),
    }


def test_overlay_with_a_folder_names_the_servers_in_files_that_may_change(tmp_path: Path) -> None:
    fixed = envoy.overlay(envoy.load(), Addresses(lanes=LANES))
    watched = envoy.overlay(envoy.load(), Addresses(lanes=LANES, folder=tmp_path))
    clusters = {f"/static_resources/clusters/spine_{lane}" for lane in NAMES}
    parts = (
        "type",
        "load_assignment",
        "dns_lookup_family",
        "eds_cluster_config",
        "ignore_health_on_host_removal",
    )
    assert differences(fixed, watched) == {"/node", *(f"{one}/{part}" for one in clusters for part in parts)}
    cpu = json.loads((tmp_path / "endpoints-spine_cpu.json").read_text())["resources"][0]
    assert cpu["endpoints"] == fixed["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]
    batch = json.loads((tmp_path / "endpoints-spine_batch.json").read_text())["resources"][0]
    assert batch["endpoints"] == []


async def test_servers_that_are_named_later_are_known(tmp_path: Path) -> None:
    running = Envoy(tmp_path)
    await running.start(Addresses(port=0, lanes={"cpu": [("127.0.0.1", 1)]}, folder=tmp_path))
    assert await running.servers() == {("127.0.0.1", 1): False}
    endpoints.write(tmp_path, "cpu", [("127.0.0.1", 2)])

    async def is_known() -> bool:
        return await running.servers() == {("127.0.0.1", 2): False}

    await until(is_known)
    await running.stop()


def test_overlay_puts_the_servers_into_their_lanes() -> None:
    changed = envoy.overlay(envoy.load(), Addresses(lanes=LANES))
    found = {
        cluster["name"]: [
            tuple(endpoint["endpoint"]["address"]["socket_address"].values())
            for group in cluster["load_assignment"]["endpoints"]
            for endpoint in group["lb_endpoints"]
        ]
        for cluster in changed["static_resources"]["clusters"]
    }
    assert found == {f"spine_{lane}": LANES.get(lane, []) for lane in NAMES}


def test_routes_to_http_servers_are_those_of_lanes_that_have_some() -> None:
    def names(lanes: dict[str, list[tuple[str, int]]]) -> list[str]:
        (public,) = envoy.overlay(envoy.load(), Addresses(lanes=lanes))["static_resources"]["listeners"]
        (host,) = envoy._manager(public)["route_config"]["virtual_hosts"]
        return [route["name"] for route in host["routes"]]

    assert names(LANES) == ["gpu", "batch", "cpu"]
    assert names(LANES | {"cpu_http": [("127.0.0.1", 5004)]}) == [
        *("cpu_http", "cpu_http"),  # the latter of WebSockets
        *("gpu", "batch", "cpu"),
    ]


@pytest.mark.parametrize(
    ("host", "hosts"),
    [("127.0.0.1", {}), ("::1", {}), ("localhost", {}), ("0.0.0.0", {"*": True}), ("10.0.0.5", {"*": True})],
)
def test_overlay_says_to_each_listener_who_may_call(host: str, hosts: dict[str, bool]) -> None:
    addresses = Addresses(host=host, symbols=("127.0.0.1", 1), origins=("https://a.example",))
    found = [
        envoy._manager(listener)["route_config"]["virtual_hosts"][0]["typed_per_filter_config"]
        for listener in envoy.overlay(envoy.load(), addresses)["static_resources"]["listeners"]
    ]
    said = [one["envoy.filters.http.lua"]["filter_context"] for one in found]
    pages = {"https://a.example": True}
    assert said == [{"hosts": hosts, "origins": pages}, {"hosts": {}, "origins": pages}]


def test_listener_for_symbols_is_left_out_unless_it_has_an_address() -> None:
    def names(addresses: Addresses) -> list[str]:
        config = envoy.overlay(envoy.load(), addresses)
        return [listener["name"] for listener in config["static_resources"]["listeners"]]

    assert names(Addresses()) == ["public"]
    assert names(Addresses(symbols=("127.0.0.1", 8003))) == ["public", "symbols"]


def test_listeners_differ_in_names_addresses_and_the_paths_of_symbols() -> None:
    public, symbols = envoy.load()["static_resources"]["listeners"]
    filters = symbols["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    (paths,) = [one for one in filters if one["name"] == "envoy.filters.http.lua.symbols"]
    filters.remove(paths)
    assert differences(public, symbols) == {"/name", "/address/socket_address/port_value"}


async def test_listener_for_symbols_has_a_port_of_its_own(tmp_path: Path) -> None:
    running = Envoy(tmp_path)
    await running.start(Addresses(port=0, symbols=("127.0.0.1", 0)))
    assert running.symbols_port not in (0, running.port)
    assert listens(running.symbols_port)
    await running.stop()
    assert not listens(running.symbols_port)


def test_lane_that_envoy_yaml_does_not_have_is_refused() -> None:
    with pytest.raises(EnvoyError, match="unknown lanes \\['fast'\\]"):
        envoy.overlay(envoy.load(), Addresses(lanes={"fast": []}))


@pytest.mark.parametrize("is_http", [False, True])
def test_lanes_differ_in_name_and_address_only(is_http: bool) -> None:
    text = {
        cluster["name"]: yaml.safe_dump(cluster).replace(lane, "").replace(lane.replace("_", "-"), "")
        for cluster in envoy.load()["static_resources"]["clusters"]
        for lane in [cluster["name"].removesuffix("_http")]
        if cluster["name"].endswith("_http") is is_http
    }
    assert len(text) == 3
    assert len(set(text.values())) == 1


def test_no_route_has_a_total_timeout_and_silence_ends_after_ten_minutes() -> None:
    manager = envoy.load()["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    (host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
    assert [route["route"]["timeout"] for route in host["routes"]] == ["0s"] * 7
    transcoded = [route for route in host["routes"] if not route["name"].endswith("_http")]
    limits = [route["route"]["max_stream_duration"] for route in transcoded]  # the others' servers keep it
    assert limits == [{"grpc_timeout_header_max": "0s"}] * 3
    assert manager["typed_config"]["stream_idle_timeout"] == "600s"


def test_every_service_with_rest_paths_is_transcoded() -> None:
    listed = set(envoy._transcoder(envoy.load()["static_resources"]["listeners"][0])["services"])
    protos = (envoy.PACKAGE.parent / "proto" / "genai_spine" / "v1").glob("*_service.proto")
    assert listed == {
        "genai_spine.v1." + line.split()[1]
        for proto in protos
        for line in proto.read_text().splitlines()
        if line.startswith("service ")
    }


def test_methods_of_every_path_are_those_of_the_protos() -> None:
    """Each stands in a line of envoy.yaml; this prints them as they should be."""
    found: dict[str, set[str]] = {}
    schemas = ProtoSchemas(FileDescriptorSet.FromString(envoy.DESCRIPTORS.read_bytes()))
    services = envoy._transcoder(envoy.load()["static_resources"]["listeners"][0])["services"]
    for service in map(schemas.pool.FindServiceByName, services):
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            for one in (rule, *rule.additional_bindings):
                if verb := one.WhichOneof("pattern"):
                    found.setdefault(getattr(one, verb), set()).add(verb.upper())
    order = ("GET", "POST", "PUT", "PATCH", "DELETE")
    lines = [f"{','.join(verb for verb in order if verb in found[path])} {path}" for path in sorted(found)]
    text = envoy.config_path().read_text().partition("ROUTES = [[\n")[2].partition("]]")[0]
    assert [line.strip() for line in text.strip().splitlines()] == lines, "\n".join(lines)


async def test_envoy_accepts_the_file_of_docker_compose(tmp_path: Path) -> None:
    config = envoy.load()
    for listener in config["static_resources"]["listeners"]:
        envoy._transcoder(listener)["proto_descriptor"] = str(envoy.DESCRIPTORS)
    path = tmp_path / "envoy.yaml"
    path.write_text(yaml.safe_dump(config))
    await envoy.validate(path)


async def test_effective_configuration_can_be_read_and_run(tmp_path: Path) -> None:
    path = envoy.effective(Addresses(port=1, admin_port=2, lanes=LANES), tmp_path / "made")
    await envoy.validate(path)
    assert yaml.safe_load(path.read_text()) == envoy.overlay(
        envoy.load(), Addresses(port=1, admin_port=2, lanes=LANES)
    )


async def test_refused_configuration_is_reported_in_envoys_words(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("static_resources: {clusters: [{name: x, type: NONSENSE}]}")
    with pytest.raises(EnvoyError, match="unknown enum value: 'NONSENSE'"):
        await envoy.validate(path)


def test_version_is_a_version() -> None:
    assert [part.isdigit() for part in envoy.version().split(".")] == [True] * 3


async def test_envoy_starts_on_a_free_port_and_stops(tmp_path: Path) -> None:
    running = Envoy(tmp_path)
    await running.start(Addresses(port=0))
    assert running.port
    assert listens(running.port)
    await running.stop()
    assert await running.wait() == 0
    assert not listens(running.port)


@pytest.mark.parametrize("depth", [0, 3])
async def test_admin_interface_is_a_socket_of_this_user_alone(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["a-folder-with-a-long-name-of-its-own"] * depth)
    running = Envoy(folder)
    await running.start(Addresses(port=0))
    mode = (folder / "admin.sock").stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert await running.admin("GET", "/ready") == "LIVE\n"
    await running.stop()


async def test_admin_interface_is_on_loopback_where_a_port_is_set(tmp_path: Path) -> None:
    port = free_port()
    running = Envoy(tmp_path)
    await running.start(Addresses(port=0, admin_port=port))
    assert (tmp_path / "admin_address").read_text() == f"127.0.0.1:{port}"
    assert await running.admin("GET", "/ready") == "LIVE\n"
    await running.stop()


async def test_envoy_does_not_get_the_keys_of_providers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_OPENAI_API_KEY", "sk-secret")
    running = Envoy(tmp_path)
    await running.start(Addresses(port=0))
    variables = await asyncio.to_thread(Path(f"/proc/{running.labels['pid']}/environ").read_bytes)
    await running.stop()
    names = {line.partition(b"=")[0].decode() for line in variables.split(b"\0") if line}
    assert names <= set(envoy.PASSED_ON)
    assert b"sk-secret" not in variables


@pytest.mark.parametrize("which", ["port", "admin_port"])
async def test_taken_port_is_reported_in_plain_words(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvoyError, match=rf"^port {port} is taken by another program; choose") as caught:
            await Envoy(tmp_path).start(Addresses(**{"port": 0, which: port}))
    assert "debugstr" not in str(caught.value)


async def test_two_envoys_do_not_share_one_port(tmp_path: Path) -> None:
    one = Envoy(tmp_path / "one")
    await one.start(Addresses(port=0))
    with pytest.raises(EnvoyError, match="is taken by another program"):
        await Envoy(tmp_path / "other").start(Addresses(port=one.port))
    await one.stop()


async def test_missing_descriptors_are_reported_in_envoys_words(tmp_path: Path) -> None:
    with pytest.raises(EnvoyError, match="/no/such/file"):
        await Envoy(tmp_path).start(Addresses(port=0, descriptors=Path("/no/such/file")))


async def test_envoy_that_is_not_ready_in_time_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envoy, "READY_TIMEOUT_S", 0.01)
    running = Envoy(tmp_path)
    with pytest.raises(EnvoyError, match=r"not ready within 0\.01 s"):
        await running.start(Addresses(port=0))
    assert await running.wait() != 0


async def test_envoy_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, pathlib
from genai_spine.supervisor.envoy import Addresses, Envoy
async def main():
    envoy = Envoy(pathlib.Path({str(tmp_path)!r}))
    await envoy.start(Addresses(port=0))
    print(envoy.port, flush=True)
    await envoy.wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    port = int(await parent.stdout.readline())
    assert listens(port)
    parent.kill()
    await parent.wait()
    await until(lambda: not listens(port))


def test_envoy_is_not_started_from_a_thread_whose_end_would_kill_it(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            asyncio.run(Envoy(tmp_path).start(Addresses(port=0)))
        except EnvoyError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert [str(error) for error in caught] == ["Envoy must be started from the main thread"]


async def test_stop_and_drain_of_a_dead_envoy_do_nothing(tmp_path: Path) -> None:
    running = Envoy(tmp_path)
    await running.start(Addresses(port=0))
    await running.admin("POST", "/quitquitquit")
    assert await running.wait() == 0
    await running.drain()
    await running.stop(1)


async def test_envoy_that_was_never_started_can_be_stopped_but_not_awaited(tmp_path: Path) -> None:
    running = Envoy(tmp_path)
    await running.drain()
    await running.stop(1)
    with pytest.raises(EnvoyError, match="not started"):
        await running.wait()


def test_packaged_file_comes_before_the_repositorys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "genai_spine"
    package.mkdir(parents=True)
    monkeypatch.setattr(envoy, "PACKAGE", package)
    with pytest.raises(EnvoyError, match=r"neither at .*genai_spine/envoy.yaml nor at"):
        envoy.config_path()
    (package.parent / "envoy.yaml").touch()
    assert envoy.config_path() == package.parent / "envoy.yaml"
    (package / "envoy.yaml").touch()
    assert envoy.config_path() == package / "envoy.yaml"

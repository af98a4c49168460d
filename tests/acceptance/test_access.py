"""Keys at the edge: every REST path, its spellings, SDKs and the command line, through real Envoy."""

import base64
import http.client
import json
import re
import socket
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import openai
import pytest
from google.protobuf.descriptor import MethodDescriptor

from genai_spine.access.scopes import PUBLIC, scope_of
from genai_spine.services.openapi import _rules
from tests.acceptance.edge import free_port
from tests.acceptance.listeners import listeners_of
from tests.acceptance.stack import Stack, environment, finished, up
from tests.service.keyed import methods

WRONG = "gs_live_" + "A" * 43
VARIABLE = re.compile(r"\{(\w+)(?:=\*{1,2})?\}")
LIST_KEYS = "/genai_spine.v1.KeyService/ListKeys"
MESSAGE = "a valid key is needed: send it as Authorization: Bearer gs_live_..."
# Ways to write the path of a list of keys.
SPELLINGS = [
    *("/v1/keys", "/v1//keys", "//v1/keys", "/v1/%6beys", "/v1/./keys", "/v1/x/../keys", "/v1/x/%2e%2e/keys"),
    *("/V1/KEYS", "/v1/keys/", "/api/v1/keys", "/api//v1/keys", "/v1/keys?x=/health", "/health/../v1/keys"),
    *("/health/%2e%2e/v1/keys", "/health;/../v1/keys", "/docs/../v1/keys", "/v1/keys%00", "/v1/keys#/health"),
    *("/ready/..//v1/keys", "/v1/keys;/health", "/v1/keys/%2e%2e/keys", "/v1\\keys", "/v1/keys%2f"),
    "/genai_spine.v1.KeyService/ListKeys",
]
SIDE_ROUTES = [
    *("/metrics", "/stats", "/config_dump", "/server_info", "/clusters", "/quitquitquit", "/admin", "/debug"),
    *("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/.env", "/v1/audit", "/v1/tenants"),
]


class Keyed:
    """Service that asks for keys, its folder, and its first admin key."""

    def __init__(self, stack: Stack, folder: Path, settings: dict[str, str], admin: str) -> None:
        self.stack, self.folder, self.settings, self.admin = stack, folder, settings, admin

    def command(self, *words: str, key: str | None = None) -> Any:
        """A command of ours against the service."""
        variables = {"GENAI_ADDRESS": self.stack.address, "GENAI_API_KEY": key or self.admin}
        return finished(sys.executable, "-m", "genai_spine", *words, cwd=self.folder, **variables)

    def ask(
        self, verb: str, path: str, body: bytes = b"", *, port: int | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and body of a request whose path is sent as it is written; port: None: Envoy's.

        Status 0: what listens there does not speak HTTP/1.1.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port or self.stack.port, timeout=30)
        try:
            connection.putrequest(verb, path, skip_host="host" in headers)
            body = body or (b"{}" if verb in ("POST", "PUT", "PATCH") else b"")
            for name, value in {"content-type": "application/json", **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
        except (http.client.BadStatusLine, ConnectionError):
            return 0, b""
        finally:
            connection.close()
        return answer.status, data


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def keyed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keyed")
    settings = {"GENAI_AUTH": "on", "GENAI_DEFAULT_PROVIDER": "builtin", "GENAI_PORT": str(free_port())}
    url = f"sqlite:///{folder}/spine.db"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = server.url(server.create())
        refused = _migrate(folder, settings, url)
        assert refused.returncode == 1
        assert "GENAI_SECRET_KEY" in refused.stderr
        settings["GENAI_SECRET_KEY"] = "ab" * 32
    first, second = (_migrate(folder, settings, url, "--json") for _ in range(2))
    made = json.loads(first.stdout)
    assert made["first_key"].startswith("gs_live_")
    assert bool(made["secret_key_file"]) == (request.param == "sqlite")
    assert json.loads(second.stdout) | {"applied": []} == {
        "applied": [],
        "revision": made["revision"],
        "secret_key_file": None,
        "first_key": None,
    }
    for stack in up(folder, settings, url):
        yield Keyed(stack, folder, settings, made["first_key"])
        log = stack.log.read_text(errors="replace")
        assert made["first_key"] not in log
        assert "ab" * 32 not in log


def _migrate(folder: Path, settings: dict[str, str], url: str, *options: str) -> Any:
    command = (sys.executable, "-m", "genai_spine", "migrate", *options)
    return finished(*command, cwd=folder, **settings, GENAI_DATABASE_URL=url)


def paths() -> list[tuple[str, str, bool]]:
    """Every REST path: its verb, itself with values for its variables, and whether it needs no key."""
    found = []
    for method in methods():
        for rule in _rules(method):
            verb = rule.WhichOneof("pattern")
            path = VARIABLE.sub(partial(_value, method), getattr(rule, verb))
            found.append((verb.upper(), path, scope_of(method) == PUBLIC))
    return found


def _value(method: MethodDescriptor, variable: re.Match[str]) -> str:
    """Value of a path's variable: Envoy refuses by itself what is none of its type."""
    field = method.input_type.fields_by_name.get(variable[1])
    return "1" if field is not None and field.type != field.TYPE_STRING else "x"


def test_no_rest_path_answers_without_a_valid_key(keyed: Keyed):
    assert len(paths()) > 150
    wrong = {}
    for verb, path, is_public in paths():
        for headers in ({}, {"authorization": f"Bearer {WRONG}"}, {"x_api_key": WRONG}):
            status, body = keyed.ask(verb, path, **headers)
            if is_public:
                refused = status not in (200, 302)
            else:
                refused = status != 401 or json.loads(body)["error"]["message"] != MESSAGE
            if refused:
                wrong[verb, path, *headers] = (status, body[:200])
    assert wrong == {}


def test_a_valid_key_is_known_on_every_rest_path(keyed: Keyed):
    wrong = {}
    for verb, path, _ in paths():
        if path.endswith((":drift", ":pull", ":revoke")) or "stream" in path:
            continue
        status, body = keyed.ask(verb, path, authorization=f"Bearer {keyed.admin}")
        if status in (401, 403):
            wrong[verb, path] = body[:200]
    assert wrong == {}


@pytest.mark.parametrize("path", SPELLINGS)
def test_no_spelling_of_a_path_is_a_way_round(keyed: Keyed, path: str):
    for headers in ({}, {"host": "localhost"}, {"host": "evil.example"}, {"host": "localhost:1"}):
        status, body = keyed.ask("GET", path, **headers)
        assert status in (400, 401, 403, 404, 421), body[:200]
        assert b"keys" not in body or b'"error"' in body


def test_a_key_counts_in_its_header_alone(keyed: Keyed):
    """Not in the address, which is in logs, nor in a cookie, which a web page's request brings."""
    basic = base64.b64encode(f"key:{keyed.admin}".encode()).decode()
    for path, headers in (
        (f"/v1/keys?api_key={keyed.admin}", {}),
        (f"/v1/keys?key={keyed.admin}&access_token={keyed.admin}", {}),
        ("/v1/keys", {"cookie": f"authorization=Bearer {keyed.admin}; x-api-key={keyed.admin}"}),
        ("/v1/keys", {"authorization": f"Basic {basic}"}),
        ("/v1/keys", {"authorization": f"Bearer {keyed.admin}", "x_api_key": WRONG}),
        ("/v1/keys", {"x_forwarded_authorization": f"Bearer {keyed.admin}"}),
    ):
        assert keyed.ask("GET", path, **headers)[0] == 401, (path, headers)


def test_other_ways_over_http_ask_too(keyed: Keyed):
    """Web sockets, gRPC-Web, uploads as forms."""
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
    for path in ("/v1/keys", "/v1/chat/completions", "/ws", "/v1/realtime"):
        status, _ = keyed.ask("GET", path, **upgrade, sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAA==")
        assert status in (400, 401, 403, 404, 405, 426), path
    form = {"content_type": "multipart/form-data; boundary=x"}
    for path in ("/v1/files", "/v1/audio/transcriptions"):
        assert keyed.ask("POST", path, **form)[0] == 401
    connection = http.client.HTTPConnection("127.0.0.1", keyed.stack.port, timeout=30)
    try:
        web = {"content-type": "application/grpc-web+proto"}
        connection.request("POST", "/genai_spine.v1.KeyService/ListKeys", b"\0\0\0\0\0", web)
        answer = connection.getresponse()
        told = f"{answer.headers.get('grpc-status')} {answer.read().decode(errors='replace')}"
    finally:
        connection.close()
    assert re.search(r"^16 |grpc-status:\s*16", told), told


@pytest.mark.parametrize("path", SIDE_ROUTES)
def test_no_side_route_answers(keyed: Keyed, path: str):
    for verb in ("GET", "POST"):
        assert keyed.ask(verb, path)[0] in (401, 404, 405)


@pytest.mark.parametrize(
    "value",
    [
        "Bearer ' OR '1'='1' --",
        "Bearer " + "A" * 30_000,
        "Bearer gs_live_" + "\u00e9" * 43,
        "Bearer gs_live_" + "A" * 20 + "\x01",
        "Bearer %00",
        "bearer",
    ],
)
def test_odd_values_of_the_header_are_refused_and_break_nothing(keyed: Keyed, value: str):
    connection = socket.create_connection(("127.0.0.1", keyed.stack.port), timeout=30)
    with connection, connection.makefile("rb") as answer:
        request = (
            f"GET /v1/keys HTTP/1.1\r\nhost: localhost\r\nauthorization: {value}\r\nconnection: close\r\n\r\n"
        )
        connection.sendall(request.encode("utf-8"))
        head = answer.readline()
    assert head.split()[1] in (b"400", b"401", b"431")
    assert keyed.ask("GET", "/v1/keys", authorization=f"Bearer {keyed.admin}")[0] == 200


def test_the_symbols_listener_asks_too(keyed: Keyed):
    assert keyed.stack.symbols_url is not None
    port = int(keyed.stack.symbols_url.rpartition(":")[2])

    def ask(verb: str, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(verb, path, body=b"{}", headers={"content-type": "application/json"})
            return connection.getresponse().status
        finally:
            connection.close()

    assert ask("GET", "/health") == 200
    assert ask("POST", "/generate") == 401
    assert ask("GET", "/v1/keys") in (401, 404)


def test_every_socket_that_listens_is_known_and_asks(keyed: Keyed):
    """A listener that is new here fails this test, until it is asked for its key as these are."""
    assert keyed.stack.symbols_url is not None
    symbols_port = int(keyed.stack.symbols_url.rpartition(":")[2])
    found = listeners_of(keyed.stack.database_url)
    at_envoy = {one.port for one in found if (one.program, one.kind) == ("envoy", "tcp")}
    assert at_envoy == {keyed.stack.port, symbols_port}  # both are scanned above; its admin has no port
    at_servers = {one.port for one in found if (one.program, one.kind) == ("python", "tcp")}
    assert at_servers
    assert {one.host for one in found if one.kind == "tcp"} == {"127.0.0.1"}
    speak_http = {port for port in at_servers if keyed.ask("GET", "/healthz", port=port)[0] == 200}
    assert speak_http
    for port in speak_http:
        assert keyed.ask("POST", "/v1/chat/completions", port=port)[0] == 401
        assert keyed.ask("GET", "/v1/keys", port=port)[0] in (401, 403, 404)
    for port in {keyed.stack.port, *at_servers} - speak_http:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            for name in (LIST_KEYS, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
                with pytest.raises(grpc.RpcError) as caught:
                    list(channel.stream_stream(name)(iter([b""]), timeout=30))
                assert caught.value.code() in (
                    grpc.StatusCode.UNAUTHENTICATED,
                    *((grpc.StatusCode.UNIMPLEMENTED,) if port == keyed.stack.port else ()),
                )
    for one in found:
        if one.kind == "unix":
            folder = Path(one.host).parent
            assert not folder.is_absolute() or folder.stat().st_mode & 0o077 == 0, one
    assert {one.kind for one in found} <= {"tcp", "unix"}


def test_an_official_sdk_brings_its_key(keyed: Keyed):
    made = json.loads(keyed.command("keys", "create", "sdk", "--json").stdout)
    limited = keyed.command("keys", "create", "limited", "--deny-model", "extractive", "--json")
    messages: Any = [{"role": "user", "content": "Hello. It is late. We go home."}]
    asked: Any = {"model": "builtin:extractive", "messages": messages}
    url = f"{keyed.stack.url}/v1"
    with openai.OpenAI(base_url=url, api_key=made["secret"], max_retries=0) as client:
        answer = client.chat.completions.create(**asked)
        assert answer.choices[0].message.content
        for piece in client.chat.completions.create(**asked, stream=True):
            assert piece.model == "extractive"
        assert [model.id for model in client.models.list()]
        with pytest.raises(openai.AuthenticationError) as caught:
            client.with_options(api_key=WRONG).models.list()
        assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
        denied = client.with_options(api_key=json.loads(limited.stdout)["secret"])
        with pytest.raises(openai.PermissionDeniedError):
            denied.chat.completions.create(**asked)


def test_limits_reach_an_official_sdk_as_openais_do(keyed: Keyed):
    options = ("--requests-per-minute", "2", "--tokens-per-minute", "50000", "--json")
    made = json.loads(keyed.command("keys", "create", "limited", *options).stdout)
    assert made["key"]["limits"] == {"requests_per_minute": 2, "tokens_per_minute": 50000}
    messages: Any = [{"role": "user", "content": "Hello. It is late. We go home."}]
    asked: Any = {"model": "builtin:extractive", "messages": messages}
    with openai.OpenAI(base_url=f"{keyed.stack.url}/v1", api_key=made["secret"], max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(**asked)
        assert raw.headers["x-ratelimit-limit"] == raw.headers["x-ratelimit-limit-requests"] == "2"
        assert raw.headers["x-ratelimit-remaining-requests"] == "1"
        assert raw.headers["x-ratelimit-limit-tokens"] == "50000"
        assert list(client.chat.completions.create(**asked, stream=True))
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**asked)
        assert caught.value.code == "rate_limit_exceeded"
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 91
        assert caught.value.response.headers["x-ratelimit-remaining"] == "0"
        changed = keyed.command("keys", "limit", made["key"]["id"], "--tier", "enterprise")
        assert changed.stdout == f"{made['key']['id']} (limited): tier enterprise\n"
        assert client.chat.completions.create(**asked).choices
    own = json.loads(keyed.command("keys", "create", "own", "--requests-per-minute", "1", "--json").stdout)
    bearer = {"authorization": f"Bearer {own['secret']}"}
    body = b'{"content": "Hello. It is late. We go home."}'
    assert keyed.ask("POST", "/v1/summarize", body, **bearer)[0] == 200
    status, refused = keyed.ask("POST", "/v1/summarize", body, **bearer)
    assert (status, json.loads(refused)["error"]["code"]) == (429, "RATE_LIMITED")
    limited = keyed.command(
        "tenants", "create", "small", "--tier", "free", "--concurrent-calls", "2", "--json"
    )
    assert json.loads(limited.stdout)["limits"] == {"tier": "free", "concurrent_calls": 2}
    changed = keyed.command("tenants", "limit", "small", "--requests-per-minute", "2000")
    assert changed.stdout == "small (small): 2,000 requests a minute\n"


def test_the_command_line_keeps_keys_tenants_and_the_audit_log(keyed: Keyed):
    made = keyed.command(
        "keys", "create", "search backend", "--scope", "prompts:*", "--allow-model", "gpt-4o*"
    )
    secret = made.stdout.strip()
    assert re.fullmatch(r"gs_live_\w{43}", secret)
    assert secret not in made.stderr
    listed = keyed.command("keys", "list")
    [row] = [line for line in listed.stdout.splitlines() if "search backend" in line]
    key_id = row.split()[0]
    assert f"{secret[:12]}..." in row
    assert secret not in listed.stdout
    rotated = keyed.command("keys", "rotate", key_id, "--overlap-s", "0").stdout.strip()
    assert rotated != secret
    assert keyed.command("prompts", "list", key=secret).returncode == 1
    assert keyed.command("prompts", "list", key=rotated).returncode == 0
    refused = keyed.command("keys", "list", key=rotated)
    assert refused.stderr == "genai-spine: PERMISSION_DENIED: the key lacks the scope keys:admin\n"
    assert keyed.command("keys", "revoke", key_id).stdout == f"revoked {key_id} (search backend)\n"
    assert (
        keyed.command("tenants", "create", "acme", "--name", "Acme Ltd").stdout
        == "acme (Acme Ltd): enabled\n"
    )
    options = ("--deduplicate-retries", "--request-log", "--guardrails", '{"pii": "block"}', "--json")
    made = json.loads(keyed.command("keys", "create", "with options", *options).stdout)
    assert made["key"]["permissions"]["guardrails"]["pii"] == "block"
    assert (made["key"]["deduplicate_retries"], made["key"]["request_log"]) == (True, True)
    usage = json.loads(keyed.command("usage", "--by", "tenant", "--json").stdout)
    assert {group["tenant"] for group in usage["usage"]} <= {"default-tenant", "acme"}
    theirs = json.loads(keyed.command("keys", "create", "theirs", "--tenant", "acme", "--json").stdout)
    assert theirs["key"]["tenant_id"] == "acme"
    assert keyed.command("tenants", "disable", "acme").returncode == 0
    lines = keyed.command("audit", "export", "--action", "keys.").stdout.splitlines()
    assert {"keys.create", "keys.rotate", "keys.revoke"} <= {json.loads(line)["action"] for line in lines}
    assert "BROKEN" not in keyed.command("audit", "list").stdout
    chat = keyed.command("chat", "-m", "builtin:extractive", "Hello. It is late. We go home.")
    assert chat.returncode == 0


def test_budgets_are_kept_over_rest_and_by_the_command_line(keyed: Keyed):
    set_one = ("budget", "set", "7.5", "--period", "daily", "--policy", "soft_block")
    row = keyed.command(*set_one).stdout.splitlines()[1].split()
    assert row[1:5] == ["tenant", "default-tenant", "daily", "7.500000"]
    assert row[-1] == "soft_block"
    [listed] = json.loads(keyed.command("budget", "list", "--json").stdout)["budgets"]
    assert (listed["id"], listed["limit_usd"], listed["limit_ticks"]) == (row[0], 7.5, "75000000000")
    assert "7.500000" in keyed.command("budget", "show").stdout
    key = {"authorization": f"Bearer {keyed.admin}"}
    status, body = keyed.ask("GET", "/v1/budget", **key)
    assert status == 200
    shown = json.loads(body)
    assert {"limit": 7.5, "used": 0, "remaining": 7.5, "percentage_used": 0}.items() <= shown["daily"].items()
    assert shown["monthly"]["used"] == 0
    assert "limit" not in shown["monthly"]
    assert shown["alerts"] == {"daily_warning_threshold": 0.8, "monthly_warning_threshold": 0.9}
    request = urllib.request.Request(
        f"http://127.0.0.1:{keyed.stack.port}/v1/budgets?update_mask=limitUsd",
        json.dumps({"period": "BUDGET_PERIOD_DAILY", "limit_usd": 9}).encode(),
        {"content-type": "application/json", **key},
        method="PUT",
    )
    with urllib.request.urlopen(request) as answer:
        changed = json.load(answer)
    assert (changed["id"], changed["limit_usd"], changed["policy"]) == (
        row[0],
        9,
        "BUDGET_POLICY_SOFT_BLOCK",
    )
    assert keyed.ask("GET", f"/v1/budgets/{row[0]}/counters", **key)[0] == 200
    assert keyed.command("budget", "delete", row[0]).stdout == f"deleted budget {row[0]}\n"
    missing = keyed.command("budget", "show", row[0])
    assert (missing.returncode, missing.stderr) == (1, f"genai-spine: NOT_FOUND: no budget '{row[0]}'\n")
    status, body = keyed.ask("GET", f"/v1/budgets/{row[0]}", **key)
    assert (status, json.loads(body)["error"]["code"]) == (404, "NOT_FOUND")


def test_a_server_that_would_listen_publicly_says_what_to_set(tmp_path: Path):
    command = (sys.executable, "-m", "genai_spine", "up")
    refused = finished(*command, cwd=tmp_path, GENAI_API_HOST="0.0.0.0")
    assert refused.returncode == 1
    assert "GENAI_API_HOST=0.0.0.0 listens beyond this machine without authentication" in refused.stderr
    assert "GENAI_AUTH=on" in refused.stderr
    assert environment().get("GENAI_AUTH") is None
    without = finished(*command, cwd=tmp_path, GENAI_AUTH="on", GENAI_DATABASE_URL="postgresql://h:1/x")
    assert without.returncode == 1

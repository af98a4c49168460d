"""Secrets are planted in every setting that holds one, things go wrong, and every sink is searched.

The settings are found by their types, so one that is added is covered.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genai_spine.settings.secret_files import secret_settings, secret_variables
from tests.acceptance.stack import environment, finished
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

OPENAI = "GENAI_OPENAI_API_KEY"
DATABASE = "GENAI_DATABASE_URL"
NOWHERE = "http://127.0.0.1:9"
BODIES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/completions:create", {"model": "openai:gpt-4o", "messages": []}),
    ("POST", "/v1/completions:create", {"model": "openai:gpt-4o", "prompt": "Hello"}),
    (
        "POST",
        "/v1/chat/completions",
        {"model": "anthropic:x", "messages": [{"role": "user", "content": "x"}]},
    ),
    ("POST", "/v1/chat/completions", {"model": "azure:x", "messages": [{"role": "user", "content": "x"}]}),
    ("POST", "/v1/chat/completions", {"model": "bedrock:x", "messages": [{"role": "user", "content": "x"}]}),
    ("POST", "/v1/embeddings", {"model": "mistral:x", "input": "x"}),
    ("POST", "/v1/embeddings", {"model": 5}),
    *(("GET", path, None) for path in ("/health", "/ready", "/openapi.json", "/v1/models", "/v1/providers")),
    *(("GET", path, None) for path in ("/v1/executions", "/v1/executions/none", "/v1/pricing", "/nowhere")),
)


def word(variable: str) -> str:
    """A secret of its own for each variable, in a form that every setting takes: a key of 32 bytes."""
    return hashlib.sha256(f"planted {variable}".encode()).hexdigest()


def value(variable: str) -> str:
    """Value of a variable with its secret inside."""
    if variable.endswith("PROXY"):
        return f"http://user:{word(variable)}@127.0.0.1:9"
    if variable.endswith("_WEBHOOK_URL"):
        return f"https://127.0.0.1:9/{word(variable)}"
    if variable.endswith("_COMMAND"):
        return f"echo {word(variable)}"
    return word(variable)


def planted(folder: Path, **given: str) -> dict[str, str]:
    """Environment with a secret in every variable that may hold one; every second one in a file."""
    variables = {}
    ours = sorted(secret_variables() - {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GENAI_OPENAI_PROXY"})
    for index, name in enumerate(ours):
        text = given.pop(name, None) or value(name)
        if not text or name == "GENAI_DATABASE_PASSWORD":
            continue
        if index % 2 and f"{name}_FILE" not in given:
            (folder / name).write_text(text + "\n")
            variables[f"{name}_FILE"] = str(folder / name)
        else:
            variables[name] = text
    return variables | given


@dataclass(frozen=True, slots=True)
class Planted:
    url: str
    folder: Path
    variables: dict[str, str]
    process: "subprocess.Popen[bytes]"

    def call(self, method: str, path: str, body: Any) -> str:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return f"{answer.headers}{answer.read().decode()}"
        except urllib.error.HTTPError as error:
            return f"{error.headers}{error.read().decode()}"

    def said_by_commands(self) -> list[str]:
        """Secrets in the output of commands, all of which run at once: they wait for upstreams."""
        lines = (["config", "show"], ["config", "show", "--json"], ["doctor", "--json"])
        program = (sys.executable, "-m", "genai_spine")
        with ThreadPoolExecutor() as pool:
            done = pool.map(
                lambda words: finished(*program, *words, cwd=self.folder, **self.variables), lines
            )
            return [leak for one in done for leak in found_in(one.stdout + one.stderr, " ".join(one.args))]

    def children(self) -> list[int]:
        own = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, own)]


def found_in(text: str, where: str) -> list[str]:
    return [f"{name} in {where}" for name in secret_variables() if word(name) in text]


@pytest.fixture(scope="module")
def service(openai_process: UpstreamProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    folder, secrets = tmp_path_factory.mktemp("planted"), tmp_path_factory.mktemp("secrets")
    variables = planted(
        secrets,
        **{DATABASE: f"sqlite:///{folder}/data.db"},
        GENAI_OPENAI_BASE_URL=openai_process.base_url,
        GENAI_ANTHROPIC_BASE_URL=NOWHERE,
        GENAI_AZURE_BASE_URL=NOWHERE,
        GENAI_BEDROCK_BASE_URL=NOWHERE,
        GENAI_MISTRAL_BASE_URL=NOWHERE,
        GENAI_PROVIDER_RETRIES="0",
        GENAI_DRAIN_TIMEOUT="1",
        GENAI_DEFAULT_PROVIDER="builtin",
        GENAI_LOG_LEVEL="DEBUG",
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "genai_spine", "up", "--json", "--port", "0"],
            env=environment(**variables),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (folder / "log").read_text()[-3000:]
    yield Planted(json.loads(line)["url"], folder, variables, process)
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.mark.timeout(300)
def test_no_sink_holds_a_secret(service: Planted, openai_upstream: UpstreamProcess) -> None:
    leaks: list[str] = []
    key = word(OPENAI)
    refusal = {"error": {"message": f"Incorrect API key provided: {key}", "code": "invalid_api_key"}}
    openai_upstream.script(
        Reply(status=401, body=refusal),
        Reply(status=400, body={"error": {"message": f"header Bearer {key}"}}),
    )
    for method, path, body in (*BODIES, *BODIES[:2]):
        leaks += found_in(service.call(method, path, body), path)
    for pid in service.children():
        leaks += found_in(Path(f"/proc/{pid}/cmdline").read_text(), f"arguments of {pid}")
    leaks += service.said_by_commands()
    server = service.children()[1]
    os.kill(server, signal.SIGABRT)  # a crash: its stack goes to the log, and nothing to the disk
    deadline = time.monotonic() + 20
    while "server_died" not in (service.folder / "log").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    files = [path for path in service.folder.rglob("*") if path.is_file()]
    assert {"log", "data.db"} <= {path.name for path in files}
    for path in files:
        leaks += found_in(path.read_bytes().decode("latin-1"), str(path))
    assert "Fatal Python error: Aborted" in (service.folder / "log").read_text(errors="replace")
    assert leaks == []


@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_a_database_that_is_away_is_told_of_without_its_password(tmp_path: Path, command: str) -> None:
    """Of the settings that are secrets each is planted; a port that nobody listens on is the database's."""
    url = f"postgresql://genai:{word(DATABASE)}@127.0.0.1:9/genai"
    done = finished(
        sys.executable, "-m", "genai_spine", command, cwd=tmp_path, **planted(tmp_path, **{DATABASE: url})
    )
    assert done.returncode == 1
    assert found_in(done.stdout + done.stderr, command) == []


@pytest.mark.parametrize("name", [f"GENAI_{name.upper()}" for name in secret_settings()])
def test_a_secret_that_is_wrong_is_not_repeated(tmp_path: Path, name: str) -> None:
    for text in (f"{word(name)}://x:[{word(name)}", f"{word(name)}\n{word(name)}", f"://{word(name)}@"):
        done = finished(sys.executable, "-m", "genai_spine", "config", "show", cwd=tmp_path, **{name: text})
        assert word(name) not in done.stdout + done.stderr

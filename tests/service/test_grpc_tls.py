"""TLS on the gRPC port, without Envoy in front: client certificates, renewal, and several processes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from genai_spine.edge import server_credentials
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from tests.certificates import NOW, Authority
from tests.service.running import Running, Upstreams, asked, running
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest_asyncio.fixture(loop_scope="session")
async def secured(authority: Authority, upstreams: Upstreams) -> AsyncIterator[Running]:
    certificate, key = authority.issue("server")
    files = {"grpc_tls_certificate": certificate, "grpc_tls_key": key, "grpc_tls_client_ca": authority.file}
    async with running(upstreams, "sqlite://", **files) as found:
        yield found


async def answer(port: int, authority: Authority, pair: tuple[Path, Path] | None) -> str:
    """Content of an answer, or the details of the error."""
    certificate, key = (file.read_bytes() for file in pair) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), key, certificate)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
        try:
            found = await CompletionServiceStub(channel).CreateCompletion(asked(), timeout=10)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {error.details()}"
        return str(found.choices[0].message.content[0].text)


async def test_only_who_shows_a_certificate_of_the_ca_is_let_in(
    secured: Running, authority: Authority
) -> None:
    port = secured.server.port
    stranger = Authority(authority.folder, "other").issue("stranger")
    assert await answer(port, authority, authority.issue("client")) == "You said: Hello"
    assert (await answer(port, authority, None)).startswith("UNAVAILABLE")
    assert (await answer(port, authority, stranger)).startswith("UNAVAILABLE")
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as plain:
            await CompletionServiceStub(channel).CreateCompletion(asked(), timeout=10)
    assert plain.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_counts_for_new_connections(
    secured: Running, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_credentials, "LOOK_S", 0.0)
    port = secured.server.port
    client = authority.issue("client")
    await asyncio.sleep(1.0)  # the first look of the listener
    (authority.folder / "server.pem").write_text("half of a renewal")
    with capture_logs() as logs:
        assert await answer(port, authority, client) == "You said: Hello"
        await until(lambda: any(entry["event"] == "certificate_refused" for entry in logs))
        authority.issue("server", ["elsewhere.test"])
        # grpc tells a client whose name of the server is not in the certificate.
        assert "UNAVAILABLE" in await answer(port, authority, client)
        assert any(entry["event"] == "certificate_renewed" for entry in logs)


async def test_a_certificate_that_is_wrong_is_an_error_at_the_start(
    authority: Authority, upstreams: Upstreams
) -> None:
    certificate, key = authority.issue("old", since=NOW - timedelta(days=9), until=NOW - timedelta(days=1))
    files = {"grpc_tls_certificate": certificate, "grpc_tls_key": key}
    with pytest.raises(ValueError, match=r"old\.pem: has expired"):
        async with running(upstreams, "sqlite://", **files):
            pass

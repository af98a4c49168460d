"""Everything that leaves goes by the proxy: our own client, the official SDKs, logins and signing."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from genai_spine import settings
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import model_service_pb2 as models
from genai_spine.v1 import provider_file_service_pb2 as files
from tests.service.running import Running, Upstreams, running
from tests.unit.providers.http.raw_server import RawServer, response
from tests.upstreams import aws_wire
from tests.upstreams.azure import API_VERSION
from tests.upstreams.bedrock import BedrockUpstream
from tests.upstreams.proxy import CERTIFICATE, ProxyServer, Sockets

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREDENTIALS = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn>
<AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>{aws_wire.ACCESS_KEY}</AccessKeyId>
<SecretAccessKey>{aws_wire.SECRET_KEY}</SecretAccessKey><SessionToken>{aws_wire.SESSION_TOKEN}</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>""".encode()
URLS = {
    "OPENAI": "https://openai.api.test/v1",
    "ANTHROPIC": "https://anthropic.api.test",
    "AZURE": "https://azure.api.test",
    "BEDROCK": "https://bedrock.api.test",
    "OLLAMA": "http://ollama.test:11434",
}
FURTHER = {
    "GENAI_OPENAI_API_KEY": "sk-test",
    "GENAI_ANTHROPIC_API_KEY": "sk-test",
    "GENAI_AZURE_API_VERSION": API_VERSION,
    "GENAI_AZURE_TENANT_ID": "tenant",
    "GENAI_AZURE_CLIENT_ID": "client",
    "GENAI_AZURE_CLIENT_SECRET": "hush",
    "GENAI_AZURE_TOKEN_URL": "https://login.api.test/{tenant}/oauth2/v2.0/token",
    "GENAI_BEDROCK_REGION": "us-east-1",
    "GENAI_BEDROCK_CONTROL_URL": "https://bedrock.api.test",
    "GENAI_PROVIDER_RETRIES": "0",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
    "AWS_ENDPOINT_URL_STS": "https://sts.api.test",
    "AWS_REGION": "us-east-1",
}
MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-20250514",
    "azure": "gpt-4o",
    "bedrock": "amazon.nova-lite-v1:0",
    "ollama": "llama3.2:latest",
}


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(upstreams: Upstreams) -> AsyncIterator[ProxyServer]:
    """A proxy that alone knows where the names of URLS are."""
    async with AsyncExitStack() as stack:
        bedrock = await stack.enter_async_context(BedrockUpstream(session_token=aws_wire.SESSION_TOKEN))
        sts = await stack.enter_async_context(
            RawServer(response(CREDENTIALS, headers="content-type: text/xml\r\n"))
        )
        behind = {
            "openai.api.test:443": upstreams.openai.port,
            "anthropic.api.test:443": upstreams.anthropic.port,
            "azure.api.test:443": upstreams.azure.port,
            "bedrock.api.test:443": bedrock.port,
            "ollama.test:11434": upstreams.ollama.port,
            "login.api.test:443": upstreams.azure.port,
            "sts.api.test:443": sts.port,
        }
        yield await stack.enter_async_context(ProxyServer(behind))


@pytest_asyncio.fixture(loop_scope="session")
async def service(
    proxy: ProxyServer,
    upstreams: Upstreams,
    no_aws_credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    module_sqlite_url: str,
) -> AsyncIterator[Running]:
    """A server whose settings know of the proxy, and of nothing else that could be reached."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GENAI_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    (tmp_path / "token").write_text("web identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("GENAI_CA_FILE", str(CERTIFICATE))
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://ann:s3cret@127.0.0.1:{proxy.port}")
    for name, url in URLS.items():
        monkeypatch.setenv(f"GENAI_{name}_BASE_URL", url)
    for name, value in FURTHER.items():
        monkeypatch.setenv(name, value)
    async with running(upstreams, module_sqlite_url, endpoints=settings.load().endpoints) as found:
        yield found


async def test_no_socket_is_opened_but_to_the_proxy(
    service: Running, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = Sockets(monkeypatch)
    for provider, model in MODELS.items():
        asked = await service.chat(model=f"{provider}:{model}")
        assert asked.json["choices"][0]["message"]["content"]
        assert (await service.chat(model=f"{provider}:{model}", stream=True)).events[-1] == "[DONE]"
    image = media.CreateImagesRequest(model="openai:gpt-image-1", prompt="A fox")
    assert (await service.media.CreateImages(image)).images
    speech = media.CreateSpeechRequest(model="openai:tts-1", input="Good day")
    assert [chunk async for chunk in service.media.CreateSpeech(speech)]
    upload = files.UploadFileRequest(provider="openai", filename="a.jsonl", data=b"{}", purpose="batch")
    assert (await service.files.UploadFile(upload)).id
    assert (await service.files.ListFiles(files.ListFilesRequest(provider="openai"))).files
    assert (await service.models.ListModels(models.ListModelsRequest())).data
    await asyncio.sleep(0)
    assert sockets.addresses == {("127.0.0.1", proxy.port)}
    assert sockets.names <= {"127.0.0.1"}
    assert {line.split()[1] for line in proxy.asked} >= {
        *(f"{name}:443" for name in ("openai.api.test", "anthropic.api.test", "azure.api.test")),
        *(f"{name}:443" for name in ("bedrock.api.test", "login.api.test", "sts.api.test")),
        "http://ollama.test:11434/api/chat",
    }


async def test_keys_go_to_their_own_provider_alone(
    service: Running, proxy: ProxyServer, upstreams: Upstreams
) -> None:
    for provider, model in MODELS.items():
        await service.chat(model=f"{provider}:{model}")
    for upstream in upstreams.each():
        for entry in upstream.bill:
            assert "s3cret" not in str(entry.headers)
            assert "proxy-authorization" not in entry.headers
    heads = b"".join(head for head in proxy.heads if head.startswith(b"CONNECT"))
    for secret in (b"sk-test", b"hush", aws_wire.SECRET_KEY.encode()):
        assert secret not in heads

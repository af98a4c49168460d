"""Azure: the official SDK and we ask and read alike; its own errors are ours; tokens stand in for keys."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.contract.options import said
from tests.contract.spoken import DEPLOYED, TIMEOUTS, Spoken, speaking
from tests.upstreams import azure, openai_errors
from tests.upstreams.azure import API_VERSION, AzureUpstream
from tests.upstreams.reply import Reply

HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def up() -> AsyncIterator[AzureUpstream]:
    async with AzureUpstream() as upstream:
        yield upstream


@pytest.fixture
async def spoken() -> AsyncIterator[Spoken]:
    async with speaking(DEPLOYED) as found:
        yield found


def asked(model: str = "gpt-4o") -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(model=model, messages=[said(message_pb2.ContentPart(text="Hello"))])


def provider(up: AzureUpstream, key: str | None = None, **further: str) -> Provider:
    return PROVIDERS["azure"].make(Endpoint("azure", up.base_url, key, timeouts=TIMEOUTS, further=further))


def entra(up: AzureUpstream, secret: str = "hush") -> dict[str, str]:
    given = {"tenant_id": "t-1", "client_id": "c-1", "client_secret": secret}
    return given | {"token_url": up.token_url, "api_version": API_VERSION}


class TestDeployments:
    async def test_the_official_sdk_finds_the_same(self, up: AzureUpstream) -> None:
        sdk = openai.AsyncAzureOpenAI(
            azure_endpoint=up.base_url,
            api_key="k",
            api_version=API_VERSION,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(verify=False),
        )
        async with sdk:
            answer = await sdk.chat.completions.create(model="my gpt/4", messages=HELLO)
            vectors = await sdk.embeddings.create(model="ada", input=["one"], dimensions=4)
        made = provider(up, "k", api_version=API_VERSION)
        whole = await made.complete(asked("my gpt/4"), Call())
        inputs = [pb.EmbeddingInput(text="one")]
        found = await made.embed(pb.CreateEmbeddingsRequest(model="ada", inputs=inputs, dimensions=4), Call())
        await made.close()
        assert whole.choices[0].message.content[0].text == answer.choices[0].message.content
        assert list(found.embeddings[0].values) == vectors.data[0].embedding
        theirs_chat, theirs_vectors, ours_chat, ours_vectors = up.bill
        assert (ours_chat.path, ours_chat.body) == (theirs_chat.path, theirs_chat.body)
        assert (ours_vectors.path, ours_vectors.body) == (theirs_vectors.path, theirs_vectors.body)
        assert ours_chat.headers["api-key"] == theirs_chat.headers["api-key"] == "k"
        assert up.versions == {API_VERSION}

    @pytest.mark.parametrize("end", ["", "/", "/openai", "/openai/v1", "/openai/v1/"])
    @pytest.mark.parametrize(
        ("further", "path"),
        [({"api_version": API_VERSION}, "/openai/deployments/gpt-4o"), ({}, "/openai/v1")],
    )
    async def test_the_resources_address_may_end_in_several_ways(
        self, up: AzureUpstream, end: str, further: dict[str, str], path: str
    ) -> None:
        endpoint = Endpoint("azure", up.base_url + end, "k", timeouts=TIMEOUTS, further=further)
        made = PROVIDERS["azure"].make(endpoint)
        await made.complete(asked(), Call())
        await made.close()
        assert up.bill[0].path == f"{path}/chat/completions"

    async def test_models_are_listed_in_both_ways(self, up: AzureUpstream) -> None:
        for further in ({"api_version": API_VERSION}, {}):
            made = provider(up, "k", **further)
            models = await made.list_models()
            await made.close()
            assert [model.id for model in models] == up.models
            assert all(model.created > 1_000_000_000 for model in models)

    async def test_what_the_filters_found_does_not_disturb_the_answer(self, spoken: Spoken) -> None:
        spoken.up.default = Reply(["a", "b"], id="x", events_per_write=0)
        streamed = await fold(spoken.provider.stream(asked(), Call()))
        assert (streamed.id, streamed.model) == ("x", "gpt-4o")
        assert streamed.choices[0].message.content[0].text == "ab"
        assert (await spoken.whole(asked())).choices[0].message.content[0].text == "ab"

    async def test_an_answer_that_the_filter_ended_says_so(self, spoken: Spoken) -> None:
        spoken.up.default = Reply(["a", "b"], finish_reason="content_filter")
        for found in (await spoken.whole(asked()), await fold(spoken.provider.stream(asked(), Call()))):
            assert found.choices[0].finish_reason == pb.FINISH_REASON_CONTENT_FILTER


INNER = {"code": "ResponsibleAIPolicyViolation", "content_filter_results": {}}
OTHER_CODE = {"error": {"code": "BadRequest", "message": "no", "innererror": INNER}}
DENIED = {
    "error": {"code": "PermissionDenied", "message": "Principal does not have access to API/Operation."}
}


class TestErrors:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("reply", "kind", "code", "retry_after_s"),
        [
            (openai_errors.content_filter(), errors.ContentFiltered, "content_filter", None),
            (Reply(status=400, body=OTHER_CODE), errors.ContentFiltered, "BadRequest", None),
            (azure.rate_limited(250), errors.ProviderRateLimited, "429", 0.25),
            (azure.access_denied(), errors.ProviderAuthentication, "401", None),
            (Reply(status=401, body=DENIED), errors.ProviderAuthentication, "PermissionDenied", None),
        ],
    )
    async def test_azures_errors(
        self, spoken: Spoken, stream: bool, reply: Reply, kind: Any, code: str, retry_after_s: float | None
    ) -> None:
        spoken.up.script(reply)
        with pytest.raises(errors.ProviderFailure) as found:
            await (spoken.chunks(asked()) if stream else spoken.whole(asked()))
        assert type(found.value) is kind
        assert found.value.metadata["provider_code"] == code
        assert found.value.retry_after_s == retry_after_s

    async def test_a_deployment_that_is_not_there(self, spoken: Spoken) -> None:
        spoken.up.unknown_models.add("gone")
        with pytest.raises(errors.ModelNotFound, match="model 'gone' not found: azure says: The API deploy"):
            await spoken.whole(asked("gone"))


class TestTokens:
    async def test_a_token_stands_in_for_a_key(self, up: AzureUpstream) -> None:
        made = provider(up, **entra(up))
        await made.complete(asked(), Call())
        await fold(made.stream(asked(), Call()))
        await made.list_models()
        await made.embed(pb.CreateEmbeddingsRequest(model="e", inputs=[pb.EmbeddingInput(text="x")]), Call())
        await made.close()
        login, *calls = up.bill
        assert login.path == "/t-1/oauth2/v2.0/token"
        assert len(up.tokens) == 1
        assert {entry.headers["authorization"] for entry in calls} == {f"Bearer {up.tokens[0]}"}
        assert not any("api-key" in entry.headers for entry in calls)

    async def test_a_key_wins_over_it(self, up: AzureUpstream) -> None:
        made = provider(up, "k", **entra(up))
        await made.complete(asked(), Call())
        await made.close()
        assert up.tokens == []

    async def test_a_token_that_is_refused_is_not_used_again(self, up: AzureUpstream) -> None:
        made = provider(up, **entra(up))
        await made.complete(asked(), Call())
        revoked = up.tokens.pop()
        up.tokens.append("eyJ.other.sig")
        with pytest.raises(errors.ProviderAuthentication) as refusal:
            await made.complete(asked(), Call())
        assert revoked not in str(refusal.value)
        await made.complete(asked(), Call())
        await made.close()
        assert len(up.tokens) == 2

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_secret_that_is_refused_is_the_operators_to_repair(
        self, up: AzureUpstream, stream: bool
    ) -> None:
        made = provider(up, **entra(up, "wr0ng-secret"))
        with pytest.raises(errors.ProviderAuthentication, match="AADSTS7000215") as refusal:
            await (fold(made.stream(asked(), Call())) if stream else made.complete(asked(), Call()))
        await made.close()
        assert refusal.value.metadata["provider_code"] == "invalid_client"
        assert "wr0ng-secret" not in str(refusal.value)
        assert len(up.bill.calls) == 0

    async def test_an_upstream_that_repeats_the_token_does_not_show_it(self, up: AzureUpstream) -> None:
        made = provider(up, **entra(up))
        await made.complete(asked(), Call())
        message = f"bad token {up.tokens[0]}"
        up.script(Reply(status=400, body={"error": {"code": "400", "message": message}}))
        with pytest.raises(errors.ProviderRejected, match=r"bad token \*\*\*"):
            await made.complete(asked(), Call())
        await made.close()


class TestFiles:
    async def test_a_token_stands_in_for_the_key_of_the_official_package_too(self, up: AzureUpstream) -> None:
        made = provider(up, **entra(up))
        with pytest.raises(errors.ProviderObjectNotFound):  # this upstream keeps no files
            await made.get_file("file-1", Call())
        await made.close()
        login, asked_for = up.bill
        assert (login.path, asked_for.path) == ("/t-1/oauth2/v2.0/token", "/openai/files/file-1")
        assert asked_for.headers["authorization"].startswith("Bearer ")
        assert "api-key" not in asked_for.headers
        assert asked_for.headers["authorization"] != "Bearer added by _sign"

"""What the service says of its providers."""

import pytest

from genai_spine.v1 import provider_service_pb2 as pb
from genai_spine.v1.provider_service_pb2_grpc import ProviderServiceStub
from tests.service.running import Running, asked, failure

pytestmark = pytest.mark.asyncio(loop_scope="session")


def stub(service: Running) -> ProviderServiceStub:
    return ProviderServiceStub(service.channel)


async def test_every_configured_provider_is_listed_with_its_state(service: Running) -> None:
    await service.completions.CreateCompletion(asked())
    found = (await stub(service).ListProviders(pb.ListProvidersRequest())).providers
    assert [info.provider_name for info in found] == sorted(service.upstreams.endpoints())
    openai = next(info for info in found if info.provider_name == "openai")
    assert openai.is_available
    assert (openai.circuit_state, openai.key_count, openai.running) == (pb.CIRCUIT_STATE_CLOSED, 1, 0)


async def test_a_capability_narrows_the_list_and_orders_it(service: Running) -> None:
    request = pb.ListProvidersRequest(capability=pb.CAPABILITY_LLM_VISION)
    found = (await stub(service).ListProviders(request)).providers
    assert found[0].provider_name == "openai"
    assert "builtin" not in [info.provider_name for info in found]
    assert {offer.capability for info in found for offer in info.capabilities} == {request.capability}


async def test_the_list_has_pages(service: Running) -> None:
    seen: list[str] = []
    token = ""
    while True:
        page = await stub(service).ListProviders(pb.ListProvidersRequest(page_size=2, page_token=token))
        seen += [info.provider_name for info in page.providers]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(service.upstreams.endpoints())


async def test_a_model_can_only_be_pulled_where_models_lie(service: Running) -> None:
    found = await failure(stub(service).PullModel(pb.PullModelRequest(provider="openai", model="x")))
    assert (found.reason, found.metadata["operation"]) == ("UNSUPPORTED_OPERATION", "pulling of models")
    found = await failure(stub(service).PullModel(pb.PullModelRequest(provider="nobody", model="x")))
    assert (found.reason, found.metadata["field"]) == ("INVALID_REQUEST", "provider")

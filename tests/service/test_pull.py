"""Pulling a model through the service: progress, what goes wrong, and a caller that leaves."""

import pytest

from genai_spine.v1 import model_service_pb2, provider_service_pb2
from genai_spine.v1.provider_service_pb2_grpc import ProviderServiceStub
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")


def pull(service: Running, model: str):  # type: ignore[no-untyped-def]  # a stream of grpc
    request = provider_service_pb2.PullModelRequest(provider="ollama", model=model)
    return ProviderServiceStub(service.channel).PullModel(request)


async def test_a_pulled_model_is_listed_with_what_it_can_do(service: Running) -> None:
    steps = [step async for step in pull(service, "phi4")]
    assert steps[-1].status == "success"
    assert {step.total_bytes for step in steps if step.HasField("digest")} == {5_000_000_000}
    listed = await service.models.ListModels(model_service_pb2.ListModelsRequest(provider="ollama"))
    [model] = [model for model in listed.data if model.name == "phi4:latest"]
    assert (model.context_length, list(model.capabilities)) == (131072, ["chat"])


async def test_a_model_that_nobody_has_is_not_found(service: Running) -> None:
    service.ollama.unknown_models.add("phi5")
    assert (await failure(pull(service, "phi5"))).reason == "MODEL_NOT_FOUND"


async def test_a_caller_that_leaves_ends_the_pull(service: Running) -> None:
    service.ollama.script(Reply(fault="stall", after=1), on="/api/pull")
    call = pull(service, "phi4")
    assert (await call.read()).status == "pulling manifest"
    call.cancel()
    await service.ollama.bill.until(lambda bill: bill[-1].disconnected)

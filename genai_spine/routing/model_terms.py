"""Terms of a model that the operator states: what it can, and what it is therefore not asked for."""

from collections.abc import Callable, Mapping

from genai_spine.errors import UnsupportedOption
from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb


def _has_part(kind: str) -> Callable[[pb.CreateCompletionRequest], bool]:
    """Test of a request for parts of one kind."""
    return lambda request: any(
        part.WhichOneof("part") == kind for message in request.messages for part in message.content
    )


# Capabilities that the operator can give a model, and whether a request asks for them.
CAPABILITIES: Mapping[str, Callable[[pb.CreateCompletionRequest], bool]] = {
    "tools": lambda request: bool(request.tools),
    "structured_output": lambda request: (
        request.response_format.HasField("json_schema")
        or request.response_format.kind == pb.ResponseFormat.KIND_JSON_OBJECT
    ),
    "images": _has_part("image"),
    "audio": _has_part("audio"),
    "files": _has_part("file"),
    "reasoning": lambda request: request.reasoning_effort > pb.REASONING_EFFORT_NONE,
    "logprobs": lambda request: request.logprobs,
}


def check_terms(request: pb.CreateCompletionRequest, route: Route) -> None:
    """Refuses what the operator says that the model cannot. Errors: UnsupportedOption."""
    terms = route.provider.endpoint.models.get(route.model)
    if terms is None or terms.capabilities is None:
        return
    for capability, asks in CAPABILITIES.items():
        if capability not in terms.capabilities and asks(request):
            problem = f"{capability}, which the configuration does not give {route.model},"
            raise UnsupportedOption(field=capability, provider=route.provider.name, option=problem)

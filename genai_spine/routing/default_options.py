"""Default options of a model, as the operator set them, for requests that leave them open."""

import msgspec

from genai_spine.providers.base import Route
from genai_spine.v1 import completion_service_pb2 as pb

Request = pb.CreateCompletionRequest
# Names of an option among a request's own fields for the upstream, beside ours.
UPSTREAM_NAMES = {
    "max_tokens": {"max_completion_tokens", "max_output_tokens", "num_predict"},
    "stop_sequences": {"stop"},
    "reasoning_effort": {"reasoning", "thinking", "think"},
    "reasoning_max_tokens": {"reasoning", "thinking", "think"},
}


def completed(request: Request, route: Route) -> Request:
    """The request with the default options of the route's model: itself where there are none."""
    terms = route.provider.endpoint.models.get(route.model)
    if terms is None or terms.options is None:
        return request
    return with_defaults(request, terms.options)


def with_defaults(request: Request, defaults: Request) -> Request:
    """Copy of a request with the options that it does not set itself."""
    extended = Request()
    extended.CopyFrom(defaults)
    if request.reasoning_effort or request.HasField("reasoning_max_tokens"):
        extended.ClearField("reasoning_effort")  # two ways to say one thing
        extended.ClearField("reasoning_max_tokens")
    if request.stop_sequences:
        extended.ClearField("stop_sequences")
    if request.provider_options_json:
        raw = set(_fields(request))
        for option, _ in extended.ListFields():
            if raw & {option.name, *UPSTREAM_NAMES.get(option.name, ())}:
                extended.ClearField(option.name)
    extended.MergeFrom(request)
    if request.provider_options_json and defaults.provider_options_json:
        own, further = _fields(request), _fields(defaults)
        extended.provider_options_json = msgspec.json.encode(further | own).decode()
    return extended


def _fields(request: Request) -> dict[str, msgspec.Raw]:
    """Fields for the upstream, each byte by byte as it was written."""
    return msgspec.json.decode(request.provider_options_json, type=dict[str, msgspec.Raw])

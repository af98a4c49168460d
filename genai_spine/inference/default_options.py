"""Default options of a model, as the operator set them, for requests that leave them open."""

import msgspec

from genai_spine.v1 import completion_service_pb2 as pb

Request = pb.CreateCompletionRequest


def with_defaults(request: Request, defaults: Request) -> Request:
    """Copy of a request with the options that it does not set itself."""
    extended = Request()
    extended.CopyFrom(defaults)
    if request.reasoning_effort or request.HasField("reasoning_max_tokens"):
        extended.ClearField("reasoning_effort")  # two ways to say one thing
        extended.ClearField("reasoning_max_tokens")
    if request.stop_sequences:
        extended.ClearField("stop_sequences")
    extended.MergeFrom(request)
    if request.provider_options_json and defaults.provider_options_json:
        own, further = _fields(request), _fields(defaults)
        extended.provider_options_json = msgspec.json.encode(further | own).decode()
    return extended


def _fields(request: Request) -> dict[str, msgspec.Raw]:
    """Fields for the upstream, each byte by byte as it was written."""
    return msgspec.json.decode(request.provider_options_json, type=dict[str, msgspec.Raw])

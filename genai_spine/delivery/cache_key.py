"""Cache key: what decides an answer, as one short text.

Equal requests have equal keys, in every process.
"""

from collections.abc import Mapping
from copy import deepcopy
from hashlib import sha256

import msgspec

from genai_spine.providers.base import NEUTRAL, Route
from genai_spine.v1 import completion_service_pb2 as pb

Request = pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest

VERSION = b"3"  # raised when equal requests get other fingerprints than before
# Who asks, who else could answer, and what is done with the answer: none of it changes the answer.
BESIDE = frozenset(
    {"user", "cache_max_age_s", "coalesce", "disconnect_policy", "routing", "cost_labels", "strict_options"}
    | {"store", "metadata", "idempotency_key", "resume_after"}
)
# Values that mean the same as none.
SAME_AS_UNSET: Mapping[str, object] = NEUTRAL | {"truncation": pb.TRUNCATION_NONE, "top_logprobs": 0}

# Settings of one provider alone that say which upstream it is.
NAMING = ("api_version", "region")

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def of(operation: str, request: Request, route: Route, tenant: str) -> str:
    """64 hex digits. operation: completion or embeddings. route: who answers, whatever the request names.

    Requests of two tenants are never equal.

    JSON texts count byte for byte, because the order of a schema's keys changes what a model writes; only
    the top level of provider_options_json is sorted, which is where our own clients put fields together.
    """
    plain = deepcopy(request)  # fields of it are taken away below
    plain.provider, plain.model = route.provider.name, route.model
    plain.DiscardUnknownFields()
    for descriptor, value in plain.ListFields():
        if descriptor.name in BESIDE or SAME_AS_UNSET.get(descriptor.name) == value:
            plain.ClearField(descriptor.name)
    if isinstance(plain, pb.CreateCompletionRequest):
        for message in plain.messages:
            message.ClearField("prompt_cache")
            for part in message.content:
                part.ClearField("prompt_cache")
        for tool in plain.tools:
            tool.ClearField("prompt_cache")
    options = _sorted(plain.provider_options_json)
    plain.ClearField("provider_options_json")
    if options:
        plain.provider_options_json = options
    # Deterministic: maps are sorted by key. Two versions of protobuf may differ, and then miss once.
    text = plain.SerializeToString(deterministic=True)
    return sha256(
        b"\0".join((VERSION, tenant.encode(), operation.encode(), _upstream(route), text))
    ).hexdigest()


def _upstream(route: Route) -> bytes:
    """What stands behind the name of a provider, which the operator may point elsewhere, as JSON.

    Keys are left out: another key is the same model. Names of headers count without their values, which may
    be secrets.
    """
    endpoint = route.provider.endpoint
    terms = endpoint.models.get(route.model)
    options = terms.options.SerializeToString(deterministic=True) if terms and terms.options else b""
    further = {name: value for name, value in endpoint.further.items() if name in NAMING}
    return msgspec.json.encode(
        (
            *(endpoint.registry_name, endpoint.base_url, *endpoint.more_base_urls),
            *(sorted(endpoint.headers), sorted(further.items()), options),
        )
    )


def _sorted(options_json: str) -> str:
    """Empty for no option at all."""
    options = sorted(_object.decode(options_json).items()) if options_json else ()
    return msgspec.json.encode(dict(options)).decode() if options else ""

"""Model lists of Bedrock's control plane: foundation models, and profiles that spread calls over regions.

Shapes, 2026-11-28: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html and
.../API_ListInferenceProfiles.html.
"""

from datetime import datetime

import msgspec
from msgspec import Struct

from genai_spine.v1 import model_service_pb2


class Lifecycle(Struct, rename="camel"):
    """Lifecycle of a model; the start is RFC 3339."""

    start_of_life_time: str = ""


class FoundationModel(Struct, rename="camel"):
    """Model of the list; inference_types tells whether it can be called by its own id."""

    model_id: str
    model_name: str = ""
    provider_name: str = ""
    input_modalities: list[str] = []
    output_modalities: list[str] = []
    response_streaming_supported: bool | None = None
    inference_types: list[str] = msgspec.field(default_factory=list, name="inferenceTypesSupported")
    model_lifecycle: Lifecycle = msgspec.field(default_factory=Lifecycle)

    def described(self, name: str) -> model_service_pb2.Model:
        """Contract's model. name: by which it is called, its own or that of a profile."""
        abilities = {"chat": "TEXT", "embeddings": "EMBEDDING", "images": "IMAGE"}
        capabilities = [ability for ability, kind in abilities.items() if kind in self.output_modalities]
        sees = "IMAGE" in self.input_modalities and "TEXT" in self.output_modalities
        return model_service_pb2.Model(
            id=name,
            created=_seconds(self.model_lifecycle.start_of_life_time),
            owned_by=self.provider_name,
            display_name=self.model_name,
            capabilities=capabilities + (["vision"] if sees else []),
            supports_vision=sees,
            supports_streaming=self.response_streaming_supported,
        )


class Arn(Struct, rename="camel"):
    model_arn: str = ""


class Profile(Struct, rename="camel"):
    """Inference profile: a name under which calls are spread over regions."""

    inference_profile_id: str
    inference_profile_arn: str
    inference_profile_name: str = ""
    created_at: str = ""
    type: str = ""
    models: list[Arn] = []

    def described(self, known: dict[str, FoundationModel]) -> model_service_pb2.Model:
        """Contract's model of the profile, with the abilities of the first model that is known."""
        # An account's own profile is called by its ARN.
        name = self.inference_profile_arn if self.type == "APPLICATION" else self.inference_profile_id
        ids = (arn.model_arn.rpartition("/")[2] for arn in self.models)
        behind = next((known[model] for model in ids if model in known), FoundationModel(""))
        described = behind.described(name)
        described.display_name = self.inference_profile_name
        described.created = _seconds(self.created_at) or described.created
        return described


class FoundationModels(Struct, rename="camel"):
    model_summaries: list[FoundationModel]


class Profiles(Struct, rename="camel"):
    inference_profile_summaries: list[Profile]
    next_token: str | None = None


MODELS = msgspec.json.Decoder(FoundationModels)
PROFILES = msgspec.json.Decoder(Profiles)


def _seconds(rfc3339: str) -> int:
    """Unix time of an RFC 3339 text; 0: not known."""
    try:
        return max(0, int(datetime.fromisoformat(rfc3339).timestamp()))
    except ValueError:
        return 0

"""Provider that is called first for a request, as far as that is known before the call."""

from google.protobuf.message import Message

from genai_spine.errors import SpineError
from genai_spine.routing.candidates import CandidatePlanner
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import media_service_pb2 as media

MEDIA = {
    media.CreateImagesRequest: "image",
    media.CreateTranscriptionRequest: "transcription",
    media.CreateSpeechRequest: "speech",
}
NAMES = {"provider", "model"}  # of a request that names who answers it


def first_provider(planner: CandidatePlanner, request: Message) -> str:
    """Name of the provider; empty: the request names none, or nobody can answer it."""
    try:
        if isinstance(request, pb.CreateCompletionRequest):
            return planner.plan(request)[0].provider.name
        if isinstance(request, pb.CreateEmbeddingsRequest):
            return planner.embedding_plan(request)[0].provider.name
        if (kind := MEDIA.get(type(request))) is not None:
            return planner.media_plan(kind, request)[0].provider.name  # type: ignore[arg-type]
        if not set(request.DESCRIPTOR.fields_by_name) >= NAMES:  # such as of a prompt, which may have its own
            return ""
        provider, model = request.provider, request.model  # type: ignore[attr-defined]
        return planner.router.resolve(provider, model).provider.name
    except SpineError:  # the run will say so
        return ""

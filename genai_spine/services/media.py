"""MediaService: images, transcriptions and speech, typed."""

from collections.abc import AsyncGenerator

from genai_spine.call import Call
from genai_spine.inference.inference import Inference
from genai_spine.v1 import media_service_pb2 as pb


class MediaService:
    """RPCs of media; all of them are inference's work."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference

    async def CreateImages(self, request: pb.CreateImagesRequest, call: Call) -> pb.CreateImagesResponse:
        return await self.inference.draw(request, call)

    async def CreateTranscription(
        self, request: pb.CreateTranscriptionRequest, call: Call
    ) -> pb.Transcription:
        return await self.inference.transcribe(request, call)

    def CreateSpeech(self, request: pb.CreateSpeechRequest, call: Call) -> AsyncGenerator[pb.SpeechChunk]:
        return self.inference.speak(request, call)

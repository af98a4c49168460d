"""DetectPii: personal data in a text, with its places."""

from genai_spine.capabilities.context import Answer
from genai_spine.capabilities.pii_detection import PiiDetection
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb

Request = pb.DetectPiiRequest
Response = pb.DetectPiiResponse


class DetectPii(PiiDetection[Request, Response]):
    """PII detection by patterns and checksums, and by a language model where one is named."""

    NAME = "detect-pii"
    METHOD = "DetectPii"
    REQUEST = Request
    RESPONSE = Response

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        entities = [
            pb.PiiEntity(
                type=span.type,
                start=span.start,
                end=span.end,
                confidence=span.confidence,
                text=chunk.text[span.start : span.end],
            )
            for span in self.spans(answer, request, chunk)
        ]
        return Response(entities=entities, entity_count=len(entities))

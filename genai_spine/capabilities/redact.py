"""Redact: a text with something else in the place of personal data."""

import secrets

from genai_spine.capabilities.context import Answer
from genai_spine.capabilities.pii_detection import PiiDetection
from genai_spine.privacy.redaction import METHODS, hashing, redacted
from genai_spine.privacy.spans import Span
from genai_spine.text.chunking import TextChunk
from genai_spine.v1 import capability_service_pb2 as pb

DEFAULT_METHOD = "mask"
HASH_KEY_BYTES = 32

Request = pb.RedactRequest
Response = pb.RedactResponse


class Redact(PiiDetection[Request, Response]):
    """PII redaction, by one method for all types or one of its own for each."""

    NAME = "redact"
    METHOD = "Redact"
    REQUEST = Request
    RESPONSE = Response

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        entities: list[pb.RedactedEntity] = []
        replacements = {**METHODS, "hash": hashing(secrets.token_bytes(HASH_KEY_BYTES))}

        def replacement(value: str, span: Span) -> str:
            method = request.methods.get(span.type) or request.method or DEFAULT_METHOD
            entity = pb.RedactedEntity(type=span.type, start=span.start, end=span.end, method=method)
            entity.confidence, entity.replacement = span.confidence, replacements[method](value, span)
            entities.append(entity)
            return entity.replacement

        text = redacted(chunk.text, self.spans(answer, request, chunk), replacement)
        return Response(redacted=text, entities=entities, entity_count=len(entities))

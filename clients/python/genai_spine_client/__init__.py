"""Async client for GenAI Spine.

`Spine` has the calls, `errors` what they raise, `gen` the generated messages and stubs of every service.
"""

from genai_spine_client import errors
from genai_spine_client.answers import Answer, Piece, Spent, Vectors
from genai_spine_client.client import Spine
from genai_spine_client.errors import SpineError
from genai_spine_client.gen.genai_spine.v1 import ContentPart, ImagePart, Message, Model, Role

__all__ = [
    "Answer",
    "ContentPart",
    "ImagePart",
    "Message",
    "Model",
    "Piece",
    "Role",
    "Spent",
    "Spine",
    "SpineError",
    "Vectors",
    "errors",
]

"""Async client for GenAI Spine.

`Spine` has the calls, `errors` what they raise, `gen` the generated messages and stubs of every service.
"""

from genai_spine_client import errors
from genai_spine_client.answers import Answer, Piece, Spent, Vectors
from genai_spine_client.client import Spine
from genai_spine_client.errors import SpineError
from genai_spine_client.gen.genai_spine.v1 import (
    ContentPart,
    CustomTool,
    FunctionCall,
    FunctionTool,
    ImagePart,
    JsonSchema,
    Message,
    Model,
    ResponseFormat,
    ResponseFormatKind,
    Role,
    Run,
    RunEvent,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceMode,
    Work,
)
from genai_spine_client.pipelines import Pipeline, Step

__all__ = [
    "Answer",
    "ContentPart",
    "CustomTool",
    "FunctionCall",
    "FunctionTool",
    "ImagePart",
    "JsonSchema",
    "Message",
    "Model",
    "Piece",
    "Pipeline",
    "ResponseFormat",
    "ResponseFormatKind",
    "Role",
    "Run",
    "RunEvent",
    "Spent",
    "Spine",
    "SpineError",
    "Step",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolChoiceMode",
    "Vectors",
    "Work",
    "errors",
]

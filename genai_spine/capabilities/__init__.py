"""The capabilities: one file each, one row here."""

from typing import Any

from genai_spine.capabilities.base import Capability
from genai_spine.capabilities.classify import Classify
from genai_spine.capabilities.compare import Compare
from genai_spine.capabilities.extract import Extract
from genai_spine.capabilities.generate_commit import GenerateCommit
from genai_spine.capabilities.infer_title import InferTitle
from genai_spine.capabilities.rewrite import Rewrite
from genai_spine.capabilities.summarize import Summarize

CAPABILITIES: dict[str, Capability[Any, Any]] = {
    "classify": Classify(),
    "compare": Compare(),
    "extract": Extract(),
    "generate-commit": GenerateCommit(),
    "infer-title": InferTitle(),
    "rewrite": Rewrite(),
    "summarize": Summarize(),
}

"""The capabilities: one file each, one row here."""

from typing import Any

from genai_spine.capabilities.analyze_coaching import AnalyzeCoaching
from genai_spine.capabilities.analyze_sentiment import AnalyzeSentiment
from genai_spine.capabilities.answer_question import AnswerQuestion
from genai_spine.capabilities.base import Capability
from genai_spine.capabilities.classify import Classify
from genai_spine.capabilities.compare import Compare
from genai_spine.capabilities.correct import Correct
from genai_spine.capabilities.detect_language import DetectLanguage
from genai_spine.capabilities.detect_pii import DetectPii
from genai_spine.capabilities.extract import Extract
from genai_spine.capabilities.extract_structured import ExtractStructured
from genai_spine.capabilities.generate_commit import GenerateCommit
from genai_spine.capabilities.infer_title import InferTitle
from genai_spine.capabilities.paraphrase import Paraphrase
from genai_spine.capabilities.redact import Redact
from genai_spine.capabilities.rewrite import Rewrite
from genai_spine.capabilities.summarize import Summarize
from genai_spine.capabilities.synthesize import Synthesize
from genai_spine.capabilities.tag import Tag
from genai_spine.capabilities.translate import Translate

CAPABILITIES: dict[str, Capability[Any, Any]] = {
    "analyze-coaching": AnalyzeCoaching(),
    "analyze-sentiment": AnalyzeSentiment(),
    "answer-question": AnswerQuestion(),
    "classify": Classify(),
    "compare": Compare(),
    "correct": Correct(),
    "detect-language": DetectLanguage(),
    "detect-pii": DetectPii(),
    "extract": Extract(),
    "extract-structured": ExtractStructured(),
    "generate-commit": GenerateCommit(),
    "infer-title": InferTitle(),
    "paraphrase": Paraphrase(),
    "redact": Redact(),
    "rewrite": Rewrite(),
    "summarize": Summarize(),
    "synthesize": Synthesize(),
    "tag": Tag(),
    "translate": Translate(),
}

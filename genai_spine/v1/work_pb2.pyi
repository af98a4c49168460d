from genai_spine.v1 import batch_pb2 as _batch_pb2
from genai_spine.v1 import capability_service_pb2 as _capability_service_pb2
from genai_spine.v1 import completion_service_pb2 as _completion_service_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import media_service_pb2 as _media_service_pb2
from genai_spine.v1 import pipeline_pb2 as _pipeline_pb2
from genai_spine.v1 import prompt_service_pb2 as _prompt_service_pb2
from genai_spine.v1 import rag_pb2 as _rag_pb2
from genai_spine.v1 import session_service_pb2 as _session_service_pb2
from genai_spine.v1 import symbol_service_pb2 as _symbol_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Work(_message.Message):
    __slots__ = ("completion", "embeddings", "transcription", "speech", "images", "execute_prompt", "summarize", "extract", "classify", "compare", "rewrite", "infer_title", "generate_commit", "analyze_sentiment", "answer_question", "tag", "detect_language", "translate", "paraphrase", "correct", "extract_structured", "synthesize", "detect_pii", "redact", "analyze_coaching", "document_symbols", "aggregate_costs", "batch", "pipeline", "send_message", "ingestion", "answer_query", "document_query")
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    SUMMARIZE_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    REWRITE_FIELD_NUMBER: _ClassVar[int]
    INFER_TITLE_FIELD_NUMBER: _ClassVar[int]
    GENERATE_COMMIT_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_QUESTION_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    DETECT_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_FIELD_NUMBER: _ClassVar[int]
    PARAPHRASE_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_STRUCTURED_FIELD_NUMBER: _ClassVar[int]
    SYNTHESIZE_FIELD_NUMBER: _ClassVar[int]
    DETECT_PII_FIELD_NUMBER: _ClassVar[int]
    REDACT_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_COACHING_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_COSTS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    SEND_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    INGESTION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_QUERY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_QUERY_FIELD_NUMBER: _ClassVar[int]
    completion: _completion_service_pb2.CreateCompletionRequest
    embeddings: _completion_service_pb2.CreateEmbeddingsRequest
    transcription: _media_service_pb2.CreateTranscriptionRequest
    speech: _media_service_pb2.CreateSpeechRequest
    images: _media_service_pb2.CreateImagesRequest
    execute_prompt: _prompt_service_pb2.ExecutePromptRequest
    summarize: _capability_service_pb2.SummarizeRequest
    extract: _capability_service_pb2.ExtractRequest
    classify: _capability_service_pb2.ClassifyRequest
    compare: _capability_service_pb2.CompareRequest
    rewrite: _capability_service_pb2.RewriteRequest
    infer_title: _capability_service_pb2.InferTitleRequest
    generate_commit: _capability_service_pb2.GenerateCommitRequest
    analyze_sentiment: _capability_service_pb2.AnalyzeSentimentRequest
    answer_question: _capability_service_pb2.AnswerQuestionRequest
    tag: _capability_service_pb2.TagRequest
    detect_language: _capability_service_pb2.DetectLanguageRequest
    translate: _capability_service_pb2.TranslateRequest
    paraphrase: _capability_service_pb2.ParaphraseRequest
    correct: _capability_service_pb2.CorrectRequest
    extract_structured: _capability_service_pb2.ExtractStructuredRequest
    synthesize: _capability_service_pb2.SynthesizeRequest
    detect_pii: _capability_service_pb2.DetectPiiRequest
    redact: _capability_service_pb2.RedactRequest
    analyze_coaching: _capability_service_pb2.AnalyzeCoachingRequest
    document_symbols: _symbol_service_pb2.DocumentSymbolsRequest
    aggregate_costs: AggregateCostsRequest
    batch: _batch_pb2.Batch
    pipeline: _pipeline_pb2.PipelineWork
    send_message: _session_service_pb2.SendMessageRequest
    ingestion: _rag_pb2.Ingestion
    answer_query: _rag_pb2.AnswerQueryRequest
    document_query: _rag_pb2.DocumentQuery
    def __init__(self, completion: _Optional[_Union[_completion_service_pb2.CreateCompletionRequest, _Mapping]] = ..., embeddings: _Optional[_Union[_completion_service_pb2.CreateEmbeddingsRequest, _Mapping]] = ..., transcription: _Optional[_Union[_media_service_pb2.CreateTranscriptionRequest, _Mapping]] = ..., speech: _Optional[_Union[_media_service_pb2.CreateSpeechRequest, _Mapping]] = ..., images: _Optional[_Union[_media_service_pb2.CreateImagesRequest, _Mapping]] = ..., execute_prompt: _Optional[_Union[_prompt_service_pb2.ExecutePromptRequest, _Mapping]] = ..., summarize: _Optional[_Union[_capability_service_pb2.SummarizeRequest, _Mapping]] = ..., extract: _Optional[_Union[_capability_service_pb2.ExtractRequest, _Mapping]] = ..., classify: _Optional[_Union[_capability_service_pb2.ClassifyRequest, _Mapping]] = ..., compare: _Optional[_Union[_capability_service_pb2.CompareRequest, _Mapping]] = ..., rewrite: _Optional[_Union[_capability_service_pb2.RewriteRequest, _Mapping]] = ..., infer_title: _Optional[_Union[_capability_service_pb2.InferTitleRequest, _Mapping]] = ..., generate_commit: _Optional[_Union[_capability_service_pb2.GenerateCommitRequest, _Mapping]] = ..., analyze_sentiment: _Optional[_Union[_capability_service_pb2.AnalyzeSentimentRequest, _Mapping]] = ..., answer_question: _Optional[_Union[_capability_service_pb2.AnswerQuestionRequest, _Mapping]] = ..., tag: _Optional[_Union[_capability_service_pb2.TagRequest, _Mapping]] = ..., detect_language: _Optional[_Union[_capability_service_pb2.DetectLanguageRequest, _Mapping]] = ..., translate: _Optional[_Union[_capability_service_pb2.TranslateRequest, _Mapping]] = ..., paraphrase: _Optional[_Union[_capability_service_pb2.ParaphraseRequest, _Mapping]] = ..., correct: _Optional[_Union[_capability_service_pb2.CorrectRequest, _Mapping]] = ..., extract_structured: _Optional[_Union[_capability_service_pb2.ExtractStructuredRequest, _Mapping]] = ..., synthesize: _Optional[_Union[_capability_service_pb2.SynthesizeRequest, _Mapping]] = ..., detect_pii: _Optional[_Union[_capability_service_pb2.DetectPiiRequest, _Mapping]] = ..., redact: _Optional[_Union[_capability_service_pb2.RedactRequest, _Mapping]] = ..., analyze_coaching: _Optional[_Union[_capability_service_pb2.AnalyzeCoachingRequest, _Mapping]] = ..., document_symbols: _Optional[_Union[_symbol_service_pb2.DocumentSymbolsRequest, _Mapping]] = ..., aggregate_costs: _Optional[_Union[AggregateCostsRequest, _Mapping]] = ..., batch: _Optional[_Union[_batch_pb2.Batch, _Mapping]] = ..., pipeline: _Optional[_Union[_pipeline_pb2.PipelineWork, _Mapping]] = ..., send_message: _Optional[_Union[_session_service_pb2.SendMessageRequest, _Mapping]] = ..., ingestion: _Optional[_Union[_rag_pb2.Ingestion, _Mapping]] = ..., answer_query: _Optional[_Union[_rag_pb2.AnswerQueryRequest, _Mapping]] = ..., document_query: _Optional[_Union[_rag_pb2.DocumentQuery, _Mapping]] = ...) -> None: ...

class WorkResponse(_message.Message):
    __slots__ = ("completion", "embeddings", "transcription", "speech", "images", "execute_prompt", "summarize", "extract", "classify", "compare", "rewrite", "infer_title", "generate_commit", "analyze_sentiment", "answer_question", "tag", "detect_language", "translate", "paraphrase", "correct", "extract_structured", "synthesize", "detect_pii", "redact", "analyze_coaching", "document_symbols", "aggregate_costs", "batch", "pipeline", "send_message", "ingestion", "answer_query", "document_query")
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    SUMMARIZE_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    REWRITE_FIELD_NUMBER: _ClassVar[int]
    INFER_TITLE_FIELD_NUMBER: _ClassVar[int]
    GENERATE_COMMIT_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_QUESTION_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    DETECT_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_FIELD_NUMBER: _ClassVar[int]
    PARAPHRASE_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_STRUCTURED_FIELD_NUMBER: _ClassVar[int]
    SYNTHESIZE_FIELD_NUMBER: _ClassVar[int]
    DETECT_PII_FIELD_NUMBER: _ClassVar[int]
    REDACT_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_COACHING_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_COSTS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    SEND_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    INGESTION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_QUERY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_QUERY_FIELD_NUMBER: _ClassVar[int]
    completion: _completion_service_pb2.Completion
    embeddings: _completion_service_pb2.CreateEmbeddingsResponse
    transcription: _media_service_pb2.Transcription
    speech: _media_service_pb2.SpeechChunk
    images: _media_service_pb2.CreateImagesResponse
    execute_prompt: _prompt_service_pb2.ExecutePromptResponse
    summarize: _capability_service_pb2.SummarizeResponse
    extract: _capability_service_pb2.ExtractResponse
    classify: _capability_service_pb2.ClassifyResponse
    compare: _capability_service_pb2.CompareResponse
    rewrite: _capability_service_pb2.RewriteResponse
    infer_title: _capability_service_pb2.InferTitleResponse
    generate_commit: _capability_service_pb2.GenerateCommitResponse
    analyze_sentiment: _capability_service_pb2.AnalyzeSentimentResponse
    answer_question: _capability_service_pb2.AnswerQuestionResponse
    tag: _capability_service_pb2.TagResponse
    detect_language: _capability_service_pb2.DetectLanguageResponse
    translate: _capability_service_pb2.TranslateResponse
    paraphrase: _capability_service_pb2.ParaphraseResponse
    correct: _capability_service_pb2.CorrectResponse
    extract_structured: _capability_service_pb2.ExtractStructuredResponse
    synthesize: _capability_service_pb2.SynthesizeResponse
    detect_pii: _capability_service_pb2.DetectPiiResponse
    redact: _capability_service_pb2.RedactResponse
    analyze_coaching: _capability_service_pb2.AnalyzeCoachingResponse
    document_symbols: _symbol_service_pb2.DocumentSymbolsResponse
    aggregate_costs: AggregateCostsResponse
    batch: _batch_pb2.BatchResult
    pipeline: _pipeline_pb2.PipelineResult
    send_message: _session_service_pb2.SendMessageResponse
    ingestion: _rag_pb2.IngestionResult
    answer_query: _rag_pb2.AnswerQueryResponse
    document_query: _rag_pb2.AnswerQueryResponse
    def __init__(self, completion: _Optional[_Union[_completion_service_pb2.Completion, _Mapping]] = ..., embeddings: _Optional[_Union[_completion_service_pb2.CreateEmbeddingsResponse, _Mapping]] = ..., transcription: _Optional[_Union[_media_service_pb2.Transcription, _Mapping]] = ..., speech: _Optional[_Union[_media_service_pb2.SpeechChunk, _Mapping]] = ..., images: _Optional[_Union[_media_service_pb2.CreateImagesResponse, _Mapping]] = ..., execute_prompt: _Optional[_Union[_prompt_service_pb2.ExecutePromptResponse, _Mapping]] = ..., summarize: _Optional[_Union[_capability_service_pb2.SummarizeResponse, _Mapping]] = ..., extract: _Optional[_Union[_capability_service_pb2.ExtractResponse, _Mapping]] = ..., classify: _Optional[_Union[_capability_service_pb2.ClassifyResponse, _Mapping]] = ..., compare: _Optional[_Union[_capability_service_pb2.CompareResponse, _Mapping]] = ..., rewrite: _Optional[_Union[_capability_service_pb2.RewriteResponse, _Mapping]] = ..., infer_title: _Optional[_Union[_capability_service_pb2.InferTitleResponse, _Mapping]] = ..., generate_commit: _Optional[_Union[_capability_service_pb2.GenerateCommitResponse, _Mapping]] = ..., analyze_sentiment: _Optional[_Union[_capability_service_pb2.AnalyzeSentimentResponse, _Mapping]] = ..., answer_question: _Optional[_Union[_capability_service_pb2.AnswerQuestionResponse, _Mapping]] = ..., tag: _Optional[_Union[_capability_service_pb2.TagResponse, _Mapping]] = ..., detect_language: _Optional[_Union[_capability_service_pb2.DetectLanguageResponse, _Mapping]] = ..., translate: _Optional[_Union[_capability_service_pb2.TranslateResponse, _Mapping]] = ..., paraphrase: _Optional[_Union[_capability_service_pb2.ParaphraseResponse, _Mapping]] = ..., correct: _Optional[_Union[_capability_service_pb2.CorrectResponse, _Mapping]] = ..., extract_structured: _Optional[_Union[_capability_service_pb2.ExtractStructuredResponse, _Mapping]] = ..., synthesize: _Optional[_Union[_capability_service_pb2.SynthesizeResponse, _Mapping]] = ..., detect_pii: _Optional[_Union[_capability_service_pb2.DetectPiiResponse, _Mapping]] = ..., redact: _Optional[_Union[_capability_service_pb2.RedactResponse, _Mapping]] = ..., analyze_coaching: _Optional[_Union[_capability_service_pb2.AnalyzeCoachingResponse, _Mapping]] = ..., document_symbols: _Optional[_Union[_symbol_service_pb2.DocumentSymbolsResponse, _Mapping]] = ..., aggregate_costs: _Optional[_Union[AggregateCostsResponse, _Mapping]] = ..., batch: _Optional[_Union[_batch_pb2.BatchResult, _Mapping]] = ..., pipeline: _Optional[_Union[_pipeline_pb2.PipelineResult, _Mapping]] = ..., send_message: _Optional[_Union[_session_service_pb2.SendMessageResponse, _Mapping]] = ..., ingestion: _Optional[_Union[_rag_pb2.IngestionResult, _Mapping]] = ..., answer_query: _Optional[_Union[_rag_pb2.AnswerQueryResponse, _Mapping]] = ..., document_query: _Optional[_Union[_rag_pb2.AnswerQueryResponse, _Mapping]] = ...) -> None: ...

class AggregateCostsRequest(_message.Message):
    __slots__ = ("period", "date")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    period: str
    date: str
    def __init__(self, period: _Optional[str] = ..., date: _Optional[str] = ...) -> None: ...

class AggregateCostsResponse(_message.Message):
    __slots__ = ("date", "costs")
    DATE_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    date: str
    costs: _containers.RepeatedCompositeFieldContainer[AggregatedCost]
    def __init__(self, date: _Optional[str] = ..., costs: _Optional[_Iterable[_Union[AggregatedCost, _Mapping]]] = ...) -> None: ...

class AggregatedCost(_message.Message):
    __slots__ = ("provider", "model", "request_count", "total_input_tokens", "total_output_tokens", "total_cost_ticks")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    request_count: int
    total_input_tokens: int
    total_output_tokens: int
    total_cost_ticks: int
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., request_count: _Optional[int] = ..., total_input_tokens: _Optional[int] = ..., total_output_tokens: _Optional[int] = ..., total_cost_ticks: _Optional[int] = ...) -> None: ...

import datetime

from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import method_rules_pb2 as _method_rules_pb2
from genai_spine.v1 import stream_error_pb2 as _stream_error_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateImagesRequest(_message.Message):
    __slots__ = ("provider", "model", "prompt", "image_count", "size", "quality", "media_type", "user", "provider_options_json", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    prompt: str
    image_count: int
    size: str
    quality: str
    media_type: str
    user: str
    provider_options_json: str
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., prompt: _Optional[str] = ..., image_count: _Optional[int] = ..., size: _Optional[str] = ..., quality: _Optional[str] = ..., media_type: _Optional[str] = ..., user: _Optional[str] = ..., provider_options_json: _Optional[str] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("index", "data", "url", "media_type", "revised_prompt")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    REVISED_PROMPT_FIELD_NUMBER: _ClassVar[int]
    index: int
    data: bytes
    url: str
    media_type: str
    revised_prompt: str
    def __init__(self, index: _Optional[int] = ..., data: _Optional[bytes] = ..., url: _Optional[str] = ..., media_type: _Optional[str] = ..., revised_prompt: _Optional[str] = ...) -> None: ...

class CreateImagesResponse(_message.Message):
    __slots__ = ("create_time", "model", "provider", "images", "usage", "units", "cost", "request_id", "execution_id", "latency_ms")
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    create_time: _timestamp_pb2.Timestamp
    model: str
    provider: str
    images: _containers.RepeatedCompositeFieldContainer[Image]
    usage: _usage_pb2.Usage
    units: _usage_pb2.UnitUsage
    cost: _usage_pb2.Cost
    request_id: str
    execution_id: str
    latency_ms: int
    def __init__(self, create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., units: _Optional[_Union[_usage_pb2.UnitUsage, _Mapping]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., latency_ms: _Optional[int] = ...) -> None: ...

class CreateTranscriptionRequest(_message.Message):
    __slots__ = ("provider", "model", "data", "filename", "language", "prompt", "temperature", "segments", "translate", "user", "words", "provider_options_json", "cost_labels", "audio_url", "diarize", "diarization_model", "multichannel", "smart_format", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_URL_FIELD_NUMBER: _ClassVar[int]
    DIARIZE_FIELD_NUMBER: _ClassVar[int]
    DIARIZATION_MODEL_FIELD_NUMBER: _ClassVar[int]
    MULTICHANNEL_FIELD_NUMBER: _ClassVar[int]
    SMART_FORMAT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    data: bytes
    filename: str
    language: str
    prompt: str
    temperature: float
    segments: bool
    translate: bool
    user: str
    words: bool
    provider_options_json: str
    cost_labels: _containers.ScalarMap[str, str]
    audio_url: str
    diarize: bool
    diarization_model: str
    multichannel: bool
    smart_format: bool
    idempotency_key: str
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., data: _Optional[bytes] = ..., filename: _Optional[str] = ..., language: _Optional[str] = ..., prompt: _Optional[str] = ..., temperature: _Optional[float] = ..., segments: _Optional[bool] = ..., translate: _Optional[bool] = ..., user: _Optional[str] = ..., words: _Optional[bool] = ..., provider_options_json: _Optional[str] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., audio_url: _Optional[str] = ..., diarize: _Optional[bool] = ..., diarization_model: _Optional[str] = ..., multichannel: _Optional[bool] = ..., smart_format: _Optional[bool] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("start_ms", "end_ms", "text", "details_json", "speaker", "channel", "confidence")
    START_MS_FIELD_NUMBER: _ClassVar[int]
    END_MS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    start_ms: int
    end_ms: int
    text: str
    details_json: str
    speaker: str
    channel: int
    confidence: float
    def __init__(self, start_ms: _Optional[int] = ..., end_ms: _Optional[int] = ..., text: _Optional[str] = ..., details_json: _Optional[str] = ..., speaker: _Optional[str] = ..., channel: _Optional[int] = ..., confidence: _Optional[float] = ...) -> None: ...

class Channel(_message.Message):
    __slots__ = ("index", "text", "language", "confidence")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    index: int
    text: str
    language: str
    confidence: float
    def __init__(self, index: _Optional[int] = ..., text: _Optional[str] = ..., language: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class Transcription(_message.Message):
    __slots__ = ("text", "language", "audio_ms", "segments", "model", "provider", "usage", "units", "cost", "request_id", "execution_id", "latency_ms", "words", "confidence", "channels", "speakers", "dialogue", "provider_response_id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    DIALOGUE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    language: str
    audio_ms: int
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    model: str
    provider: str
    usage: _usage_pb2.Usage
    units: _usage_pb2.UnitUsage
    cost: _usage_pb2.Cost
    request_id: str
    execution_id: str
    latency_ms: int
    words: _containers.RepeatedCompositeFieldContainer[Segment]
    confidence: float
    channels: _containers.RepeatedCompositeFieldContainer[Channel]
    speakers: _containers.RepeatedScalarFieldContainer[str]
    dialogue: str
    provider_response_id: str
    def __init__(self, text: _Optional[str] = ..., language: _Optional[str] = ..., audio_ms: _Optional[int] = ..., segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., units: _Optional[_Union[_usage_pb2.UnitUsage, _Mapping]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., latency_ms: _Optional[int] = ..., words: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., confidence: _Optional[float] = ..., channels: _Optional[_Iterable[_Union[Channel, _Mapping]]] = ..., speakers: _Optional[_Iterable[str]] = ..., dialogue: _Optional[str] = ..., provider_response_id: _Optional[str] = ...) -> None: ...

class CreateSpeechRequest(_message.Message):
    __slots__ = ("provider", "model", "input", "voice", "media_type", "speed", "instructions", "user", "provider_options_json", "cost_labels", "idempotency_key", "resume_after")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    input: str
    voice: str
    media_type: str
    speed: float
    instructions: str
    user: str
    provider_options_json: str
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    resume_after: int
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., input: _Optional[str] = ..., voice: _Optional[str] = ..., media_type: _Optional[str] = ..., speed: _Optional[float] = ..., instructions: _Optional[str] = ..., user: _Optional[str] = ..., provider_options_json: _Optional[str] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ..., resume_after: _Optional[int] = ...) -> None: ...

class SpeechChunk(_message.Message):
    __slots__ = ("data", "media_type", "model", "provider", "usage", "units", "cost", "request_id", "execution_id", "error", "sequence")
    DATA_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    media_type: str
    model: str
    provider: str
    usage: _usage_pb2.Usage
    units: _usage_pb2.UnitUsage
    cost: _usage_pb2.Cost
    request_id: str
    execution_id: str
    error: _stream_error_pb2.StreamError
    sequence: int
    def __init__(self, data: _Optional[bytes] = ..., media_type: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., units: _Optional[_Union[_usage_pb2.UnitUsage, _Mapping]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., error: _Optional[_Union[_stream_error_pb2.StreamError, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

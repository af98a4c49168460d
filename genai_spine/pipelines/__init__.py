"""Predefined pipelines by their names; each is a YAML file of `predefined/`."""

PIPELINES = (
    "call_analysis",
    "dual_channel_analysis",
    "pii_detection",
    "text_summarization",
    "transcription",
    "transcription_with_diarization",
    "transcription_with_redaction",
)

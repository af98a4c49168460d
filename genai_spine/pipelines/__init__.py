"""Predefined pipelines by their names; each is a YAML file of `predefined/`."""

PIPELINES = ("text_summarization",)

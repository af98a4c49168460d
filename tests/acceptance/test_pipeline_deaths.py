"""Processes that make pipelines are killed: no finished step is paid again, and each undoing runs once."""

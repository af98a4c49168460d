"""GenAI Spine: one typed AI service for all your services."""

from importlib.metadata import version

VERSION = version("genai-spine")

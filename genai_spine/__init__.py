"""GenAI Spine: one typed AI service for all your services."""

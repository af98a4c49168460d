"""Commands of retrieval."""

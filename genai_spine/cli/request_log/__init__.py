"""Commands of the request log."""

"""Tables and SQL of the request log."""

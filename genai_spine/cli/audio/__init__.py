"""Commands about PII in files."""

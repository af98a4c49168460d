"""Personally identifiable information (PII) in texts: found by patterns and checksums, and redacted."""

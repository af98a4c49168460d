"""Simulators of the upstream APIs: true on the wire, scriptable, each with a bill of its own.

In a test: `from tests.upstreams.openai import OpenAIUpstream`, `async with OpenAIUpstream() as up:`, and
point the client at `up.base_url` (or `up.url`). As a process: process.py.
"""

"""Composition root: store, inference and services wired into one grpc.aio server."""

from genai_spine.server.server import Server, build
from genai_spine.server.signals import serve

__all__ = ["Server", "build", "serve"]

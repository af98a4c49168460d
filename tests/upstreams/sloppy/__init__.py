"""Simulators that answer sloppily: well-formed exchanges, distorted by what real servers were seen to do."""

from tests.upstreams.sloppy.anthropic import ANTHROPIC
from tests.upstreams.sloppy.azure import AZURE
from tests.upstreams.sloppy.bedrock import BEDROCK
from tests.upstreams.sloppy.exchange import Exchange, drawn
from tests.upstreams.sloppy.ollama import OLLAMA
from tests.upstreams.sloppy.openai import OPENAI

PROTOCOLS = {"openai": OPENAI, "azure": AZURE, "anthropic": ANTHROPIC, "ollama": OLLAMA, "bedrock": BEDROCK}


def exchange(name: str, seed: int) -> Exchange:
    """The exchange of a protocol that belongs to a seed."""
    return drawn(name, PROTOCOLS[name], seed)

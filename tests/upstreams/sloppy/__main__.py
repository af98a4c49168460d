"""Runs sloppy exchanges and prints what fired: python -m tests.upstreams.sloppy [--protocol openai]
[--count 5000] [--seed 7]. Ends with 1 where anything was wrong, or a distortion hardly ever fired.
"""

import argparse
import sys
import tempfile
import time
from contextlib import AsyncExitStack

import uvloop

from genai_spine.store import schema
from tests.service.running import Upstreams, running
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.azure import AzureUpstream
from tests.upstreams.bedrock import BedrockUpstream
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.sloppy import PROTOCOLS
from tests.upstreams.sloppy.check import Check, endpoints

COUNT = 5000
LEAST_FIRED = 50  # times that each distortion fires in so many
SHOWN = 20


async def run(options: argparse.Namespace, folder: str) -> bool:
    """Whether all was well."""
    url, well = f"sqlite:///{folder}/spine.db", True
    await schema.upgrade(url)
    simulators = Upstreams(
        OpenAIUpstream(),
        OllamaUpstream(),
        AnthropicUpstream(),
        AzureUpstream(),
        BedrockUpstream(),
        OpenAIUpstream(),
    )
    async with AsyncExitStack() as stack:
        for simulator in simulators.each():
            await stack.enter_async_context(simulator)
        sloppy = await stack.enter_async_context(endpoints())
        service = await stack.enter_async_context(
            running(simulators, url, endpoints=sloppy, default_provider="openai", log_level="ERROR")
        )
        for name in options.protocol or PROTOCOLS:
            began, check = time.process_time(), Check(name, sloppy[name], service)
            await check.run(range(options.count) if options.seed is None else [options.seed])
            print(f"{name}: {len(check.faults)} faults, {time.process_time() - began:.0f} s of CPU")
            print("\n".join(check.faults[:SHOWN]))
            fired = {found: check.fired[found] for found in PROTOCOLS[name].distortions}
            rare = {found: count for found, count in fired.items() if count < LEAST_FIRED}
            if options.seed is None:
                print("  fired: " + ", ".join(f"{found} {count}" for found, count in fired.items()))
            well = well and not check.faults and not (rare and options.count >= COUNT)
            if rare and options.count >= COUNT:
                print(f"  too rare: {rare}")
    return well


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.upstreams.sloppy")
    parser.add_argument("--protocol", action="append", choices=PROTOCOLS)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, help="this exchange alone")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if uvloop.run(run(parser.parse_args(), folder)) else 1)


if __name__ == "__main__":
    main()

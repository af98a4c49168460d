"""Process that prepares a supervisor: a job on standard input, its outcome as JSON on standard output."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer

from genai_spine.cli.output import run
from genai_spine.cli.service.configured import configuration_with
from genai_spine.supervisor.preparation import preparation
from genai_spine.telemetry import logs


async def _outcome(job: Mapping[str, Any]) -> dict[str, Any]:
    if job["action"] == "start":
        return await preparation.start(configuration_with(**job["options"]), job)
    return await preparation.reread_of(job)


def main() -> None:
    """Job of standard input. It exits as `genai-spine up` would, with the reason on standard error."""
    logs.configure()
    try:
        print(json.dumps(run(_outcome(json.load(sys.stdin)))))
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


if __name__ == "__main__":
    main()

"""Process of a supervisor: `genai-spine up` and `serve --processes N` become it with their options read."""

import json
import sys

import uvloop

from genai_spine.supervisor import up

INTERRUPTED = 130


def main() -> None:
    """Arguments: the command, and JSON with `options`, of `up` with `lanes` and `as_json`, too."""
    command, job = sys.argv[1], json.loads(sys.argv[2])
    if command == "up":
        running = up.up(job["options"], job["lanes"], as_json=job["as_json"])
    else:
        running = up.serve(job["options"])
    try:
        uvloop.run(running)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # who reads our output has left
        sys.exit(1)
    except (OSError, ValueError) as error:
        sys.exit(f"genai-spine: {error}")


main()

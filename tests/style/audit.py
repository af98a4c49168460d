"""Known vulnerabilities of what the lock files name: `python -m tests.style.audit`, also `make audit`.

pip-audit alone exits with 0 when its database had an answer for no package at all. Here the exit code says
what is known: 0, all were looked up and none is vulnerable; 1, some are; 3, it cannot be told.
"""

import json
import subprocess
import sys
from typing import Any

from tests.style.source import ROOT

LOCK = ROOT / "requirements-dev.lock"  # holds all of requirements.lock
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 3
UNREACHABLE = "audit: the database cannot be reached, nothing was checked"
FAILED = "audit: pip-audit failed, nothing was checked"
NO_CONNECTION = ("Could not connect", "ConnectionError", "timed out")  # in what pip-audit complains about


def report() -> tuple[str, str]:
    """What pip-audit prints, and what it complains about."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner=off", "--format=json"]
    command += ["--disable-pip", "--require-hashes", f"--requirement={LOCK}"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout, done.stderr


def verdict(printed: str, complaint: str) -> tuple[int, list[str]]:
    """Exit code and lines of an audit."""
    if not printed.strip():
        lost = any(words in complaint for words in NO_CONNECTION)
        return UNKNOWN, [UNREACHABLE] if lost else [complaint.strip(), FAILED]
    dependencies: list[dict[str, Any]] = json.loads(printed)["dependencies"]
    unchecked = [entry["name"] for entry in dependencies if "skip_reason" in entry]
    lines = [
        f"audit: {entry['name']} {entry['version']}: {found['id']}, {_mended(found)}"
        for entry in dependencies
        for found in entry.get("vulns", [])
    ]
    if len(unchecked) == len(dependencies):
        return UNKNOWN, [UNREACHABLE]
    if unchecked:
        lines.append(f"audit: not in the database, not checked: {', '.join(unchecked)}")
    checked = len(dependencies) - len(unchecked)
    lines.append(f"audit: {checked} of {len(dependencies)} packages were checked")
    vulnerable = any(entry.get("vulns") for entry in dependencies)
    return VULNERABLE if vulnerable else UNKNOWN if unchecked else CLEAN, lines


def _mended(found: dict[str, Any]) -> str:
    return f"mended in {', '.join(found['fix_versions'])}" if found["fix_versions"] else "no mended version"


if __name__ == "__main__":
    code, told = verdict(*report())
    print("\n".join(told))
    sys.exit(code)

"""What is installed beside our code: every file by its hash, and nothing that runs before it is imported."""

import json
import re
import site
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.style import audit
from tests.style.source import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"[a-z0-9][a-z0-9-]*(?:\[[a-z0-9,-]+\])?==\S+")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
# Python reads *.pth files of site-packages at every start, and runs their lines that begin with `import`:
# code in one runs in every process, imported or not. These two are known.
PTH = {
    "_editable_impl_genai_spine.pth": "the editable install of this project: the path of its folder, no code",
    "distutils-precedence.pth": "setuptools, which venv installs up to Python 3.11: stands in for distutils",
}
WITH_CODE = {"distutils-precedence.pth"}
SHIM = (
    "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; "
    "enabled and __import__('_distutils_hack').add_shim();"
)
# Modules that Python imports at every start, if there are any.
AT_START = {"sitecustomize.py", "usercustomize.py"}


def pinned(lock: str) -> dict[str, str]:
    """The text of each entry of a lock file, by its `name==version`."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(), flags=re.M).replace("\\\n", " ")
    return {line.split()[0]: line for line in text.splitlines() if line.strip()}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_of_a_lock_file_is_pinned_with_hashes(lock):
    entries = pinned(lock)
    assert len(entries) > 20
    assert not [name for name in entries if not PIN.fullmatch(name)]
    assert not [name for name, text in entries.items() if not HASH.search(text)]


def test_lock_for_development_holds_what_the_server_runs_on():
    run, dev = (pinned(lock) for lock in LOCKS)
    assert not [name for name, text in run.items() if HASH.findall(dev.get(name, "")) != HASH.findall(text)]


def test_nothing_that_is_installed_runs_code_at_the_start_of_python_but_what_is_known():
    folders = [Path(folder) for folder in site.getsitepackages()]
    found = [path for folder in folders for path in folder.glob("*.pth")]
    assert not [str(path) for path in found if path.name not in PTH]
    assert not [name for folder in folders for name in AT_START if (folder / name).exists()]
    for path in found:
        code = [line for line in path.read_text().splitlines() if line.startswith(("import ", "import\t"))]
        assert [line.strip() for line in code] == [SHIM] * (path.name in WITH_CODE)


def test_no_dependency_brings_a_file_that_python_reads_at_its_start():
    brought = [
        f"{found.name}: {file}"
        for found in distributions()
        for file in found.files or ()
        if (file.suffix == ".pth" or file.name in AT_START) and file.name not in PTH
    ]
    assert not brought


def test_our_wheels_bring_no_file_that_python_reads_at_its_start():
    for project, package in ((ROOT, "genai_spine"), (ROOT / "clients/python", "genai_spine_client")):
        settings = tomllib.loads((project / "pyproject.toml").read_text())
        wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert wheel["packages"] == [package]
        assert all(target.startswith(f"{package}/") for target in wheel.get("force-include", {}).values())
        assert set(wheel) <= {"packages", "force-include"}
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    assert not [name for name in tracked if name.endswith(".pth") or Path(name).name in AT_START]


SOUND = {"name": "sound", "version": "1", "vulns": []}
SKIPPED = {"name": "absent", "skip_reason": "Dependency not found on PyPI and could not be audited"}
BROKEN = {"name": "broken", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("dependencies", "code", "told"),
    [
        ([SOUND], 0, "audit: 1 of 1 packages were checked"),
        ([SOUND, BROKEN, SKIPPED], 1, "audit: broken 2: PYSEC-1, mended in 3"),
        ([SOUND, SKIPPED], 3, "audit: not in the database, not checked: absent"),
        ([SKIPPED, SKIPPED], 3, audit.UNREACHABLE),
        ([], 3, audit.UNREACHABLE),
    ],
)
def test_exit_code_of_an_audit_says_what_is_known(dependencies, code, told):
    found, lines = audit.verdict(json.dumps({"dependencies": dependencies, "fixes": []}), "")
    assert (found, lines[0]) == (code, told)


def test_audit_without_a_report_checked_nothing():
    traceback = "requests.exceptions.ConnectionError: Failed to resolve 'pypi.org'"
    assert audit.verdict("", traceback) == (3, [audit.UNREACHABLE])
    assert audit.verdict("", "invalid requirements\n") == (3, ["invalid requirements", audit.FAILED])

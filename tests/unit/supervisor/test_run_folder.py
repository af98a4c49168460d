"""A run's folder is private, and one whose process was killed is swept by the next run."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from genai_spine.supervisor.run_folder import run_folder

KILLED = """
import os, signal, sys
from genai_spine.supervisor.run_folder import run_folder
with run_folder() as folder:
    (folder / "envoy.yaml").touch()
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_folder_is_of_this_user_alone_and_gone_at_the_end(place: Path) -> None:
    with run_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(place.iterdir()) == []


def test_folder_of_a_killed_run_is_swept(place: Path) -> None:
    said = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert said.returncode == -signal.SIGKILL
    left = Path(said.stdout.strip())
    assert left.is_dir()
    with run_folder():
        assert not left.exists()


def test_folder_that_is_in_use_or_no_run_s_is_left(place: Path) -> None:
    other = place / "genai-spine-notes"
    other.mkdir()
    with run_folder() as one, run_folder() as two:
        assert one.is_dir()
        assert two.is_dir()
    assert other.is_dir()

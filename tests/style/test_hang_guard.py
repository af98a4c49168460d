"""A test that hangs where nothing of Python reaches it costs its own failure, not the run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FINE = """
def test_one():
    pass
"""
HANGS = """
import pytest, signal, time

def test_before():
    pass

@pytest.mark.timeout(0.1)
def test_hangs():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(600)

def test_after():
    pass
"""
OPTIONS = ["-n2", "--dist=loadfile", "--no-loadscope-reorder", "-c/dev/null", "-ptests.hang_guard"]
OPTIONS += ["-oasyncio_default_fixture_loop_scope=function", "--override-ini=timeout=60", "--color=no"]


def test_hanging_test_fails_alone_with_the_stack_of_its_threads(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"test_{number}.py").write_text(HANGS if number == 6 else FINE)
    command = [sys.executable, "-m", "pytest", *OPTIONS, "--rootdir", str(tmp_path), str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 1, said
    assert "1 failed, 10 passed" in said, said
    assert "crashed while running" in said
    assert "in test_hangs" in said, said

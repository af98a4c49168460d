"""End of a server process that hangs in its stop."""

import subprocess
import sys

HANGING = """
import asyncio
from genai_spine.server.signals import end_within

async def hang_in_stop():
    end_within(0.1)
    await asyncio.Event().wait()

asyncio.run(hang_in_stop())
"""


def test_process_that_hangs_in_its_stop_ends_and_says_where() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "stop_hangs" in said
    assert "hang_in_stop" in said
    assert "Timeout (0:00:01" in said  # and the stacks of its threads

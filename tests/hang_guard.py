"""A test that hangs, or crashes its process, fails alone: its stacks are told, and the run goes on.

pytest-timeout fails a test by raising in a signal handler. An event loop swallows that where it strikes in a
callback, and a call that blocks in C never gets it. Then faulthandler strikes, whose thread needs no Python.
"""

import faulthandler
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

GRACE = 1.25  # times its limit, so that pytest-timeout can end the test
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    assert sys.__stderr__ is not None
    config.stash[STDERR] = os.dup(sys.__stderr__.fileno())  # during a test it is captured, and lost with it


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[STDERR])


def _limit_s(item: pytest.Item) -> float:
    marked = item.get_closest_marker("timeout")
    return float(marked.args[0] if marked else item.config.getini("timeout"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def _guarded(item: pytest.Item) -> Iterator[None]:
    """Armed for each phase: pytest disarms it where a test fails, before the teardown."""
    faulthandler.dump_traceback_later(GRACE * _limit_s(item), exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = _guarded


class FilesInOrder(LoadFileScheduling):  # type: ignore[misc]
    """xdist's own, but for a process that crashed, after which that one stands still for ever.

    The test is not made again, which would crash the next process. Files that were done are not handed on: a
    process that gets one has nothing to report, and is given nothing more. Nor is one with a single
    test: it waits for the next before it begins.
    """

    def _reschedule(self, node: WorkerController) -> None:
        while not node.shutting_down:
            if self.workqueue and self._pending_of(self.assigned_work[node]) > 2:
                return
            super()._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        left = {
            file: pending
            for file, tests in self.assigned_work[node].items()
            if (pending := {test: False for test, is_done in tests.items() if not is_done})
        }
        crashed: str | None = next((test for tests in left.values() for test in tests), None)
        for file, tests in left.items():
            tests.pop(crashed, None)
            if tests:
                self.workqueue[file] = tests
                self.workqueue.move_to_end(file, last=False)
        self.assigned_work[node] = {}
        super().remove_node(node)
        for other in self.assigned_work if crashed else ():
            self._reschedule(other)
        return crashed


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesInOrder | None:
    return FilesInOrder(config, log) if config.getoption("dist") == "loadfile" else None

"""What every test may use."""

import gc
import os

import pytest
from hypothesis import settings

# PostgreSQL is started by fork and exec, at times beside a running grpc server, whose own handlers of a fork
# can crash the child. Set before grpc is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

pytest_plugins = ["tests.hang_guard", "tests.databases", "tests.periods", "tests.aws_credentials"]

# How long an example takes depends on the machine and on what else runs there: no property has a deadline.
settings.register_profile("spine", deadline=None)
settings.load_profile("spine")

# Nothing that the collection of tests makes is garbage: to look through it took two fifths of its CPU time,
# and then half a second in each full run of the garbage collector: 16,000 tests, Python 3.11, 2026-11-30.
gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """From here on the garbage collector looks at what tests make, and at nothing before it."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: tests wait for other processes about as long as they compute."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names of samples in bytes are the same in every process that collects tests, whatever is in them."""
    return argname if isinstance(val, bytes) else None

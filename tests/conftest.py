"""What every test may use."""

import os

from hypothesis import settings

# PostgreSQL is started by fork and exec, at times beside a running grpc server, whose own handlers of a fork
# can crash the child. Set before grpc is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

pytest_plugins = ["tests.hang_guard", "tests.databases", "tests.aws_credentials"]

# How long an example takes depends on the machine and on what else runs there: no property has a deadline.
settings.register_profile("spine", deadline=None)
settings.load_profile("spine")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names of samples in bytes are the same in every process that collects tests, whatever is in them."""
    return argname if isinstance(val, bytes) else None

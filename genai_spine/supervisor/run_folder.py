"""Folder of one run, which this user alone may read; those that a killed run left behind are swept."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "genai-spine-"
MARK = "lock"  # a folder without it is of something else, or not locked yet


@contextmanager
def run_folder() -> Iterator[Path]:
    """New folder (0700), locked as long as its process lives and removed at the end.

    Folders of runs that were killed (SIGKILL, a power failure) have the mark and no lock: they are removed.
    """
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, _locked(Path(name)):
        yield Path(name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        (folder / MARK).touch(mode=0o600)
        yield
    finally:
        os.close(handle)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        if not (folder / MARK).is_file() or folder.is_symlink():
            continue
        with suppress(OSError):  # of another user, in use, or gone in between
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(handle).st_uid == os.getuid():
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)

"""Journal of a process: settlements that count although the database does not have them yet.

One write to a file costs some microseconds and survives a killed process, as SQLite's own commits do; so no
caller waits for the commit of a settlement. What a dead process left is booked by the next one that looks.
"""

import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from uuid import uuid4
from zlib import crc32

import structlog
from google.protobuf.message import DecodeError

from genai_spine.v1.execution_pb2 import Execution

SUFFIX = ".settlements"
HEAD = Struct("<II")  # bytes of a record, and their CRC-32

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Journal of a dead process, locked by this one."""

    path: Path
    settlements: list[Execution]  # in the order in which they came, each once

    def delete(self) -> None:
        """Deletes the journal: all that it has is in the database."""
        self.path.unlink(missing_ok=True)


class Journal:
    """Two files, so that one can be emptied while settlements of the other one are being committed.

    They are locked as long as the process lives.
    """

    def __init__(self, folder: Path) -> None:
        """Errors: OSError, where nothing can be written there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, name = folder, uuid4()
        self._paths = [folder / f"{name}.{number}{SUFFIX}" for number in (0, 1)]
        self._files = [_locked(path) for path in self._paths]
        self._sizes = [0, 0]
        self._current = 0  # place of the file that is written
        self._waiting: set[str] = set()  # ids of what the other one has and the database does not

    def add(self, settlement: Execution) -> bool:
        """Whether the settlement is in the file, and so survives this process."""
        content = settlement.SerializeToString()
        record = HEAD.pack(len(content), crc32(content)) + content
        file, size = self._files[self._current], self._sizes[self._current]
        try:
            if os.write(file, record) == len(record):
                self._sizes[self._current] = size + len(record)
                return True
            os.ftruncate(file, size)  # the disk is full: half a record would hide those after it
        except OSError as error:
            log.warning("journal_not_written", cause=str(error))
        return False

    def trim(self, waiting: Collection[str]) -> None:
        """Empties what is in the database. waiting: ids of executions that are not."""
        other = 1 - self._current
        if self._sizes[other]:
            if not self._waiting.isdisjoint(waiting):
                return
            self._empty(other)
        if self._sizes[self._current]:
            self._waiting = set(waiting)
            if self._waiting:
                self._current = other
            else:
                self._empty(self._current)

    def close(self, *, is_done: bool) -> None:
        """Ends the journal. is_done: all of it is in the database; otherwise another process will book it."""
        for path, file in zip(self._paths, self._files, strict=True):
            if is_done:
                path.unlink(missing_ok=True)
            os.close(file)

    def abandoned(self) -> Iterator[Abandoned]:
        """Journals of dead processes; each is locked until the next one is asked for."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path in self._paths:
                continue
            with suppress(FileNotFoundError):  # somebody else has booked it
                file = os.open(path, os.O_RDONLY)
                try:
                    if _lock(file) and os.path.samestat(os.fstat(file), path.stat()):
                        yield Abandoned(path, list(_read(path.read_bytes())))
                finally:
                    os.close(file)

    def _empty(self, place: int) -> None:
        os.ftruncate(self._files[place], 0)
        self._sizes[place] = 0


def _locked(path: Path) -> int:
    """New file at the path, locked. Another process may have taken it for an abandoned one meanwhile."""
    while True:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        try:
            if _lock(file) and os.path.samestat(os.fstat(file), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(file: int) -> bool:
    """Whether no other process has the lock, which ends with the process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(content: bytes) -> Iterator[Execution]:
    """Settlements of a journal, up to a record that is not whole: its caller was told nothing."""
    seen: set[str] = set()
    place = 0
    while place + HEAD.size <= len(content):
        length, checksum = HEAD.unpack_from(content, place)
        place += HEAD.size
        record = content[place : place + length]
        place += length
        if len(record) != length or crc32(record) != checksum:
            return
        try:
            settlement = Execution.FromString(record)
        except DecodeError:
            return
        if settlement.id not in seen:  # the first settlement counts
            seen.add(settlement.id)
            yield settlement
